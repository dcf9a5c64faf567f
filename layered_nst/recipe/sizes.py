"""``output.size``: another way to write a recipe's ``size``, for those who look for it there."""

from __future__ import annotations

from layered_nst.recipe.nodes import Node
from layered_nst.recipe.problems import as_error, problem_at, show


def refuse_two_sizes(root: Node) -> None:
    """Raise RecipeError if one recipe states ``size`` and another ``output.size``."""
    size, other = root.child("size"), _inner(root)
    if size is None or other is None or None in (size.value, other.value):
        return
    if size.value != other.value:
        sentence = f"found {show(other.plain())} and size: {show(size.plain())}, keep one"
        raise as_error([problem_at(root, ("output", "size"), sentence)])


def with_one_size(root: Node) -> Node:
    """Return the recipe with ``output.size`` as its ``size``.

    That is done before recipes are merged and again after overrides, so that whoever speaks last
    is heard, however it is spelled.
    """
    inner = _inner(root)
    if inner is None:
        return root
    output = root.value["output"]
    rest = {key: node for key, node in output.value.items() if key != "size"}
    size = {} if inner.value is None else {"size": inner}
    return Node({**root.value, "output": Node(rest, output.place), **size}, root.place)


def _inner(root: Node) -> Node | None:
    output = root.child("output")
    return output.child("size") if output is not None else None
