"""What ``peers.py`` starts in processes of their own: one task, one method, or the judge.

    python tests/benchmarks/peer_runs.py prepare RECIPE SIZE QUALITY SCENE [--one]
    python tests/benchmarks/peer_runs.py run METHOD SCENE STEPS FOLDER [--only-time]
    python tests/benchmarks/peer_runs.py judge SCENE FOLDER [--trajectory]

A run writes ``seconds.json``, the seconds from its start to the end of each step, and unless only
its time matters ``NNNN.npy``, the picture after each step. Writing does not count as time.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from borders import alone
from torch import Tensor

from layered_nst import api, load_recipe
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.painting.plan import Level, Plan, make_plan
from layered_nst.picture import fit_within, resize
from layered_nst.recipe import Recipe
from layered_nst.regions import RegionMasks
from layered_nst.scene.scene import Scene
from layered_nst.strategies.run import paint
from layered_nst.styles.style import Style

STYLE_LAYERS = ("conv1_1", "conv2_1", "conv3_1", "conv4_1", "conv5_1")
CONTENT_LAYER = "conv4_2"
# How much larger our encoder's features are than those of torchvision's VGG: its range is 0 to 255,
# and theirs is divided by a standard deviation of 0.226. pystiche's weights are meant for theirs.
FEATURE_SCALE = 255 * 0.226
PYSTICHE_STYLE = 1e4
MODELS = ("vgg11", "vgg13", "vgg16", "vgg19", "vgg11_bn", "vgg13_bn", "vgg16_bn", "vgg19_bn")


class Watch:
    """Notes when each step ended, and keeps its picture, in time that does not count."""

    def __init__(self, folder: Path | None) -> None:
        self.folder, self.seconds, self.paused = folder, [], 0.0
        self.started = time.perf_counter()

    def __call__(self, rgb: Tensor) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.started - self.paused)
        if self.folder is not None:
            keep(rgb, self.folder / f"{len(self.seconds):04}.npy")
        self.paused += time.perf_counter() - now


def keep(rgb: Tensor, path: Path) -> None:
    pixels = (rgb.detach().clamp(0, 1) * 255).round().byte()
    np.save(path, pixels.permute(1, 2, 0).numpy())


# The task


def prepare(recipe: Path, size: int, quality: str, target: Path, one: bool) -> None:
    """Write a scene that every method can be given: one style for each region, all alike."""
    loaded = plain(load_recipe(recipe, overrides={"optimize.quality": quality}))
    if one:
        loaded = alone(loaded, 0)
    scene, _ = api.prepare(loaded.model_copy(update={"size": size}), device="cpu")
    torch.save(scene, target)


def plain(recipe: Recipe) -> Recipe:
    """Without what no peer can do: blends, strengths, sizes of strokes, colors, product."""
    alike = {"strength": 1.0, "scale": 1.0, "content": 1.0, "contour": 0.0, "color": "style"}
    regions = [
        region.model_copy(
            update={**alike, "style": (max(region.style, key=lambda source: source.weight),)}
        )
        for region in recipe.regions
        if region.style
    ]
    return recipe.model_copy(
        update={
            "regions": tuple(regions),
            "strategy": "joint",
            "product": (),
            "encoder": "hed-vgg16",
        }
    )


def read_scene(path: Path) -> Scene:
    # Written by ``prepare`` a moment ago.
    scene: Scene = torch.load(path, weights_only=False)
    return scene


def style_picture(style: Style, longest: int) -> Tensor:
    rgb = style.pictures[0].rgb
    return resize(rgb, fit_within((rgb.shape[1], rgb.shape[2]), longest))


# The methods


def ours(
    scene: Scene, encoder: Encoder, steps: int, watch: Watch, *, precision: str = "float32"
) -> Tensor:
    """This package: ``steps`` at the full size alone, or the whole plan for 0."""
    plan = replace(_plan(scene, steps), precision=precision)
    return paint(scene, encoder, plan, on_progress=lambda p: watch(p.picture))


def _plan(scene: Scene, steps: int) -> Plan:
    plan = make_plan(scene.recipe.optimize, scene.size)
    if steps:
        # No level ends early: a tolerance that nothing falls short of.
        plan = replace(plan, levels=(Level(max(scene.size), steps),), tolerance=-1.0)
    return plan


def pasted(scene: Scene, encoder: Encoder, steps: int, watch: Watch) -> Tensor:
    """This package once for each region over the whole photo, pasted by the masks."""
    watches, parts = [], []
    for index, region in enumerate(scene.recipe.regions):
        whole = RegionMasks((region.name,), torch.ones(1, *scene.size))
        styles = {region.name: scene.styles[region.name]}
        part = replace(scene, recipe=alone(scene.recipe, index), masks=whole, styles=styles)
        watches.append(Watch(None))
        parts.append(ours(part, encoder, steps, watches[-1]) * scene.mask(region.name))
    longest = max(len(each.seconds) for each in watches)
    watch.seconds = [
        sum(each.seconds[min(step, len(each.seconds) - 1)] for each in watches)
        for step in range(longest)
    ]
    rgb = torch.stack(parts).sum(0)
    if watch.folder is not None:
        keep(rgb, watch.folder / f"{longest:04}.npy")
    return rgb


def gatys(scene: Scene, encoder: Encoder, steps: int, watch: Watch) -> Tensor:
    """Gatys, Ecker and Bethge 2016 at one scale with the constants of their own notebook."""
    (styles,) = scene.styles.values()
    style, photo = style_picture(styles[0], max(scene.size))[None], scene.picture.rgb[None]
    with torch.no_grad():
        grams = [gram(part) for part in _features(encoder, style, STYLE_LAYERS)]
        (content,) = _features(encoder, photo, (CONTENT_LAYER,))

    def loss(picture: Tensor) -> Tensor:
        *found, deep = _features(encoder, picture, (*STYLE_LAYERS, CONTENT_LAYER))
        style_loss = sum(
            1e3 / encoder.width(layer) ** 2 * (gram(here) - there).square().mean()
            for layer, here, there in zip(STYLE_LAYERS, found, grams, strict=True)
        )
        return style_loss + (deep - content).square().mean()

    return descend(photo, loss, torch.optim.LBFGS, steps, watch)


def gram(features: Tensor) -> Tensor:
    rows = features[0].flatten(1)
    return rows @ rows.T / rows.shape[1]


def _features(encoder: Encoder, picture: Tensor, layers: Sequence[str]) -> list[Tensor]:
    found = encoder(picture, layers)
    return [found[layer] for layer in layers]


def pystiche_guided(scene: Scene, encoder: Encoder, steps: int, watch: Watch) -> Tensor:
    """pystiche 1.0.1: its guided multi-region loss, set up as in its own example."""
    _shim()
    enc, loss, optim = (importlib.import_module(f"pystiche.{n}") for n in ("enc", "loss", "optim"))
    mle = enc.vgg16_multi_layer_encoder(
        pretrained=False, internal_preprocessing=False, allow_inplace=True
    )
    mle.load_state_dict(_scaled_weights(encoder), map_names=False)
    mle.requires_grad_(False).eval()
    relu = {layer: layer.replace("conv", "relu") for layer in (*STYLE_LAYERS, CONTENT_LAYER)}
    names = [f"region{number}" for number in range(len(scene.recipe.regions))]

    def region_loss(_: str, weight: float) -> torch.nn.Module:
        return loss.MultiLayerEncodingLoss(
            mle,
            [relu[layer] for layer in STYLE_LAYERS],
            lambda encoder, weight: loss.GramLoss(encoder, score_weight=weight),
            score_weight=weight,
        )

    criterion = loss.PerceptualLoss(
        loss.FeatureReconstructionLoss(mle.extract_encoder(relu[CONTENT_LAYER])),
        loss.MultiRegionLoss(names, region_loss, score_weight=PYSTICHE_STYLE),
    )
    mle.trim()
    photo = scene.picture.rgb[None]
    criterion.set_content_image(photo)
    winner = scene.masks.masks.argmax(0)
    for number, (name, region) in enumerate(zip(names, scene.recipe.regions, strict=True)):
        guide = (winner == number).float()
        style = style_picture(scene.styles[region.name][0], max(scene.size))[None]
        criterion.set_style_image(style, guide=_share(style, float(guide.mean())), region=name)
        criterion.set_content_guide(guide[None, None], region=name)
    mle.clear_cache()
    return descend(photo, criterion, optim.default_image_optimizer, steps, watch)


def _shim() -> None:
    """pystiche asks torchvision for two tables of addresses that are no longer there."""
    for module, names in (("vgg", MODELS), ("alexnet", ("alexnet",))):
        importlib.import_module(f"torchvision.models.{module}").model_urls = dict.fromkeys(
            names, ""
        )


def _scaled_weights(encoder: Encoder) -> dict[str, Tensor]:
    """The encoder's tensors under pystiche's names, for features smaller by one factor.

    ReLU and pooling pass a factor on, so it is enough to scale the first weights and all biases.
    """
    tensors = {}
    for layer in encoder.layers:
        weight, bias = encoder.head(layer)
        first = FEATURE_SCALE if layer == encoder.layers[0] else 1.0
        tensors |= {f"{layer}.weight": weight / first, f"{layer}.bias": bias / FEATURE_SCALE}
    return tensors


def _share(style: Tensor, coverage: float) -> Tensor:
    """A guide over as much of the style, from its top, as the region covers of the photo.

    pystiche divides by the area of the whole picture on both sides. With all of the style as target
    it would pull a region that covers a quarter of the photo to four times the style's energy.
    """
    guide = torch.zeros(1, 1, *style.shape[2:])
    guide[:, :, : max(1, round(coverage * style.shape[2]))] = 1
    return guide


def descend(
    photo: Tensor,
    loss: Callable[[Tensor], Tensor],
    make_optimizer: Callable[..., torch.optim.Optimizer],
    steps: int,
    watch: Watch,
) -> Tensor:
    """The loop of both peers: L-BFGS from the photo, one evaluation a step."""
    picture = photo.clone().requires_grad_()
    optimizer = (
        make_optimizer([picture], max_iter=1)
        if make_optimizer is torch.optim.LBFGS
        else (make_optimizer(picture))
    )

    def closure() -> float:
        optimizer.zero_grad()
        total = loss(picture)
        total.backward()
        return float(total)

    for _ in range(steps):
        optimizer.step(closure)
        watch(picture[0])
    return picture.detach()[0].clamp(0, 1)


METHODS: dict[str, Callable[..., Tensor]] = {
    "ours": ours,
    "bfloat16": partial(ours, precision="bfloat16"),
    "pasted": pasted,
    "pystiche": pystiche_guided,
    "gatys": gatys,
}


def run(method: str, path: Path, steps: int, folder: Path, only_time: bool) -> None:
    scene, encoder = read_scene(path), load_encoder("hed-vgg16")
    folder.mkdir(parents=True, exist_ok=True)
    watch = Watch(None if only_time else folder)
    METHODS[method](scene, encoder, steps, watch)
    (folder / "seconds.json").write_text(json.dumps(watch.seconds))


# The judge


def judge(path: Path, folder: Path, trajectory: bool) -> None:
    """Print the score of a run's last picture, and the mean distance after each step."""
    from layered_nst.judge import Ruler, load_judge, score

    scene, seer = read_scene(path), load_judge()
    pictures = sorted(folder.glob("*.npy"))
    found = score(
        _picture(pictures[-1], scene), scene, judge=seer, contours=load_encoder("hed-vgg16")
    )
    ruler, distances = Ruler.of(scene, seer), {}
    for picture in pictures if trajectory else ():
        table = ruler.distances(seer(_picture(picture, scene)))
        distances[int(picture.stem)] = float(np.mean(table.diagonal()))
    print(json.dumps({"score": _finite(found.as_dict()), "distances": distances}))


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _picture(path: Path, scene: Scene) -> Tensor:
    rgb = torch.from_numpy(np.load(path)).permute(2, 0, 1).float() / 255
    return resize(rgb, scene.size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    tasks = parser.add_subparsers(dest="task", required=True)
    first = tasks.add_parser("prepare")
    first.add_argument("recipe", type=Path)
    first.add_argument("size", type=int)
    first.add_argument("quality")
    first.add_argument("scene", type=Path)
    first.add_argument("--one", action="store_true")
    second = tasks.add_parser("run")
    second.add_argument("method", choices=METHODS)
    second.add_argument("scene", type=Path)
    second.add_argument("steps", type=int)
    second.add_argument("folder", type=Path)
    second.add_argument("--only-time", action="store_true")
    third = tasks.add_parser("judge")
    third.add_argument("scene", type=Path)
    third.add_argument("folder", type=Path)
    third.add_argument("--trajectory", action="store_true")
    given = parser.parse_args()
    if given.task == "prepare":
        prepare(given.recipe, given.size, given.quality, given.scene, given.one)
    elif given.task == "run":
        run(given.method, given.scene, given.steps, given.folder, given.only_time)
    else:
        judge(given.scene, given.folder, given.trajectory)


if __name__ == "__main__":
    main()
