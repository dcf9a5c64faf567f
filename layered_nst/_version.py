"""The version of this package, as it is installed."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("layered-nst")
except PackageNotFoundError:
    __version__ = "0"
