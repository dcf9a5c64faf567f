"""Versions of packages, and so of this one, as they are installed."""

from importlib.metadata import PackageNotFoundError, version


def version_of(package: str, *, missing: str = "unknown") -> str:
    """The version of a package that is installed, or ``missing`` if it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return missing


__version__ = version_of("layered-nst", missing="0")
