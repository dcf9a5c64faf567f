"""Subjects by the networks of rembg, for layered-nst."""
