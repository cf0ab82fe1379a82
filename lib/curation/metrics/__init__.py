"""Metrics of predictions against truth, by class, scenario and stratum, and queries of what was confused with what."""
