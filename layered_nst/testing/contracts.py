"""The contracts of every kind, and what holds for all of them."""

from __future__ import annotations

import logging
import os
import pickle
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from layered_nst import plugins
from layered_nst.errors import ModelError
from layered_nst.plugins import Part
from layered_nst.plugins.parameters import check_schema, taken
from layered_nst.testing.samples import sample


class NotHere(Exception):  # noqa: N818 - nothing is wrong
    """What a part needs is not on this machine, so that nothing can be said of it."""


HOMES: Mapping[str, str] = {
    "selector": "selectors",
    "segmenter": "segmenters",
    "encoder": "encoders",
    "loss": "losses",
    "strategy": "strategies",
    "output": "outputs",
    "flow": "flows",
    "executor": "executors",
    "judge": "judges",
    "command": "commands",
}
"""Which module tells what parts of a kind keep."""

Check = Callable[[Part], str | None]
"""Raises AssertionError, or says a number for people."""


@dataclass(frozen=True)
class Contract:
    """One thing that a part must keep.

    Attributes:
        part: that must.
        name: what, in a sentence.
        check: raises AssertionError if it does not.
    """

    part: Part
    name: str
    check: Check

    def __str__(self) -> str:
        return f"{self.part.kind} {self.part.full_name}: {self.name}"

    def __call__(self) -> str | None:
        """Test it.

        Returns:
            A number for people, such as the time that it took; None without one.

        Raises:
            AssertionError: it is not kept, in a sentence.
            PluginError: the plug-in's code fails.
            NotHere: what the part needs is not on this machine.
        """
        if not __debug__:
            raise NotHere("Python is told to leave out assertions, of which contracts are made")
        with plugins.blamed(self.part):
            try:
                return self.check(self.part)
            except ModelError as missing:
                kept: Exception = NotHere(str(missing))
            except (AssertionError, NotHere) as said:
                kept = said
        raise kept

    def tell(self) -> tuple[str, str]:
        """Test it: ``kept``, ``broken`` or ``not here``, and a sentence or a number."""
        try:
            return "kept", self() or ""
        except NotHere as reason:
            return "not here", str(reason)
        except Exception as error:
            return "broken", str(error) or type(error).__name__


def contracts(name: str | Path) -> list[Contract]:
    """The contracts of all parts of a plug-in.

    Args:
        name: of the plug-in, or the path of one of one file; ``layered-nst`` for what this
            package itself brings.

    Raises:
        PluginError: there is none of that name, or it cannot be used.
    """
    if str(name).endswith(".py"):
        plugins.add_file(name)
        (found,) = (p for p in plugins.installed().plugins if p.source == Path(name).absolute())
        name = found.name
    parts = [part for part in plugins.parts() if part.plugin and part.plugin.name == str(name)]
    if not parts:
        raise plugins.unknown_plugin(str(name))
    return [contract for part in parts for contract in contracts_of(part)]


def contracts_of(part: Part) -> list[Contract]:
    """The contracts of one part."""
    return [Contract(part, name, check) for name, check in (*_of_all(), *_of_kind(part.kind))]


def _of_kind(kind: str) -> Iterator[tuple[str, Check]]:
    if kind not in HOMES:
        return
    # Each brings its part of the package along.
    home = import_module(f"layered_nst.testing.{HOMES[kind]}")
    yield from home.CONTRACTS.items()
    exercise = next(iter(home.CONTRACTS.values()))
    yield "it leaves the program as it was", lambda part: _leaves_no_trace(part, exercise)


def _of_all() -> Iterator[tuple[str, Check]]:
    yield "its parameters are a JSON Schema that takes its own examples", _takes_its_examples
    yield "it can be sent to another process", _can_be_pickled


def _takes_its_examples(part: Part) -> None:
    check_schema(part)
    _, faults = taken(part, sample(part.parameters))
    assert not faults, f"{'.'.join(map(str, faults[0].path))}: {faults[0].sentence}"


def _can_be_pickled(part: Part) -> None:
    found = plugins.object_of(part)
    try:
        again = pickle.loads(pickle.dumps(found))
    except Exception as error:
        raise AssertionError(f"it cannot be pickled: {error}") from error
    assert type(again) is type(found), "something else comes out of a pickle"


def _leaves_no_trace(part: Part, exercise: Check) -> None:
    before = _state()
    exercise(part)
    changed = [name for name, value in _state().items() if value != before[name]]
    assert not changed, f"it changes {', '.join(changed)} of the whole program"


def _state() -> dict[str, Any]:
    """What belongs to the program and to nobody in it."""
    return {
        "torch's random numbers": torch.get_rng_state().numpy().tobytes(),
        "numpy's random numbers": repr(np.random.get_state()),
        "Python's random numbers": random.getstate(),
        "torch's default type": torch.get_default_dtype(),
        "torch's threads": torch.get_num_threads(),
        "torch's way to compute gradients": torch.is_grad_enabled(),
        "the current folder": os.getcwd(),
        "the environment": dict(os.environ),
        "the warnings that are shown": list(warnings.filters),
        "the log": list(logging.getLogger().handlers),
    }
