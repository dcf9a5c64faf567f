"""Files of networks that this package writes: known by their metadata, refused in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from torch import Tensor

from layered_nst.errors import ModelError
from layered_nst.files.hashes import digest
from layered_nst.files.tensors import read_metadata, read_tensors


@dataclass(frozen=True)
class OwnFiles:
    """The files of one kind of network.

    Attributes:
        format: what such a file says in its metadata: ``layered-nst``, the kind and a version.
        owner: whose weights they hold, such as ``an encoder``.
        command: that writes them.
    """

    format: str
    owner: str
    command: str

    def is_ours(self, metadata: Mapping[str, str]) -> bool:
        """Whether metadata are those of such a file, of whatever version."""
        return metadata.get("format", "").startswith(self.format.rpartition(" ")[0])

    def found_in(self, path: Path) -> Mapping[str, str] | None:
        """The texts of such a file, of whatever version; None for any other."""
        try:
            metadata = read_metadata(path)
        except (OSError, SafetensorError):
            return None
        return metadata if self.is_ours(metadata) else None

    def metadata(self, path: Path) -> dict[str, str]:
        """The texts of a file.

        Raises:
            ModelError: it is missing, broken, of another kind or of another version.
        """
        try:
            metadata = read_metadata(path)
        except (OSError, SafetensorError) as error:
            raise self.broken(path, error) from error
        if not self.is_ours(metadata):
            kind = self.owner.split()[-1]
            raise ModelError(f"{path}: is no {kind}; `{self.command}` writes such files")
        if metadata["format"] != self.format:
            raise ModelError(
                f"{path}: written as {metadata['format']!r}; this version reads {self.format!r}"
            )
        return metadata

    def broken(self, path: Path, error: Exception) -> ModelError:
        """The error that says that a file cannot be read."""
        if isinstance(error, FileNotFoundError):
            return ModelError(f"{path}: no such file of {self.owner}'s weights")
        reason = " ".join(str(error).split())
        return ModelError(f"{path}: is broken, cut short, or no safetensors file ({reason})")


def read_bundled(path: Path, format_: str, otherwise: str) -> dict[str, Tensor]:
    """The tensors of a file that comes with this package, checked for damage.

    Args:
        format_: what its metadata must say.
        otherwise: what is said of a file that is none such, or damaged, behind its path.

    Raises:
        ModelError: it is missing or broken, or holds something else.
    """
    try:
        metadata, tensors = read_metadata(path), read_tensors(path)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read ({error})") from error
    if metadata.get("format") != format_ or metadata.get("digest") != digest(tensors):
        raise ModelError(f"{path}: {otherwise}")
    return tensors
