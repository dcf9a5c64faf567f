"""What a network is unsure of goes to the side that no edge divides it from."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from layered_nst.networks.segmenters.unsure import by_edges

SIZE = (120, 160)


def disk(radius: float) -> Tensor:
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    return (y - 60.0).hypot(x - 80.0) <= radius


def plate() -> Tensor:
    """A light plate on a dark cloth, with a little noise."""
    torch.manual_seed(0)
    light = torch.where(disk(40), 0.85, 0.25)
    return (light.expand(3, -1, -1) + 0.02 * torch.randn(3, *SIZE)).clamp(0, 1)


def thought(unsure: Tensor, value: float) -> Tensor:
    """A network that knows the plate but for an area, of which it thinks this."""
    return torch.where(unsure, value, torch.where(disk(40), 5.0, -5.0))


def left(part: Tensor) -> Tensor:
    columns = torch.arange(SIZE[1]).expand(SIZE)
    return part & (columns < 70)


@pytest.mark.parametrize("value", [-0.6, 0.6])
def test_half_a_plate_becomes_a_whole_one_and_its_cloth_does_not(value: float) -> None:
    unsure = left(torch.ones(SIZE, dtype=torch.bool)) & disk(55)
    found = by_edges(thought(unsure, value), plate()) > 0
    assert (found == disk(40)).float().mean() > 0.99


def test_what_the_network_is_sure_of_stays_whatever_the_edges_say() -> None:
    missing = thought(left(disk(40)), -5.0)
    assert torch.equal(by_edges(missing, plate()), missing)


def test_an_outline_is_left_to_the_network() -> None:
    narrow = disk(44) & ~disk(36)
    unsure = thought(narrow, 0.5)
    assert torch.equal(by_edges(unsure, plate()), unsure)


def test_without_edges_an_area_goes_to_who_lies_around_it() -> None:
    flat = torch.full((3, *SIZE), 0.5)
    inside = torch.where(disk(20), torch.tensor(-0.6), torch.tensor(5.0))
    assert bool((by_edges(inside, flat) > 0).all())


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (40, 30)])
def test_photos_of_any_size_and_logits_of_another(size: tuple[int, int]) -> None:
    torch.manual_seed(1)
    logits = torch.zeros(max(1, size[0] // 2), max(1, size[1] // 2))
    found = by_edges(logits, torch.rand(3, *size))
    assert found.shape == logits.shape
    assert bool(found.isfinite().all())
