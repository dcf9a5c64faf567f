"""Frozen networks by name, used only."""
