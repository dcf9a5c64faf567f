"""Networks for faces: how the bundled one was converted."""
