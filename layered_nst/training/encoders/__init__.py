"""Encoders that learn from a larger one."""
