"""Layered files: OpenRaster and Photoshop."""
