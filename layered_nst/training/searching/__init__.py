"""Searches for a network's form: one engine, whatever the network is."""
