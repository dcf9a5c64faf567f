"""Segmenters that learn from labelled photos."""
