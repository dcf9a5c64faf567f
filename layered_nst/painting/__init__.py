"""Tensors in, canvas out."""
