"""What segmenters keep."""

from __future__ import annotations

from functools import cache

import torch

from layered_nst.networks.catalogue import is_present
from layered_nst.networks.segmenters import Segmentation, load_segmenter, segment
from layered_nst.networks.segmenters.plugged import load_plugged
from layered_nst.plugins import Part
from layered_nst.recipe.parts import PluginSegmenter
from layered_nst.testing.contracts import NotHere
from layered_nst.testing.samples import photo, pictures, sample, speed


def _see(part: Part, rgb: torch.Tensor) -> Segmentation:
    if not part.is_own:
        said = {part.full_name: sample(part.parameters)}
        return load_plugged(PluginSegmenter.model_validate(said), "cpu").see(rgb)
    return segment(_loaded(part.name), rgb)


@cache
def _loaded(name: str):  # type: ignore[no-untyped-def]
    if not is_present(name):
        raise NotHere(f"the weights of {name} are not on this machine")
    return load_segmenter(name)


def sums_to_1(part: Part) -> None:
    for what, picture in pictures().items():
        seen = _see(part, picture.rgb)
        wanted = (len(seen.classes), *picture.size)
        assert tuple(seen.probabilities.shape) == wanted, f"{what}: {seen.probabilities.shape}"
        assert seen.probabilities.min() >= -1e-6, f"{what} gives a negative probability"
        off = (seen.probabilities.sum(0) - 1).abs().max().item()
        assert off < 1e-3, f"{what}: probabilities miss a sum of 1 by {off:g}"
        if seen.subject is not None:
            low, high = seen.subject.min().item(), seen.subject.max().item()
            assert (low >= 0, high <= 1) == (True, True), f"{what}: its subject"


def classes_are_told_apart(part: Part) -> None:
    classes = _see(part, photo(33, 48)).classes
    assert classes, "it knows no class"
    assert len({name.casefold() for name in classes}) == len(classes), "two classes have one name"


def the_same(part: Part) -> None:
    rgb = photo(33, 48)
    if part.determinism == "same-bytes":
        one, two = _see(part, rgb).probabilities, _see(part, rgb).probabilities
        assert torch.equal(one, two), "two looks differ"


def photo_stays(part: Part) -> None:
    rgb = photo(33, 48)
    before = rgb.clone()
    _see(part, rgb)
    assert torch.equal(rgb, before), "it writes into the photo"


def how_fast(part: Part) -> str:
    rgb = photo(200, 300)
    return speed(60_000, lambda: _see(part, rgb))


CONTRACTS = {
    "its probabilities sum to 1 at every pixel": sums_to_1,
    "its classes have names of their own": classes_are_told_apart,
    "the same photo gives the same, to the byte": the_same,
    "the photo stays as it is": photo_stays,
    "how fast it is": how_fast,
}
