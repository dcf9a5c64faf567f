"""Sliced Wasserstein textures for layered-nst."""
