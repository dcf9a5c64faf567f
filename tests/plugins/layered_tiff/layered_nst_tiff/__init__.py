"""Layered TIFF files for Photoshop, from layered-nst."""
