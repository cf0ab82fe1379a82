"""Registered models: found, described, brought in, changed, fetched and retired."""
