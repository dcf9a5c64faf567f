"""Bundled weights, and the list of models that this package can name."""

from layered_nst.networks.catalogue import CATALOGUE, Model, fetch, is_present, weights_path

__all__ = ["CATALOGUE", "Model", "fetch", "is_present", "weights_path"]
