"""Faces in a photo: where they are, and their eyes and mouths."""

from layered_nst.networks.faces.detector import Face, detect_faces, load_detector

__all__ = ["Face", "detect_faces", "load_detector"]
