"""Frames as code builds them, with labels of every kind that has a meaning for sound, and streams of them."""
