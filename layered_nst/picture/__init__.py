"""Reading and writing pictures without losing what a designer put into them.

Orientation, color profile, alpha, 16 bits and print resolution all survive the way from file to
tensor and back; a file that cannot be read or written ends in one sentence.
"""

from layered_nst.picture.metadata import read_metadata
from layered_nst.picture.proof import Proof, proof, read_profile
from layered_nst.picture.reading import read_picture
from layered_nst.picture.resizing import (
    average,
    bleed_under_alpha,
    fit_within,
    native_colors,
    resize,
    resize_picture,
    size_of,
)
from layered_nst.picture.seal import is_ours
from layered_nst.picture.value import MAX_PIXELS, Picture
from layered_nst.picture.writing import (
    FORMATS,
    Kept,
    check_inks,
    check_size,
    picture_format,
    to_image,
    write_image,
    write_picture,
)

__all__ = [
    "FORMATS",
    "MAX_PIXELS",
    "Kept",
    "Picture",
    "Proof",
    "average",
    "bleed_under_alpha",
    "check_inks",
    "check_size",
    "fit_within",
    "is_ours",
    "native_colors",
    "picture_format",
    "proof",
    "read_metadata",
    "read_picture",
    "read_profile",
    "resize",
    "resize_picture",
    "size_of",
    "to_image",
    "write_image",
    "write_picture",
]
