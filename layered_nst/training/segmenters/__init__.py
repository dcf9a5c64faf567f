"""Segmenters that learn from labeled photos."""
