"""Style libraries: the statistics of looks in one file, ready to be shared."""

from layered_nst.styles.library.building import build_look, check_names, merge_libraries, store_look
from layered_nst.styles.library.look import LibraryStyle, check_styles, read_style
from layered_nst.styles.library.records import LookRecord, read_looks, read_records

__all__ = [
    "LibraryStyle",
    "LookRecord",
    "build_look",
    "check_names",
    "check_styles",
    "merge_libraries",
    "read_looks",
    "read_records",
    "read_style",
    "store_look",
]
