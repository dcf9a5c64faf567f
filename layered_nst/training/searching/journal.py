"""All that a search has evaluated, and the times of this machine, on disk."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from layered_nst.errors import ModelError
from layered_nst.files.atomic import replacing
from layered_nst.training.searching.fronts import Found
from layered_nst.training.searching.spaces import Numbers
from layered_nst.training.searching.subjects import Subject


def machine() -> str:
    """What times hold for: another machine has others."""
    return f"{platform.machine()} {platform.processor()} {torch.get_num_threads()} threads"


class Journal:
    """What forms are worth, written down one by one.

    Raises:
        ModelError: it is broken, or of another search or machine.
    """

    def __init__(self, path: Path, belongs: Mapping[str, Any], subject: Subject) -> None:
        self.path = path
        if path.exists():
            self.kept = self._read(belongs)
        else:
            self.kept = {
                "belongs": dict(belongs),
                "machine": machine(),
                "seconds": subject.measured(),
                "found": [],
            }
            self._save()
        self.known = {one.numbers: one for one in map(Found.of, self.kept["found"])}

    @property
    def table(self) -> Mapping[str, float]:
        """Seconds of what forms are made of."""
        seconds: Mapping[str, float] = self.kept["seconds"]
        return seconds

    def find(self, form: Numbers) -> Found | None:
        """What a form is worth, if it was evaluated before."""
        return self.known.get(form)

    def note(self, found: Found) -> Found:
        """Write down what a form is worth."""
        self.known[found.numbers] = found
        self.kept["found"].append(found.as_dict())
        self._save()
        return found

    def _read(self, belongs: Mapping[str, Any]) -> dict[str, Any]:
        try:
            kept: dict[str, Any] = json.loads(self.path.read_text("utf-8"))
            of, where = kept["belongs"], kept["machine"]
            list(map(Found.of, kept["found"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{self.path}: broken; remove it to search afresh") from error
        for name, value in json.loads(json.dumps(belongs)).items():
            if of.get(name) != value:
                raise ModelError(
                    f"{self.path}: of a search with another {name}; repeat the command as it was, "
                    "or name another folder"
                )
        if where != machine():
            raise ModelError(
                f"{self.path}: its times are those of another machine ({where}); remove it to "
                "measure them here"
            )
        return kept

    def _save(self) -> None:
        with replacing(self.path) as file:
            file.write(json.dumps(self.kept, indent=1).encode())
