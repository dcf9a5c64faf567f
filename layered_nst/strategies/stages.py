"""One optimization of a strategy."""

from __future__ import annotations

from dataclasses import dataclass

from layered_nst.painting.levels import work
from layered_nst.painting.plan import Plan
from layered_nst.strategies.windows import Window


@dataclass(frozen=True)
class Stage:
    """One optimization of a strategy.

    Attributes:
        name: told in the progress.
        plan: the constants, with levels for ``window``.
        window: rows and columns of the result that it works on.
    """

    name: str
    plan: Plan
    window: Window

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the window in px of the result."""
        rows, columns = self.window
        return rows.stop - rows.start, columns.stop - columns.start

    @property
    def work(self) -> float:
        """Steps times pixels, in those of hed-vgg16."""
        return sum(work(self.plan, self.size))
