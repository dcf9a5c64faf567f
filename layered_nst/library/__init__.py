"""Style libraries: the statistics of looks in one file, ready to be shared."""

from layered_nst.library.building import build_look, check_names, merge_libraries, store_look
from layered_nst.library.look import LibraryStyle, check_styles, read_style
from layered_nst.library.records import LookRecord, read_looks, read_records
from layered_nst.library.sheet import library_sheet

__all__ = [
    "LibraryStyle",
    "LookRecord",
    "build_look",
    "check_names",
    "check_styles",
    "library_sheet",
    "merge_libraries",
    "read_looks",
    "read_records",
    "read_style",
    "store_look",
]
