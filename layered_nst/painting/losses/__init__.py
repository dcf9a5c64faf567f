"""What a picture is judged by: every loss is relative, so that a weight means the same at every
size, layer and area.

Losses that look at features follow one protocol (``loss``), which is all that tiles need: style,
content and contours. Losses that look at the pixels themselves are in ``pixels``.
"""
