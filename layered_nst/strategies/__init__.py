"""From a scene to its canvas: what is solved in which order, what it costs and how it fits."""
