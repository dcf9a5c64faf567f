"""Where trainings write weights."""

from __future__ import annotations

from pathlib import Path

from layered_nst.errors import OutputError


def check_weights_output(output: Path) -> None:
    """Find out before hours of training that their result could not be written.

    Raises:
        OutputError: no ``.safetensors`` file, or in no folder.
    """
    if output.suffix != ".safetensors":
        raise OutputError(f"{output}: weights are written as .safetensors")
    if not output.parent.is_dir():
        raise OutputError(f"{output}: no such folder: {output.parent}")
