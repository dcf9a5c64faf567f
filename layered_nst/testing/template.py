"""``plugins new``: a package with one part, that passes its own tests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from layered_nst.errors import OutputError, PluginError
from layered_nst.files.atomic import replacing
from layered_nst.files.targets import make_folder
from layered_nst.plugins import OWN
from layered_nst.plugins.manifests import NAME

_PYPROJECT = """\
[build-system]
requires = ["setuptools>=64"]
build-backend = "setuptools.build_meta"

[project]
name = "{name}"
version = "0.1.0"
description = "A plug-in of layered-nst"
readme = "README.md"
requires-python = ">=3.11"
license = {{text = "MIT"}}
dependencies = ["layered-nst"]

[project.entry-points."layered_nst.plugins"]
{name} = "{module}:plugin.yaml"

[tool.setuptools]
packages = ["{module}"]

[tool.setuptools.package-data]
{module} = ["plugin.yaml"]
"""
_MANIFEST = """\
# What layered-nst reads of this package before it imports any of it.
api: 1
name: {name}
version: 0.1.0             # as in pyproject.toml
license: MIT
summary: A plug-in of layered-nst.
parts:
  - kind: {kind}
    name: {part}
    object: {module}.{part}:{object}
    summary: {summary}
    determinism: same-bytes   # or varies: whether the same seed gives the same bytes
    devices: [cpu, cuda, mps]
{more}"""
_README = """\
# {name}

{summary}

```bash
pip install -e .
layered-nst plugins info {name}
layered-nst plugins check {name}
```

{where}

```{language}
{usage}
```
"""
_TESTS = '''\
"""It keeps what every part of its kind must keep."""

import pytest
from layered_nst.testing import Contract, NotHere, contracts


@pytest.mark.parametrize("contract", contracts("{name}"), ids=str)
def test_it_keeps_what_it_promises(contract: Contract) -> None:
    try:
        contract()
    except NotHere as reason:
        pytest.skip(str(reason))
'''
_SELECTOR = '''\
"""Selects the bright part of a photo."""

from torch import Tensor


def select(said, view) -> Tensor:
    """What a recipe says to it, and the photo: ``view.picture.rgb``, (3, H, W) in [0, 1].

    Returns:
        A mask (H, W) in [0, 1]; 0.5 is the border.
    """
    light = view.picture.rgb.mean(0)
    return ((light - said["above"]) * 8 + 0.5).clamp(0, 1)
'''
_LOSS = '''\
"""Pulls the features of one layer to be calm: less of them is a calmer picture."""


class Calm:
    """The mean square of the features at one layer; works in tiles as well."""

    layers = ("conv3_1",)
    linear = True  # its terms are linear in the sums, one number a layer

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def prepare(self, sight) -> None:
        """Compute what stays the same on a level."""
        self.sight = sight
        self.ones = sight.problem.photo.new_ones(sight.layer_sizes["conv3_1"])

    def on(self, tile):
        """What reads a tile, layer by layer: sums over the positions that it owns."""
        owned = self.sight.owned(self.ones, "conv3_1", tile)
        return lambda layer, features: ((features.square().mean(1)[0] * owned).sum(),)

    def terms(self, sums):
        """Weighted terms by name, from the sums over the whole picture."""
        (total,) = sums["conv3_1"]
        return {"conv3_1": self.weight * total / self.ones.numel()}


def make(asked, *, weight: float):
    """The loss of a level; ``asked`` is its encoder, problem, plan and size."""
    return Calm(weight) if weight else None
'''
_STRATEGY = '''\
"""Paints everything at once, from a lighter photo than the recipe's."""

from dataclasses import replace

from layered_nst.strategies.run import Run, Strategy
from layered_nst.strategies.stages import Stage
from layered_nst.strategies.windows import whole


def make(*, light: float) -> Strategy:
    """A strategy is two functions: what it will run, and the running of it."""

    def stages(scene, plan):
        return (Stage("lighter", plan, whole(scene.size)),)

    def paint(run: Run):
        (stage,) = run.stages
        start = (run.problem.start * light).clamp(0, 1)
        start = start.lerp(run.problem.start, run.problem.frozen)
        return run.optimize(stage, replace(run.problem, start=start))

    return Strategy(stages, paint)
'''
_SEGMENTER = '''\
"""Tells the upper half of a photo from the lower one."""

import torch
from torch import Tensor


class Halves:
    """Any object with a name, classes, and probabilities for a photo."""

    name = "halves"
    classes = ("sky", "ground")

    def __init__(self, horizon: float) -> None:
        self.horizon = horizon

    def __call__(self, rgb: Tensor) -> Tensor:
        """Probabilities (K, H, W) that sum to 1, for a photo (3, H, W) in [0, 1]."""
        sky = torch.zeros_like(rgb[0])
        sky[: round(rgb.shape[1] * self.horizon)] = 1
        return torch.stack([sky, 1 - sky])


def make(device, *, horizon: float) -> Halves:
    """The segmenter, on a device."""
    return Halves(horizon)
'''
_JUDGE = '''\
"""Judges by colors and the steps between neighboring pixels, at several sizes."""

import torch
from torch import Tensor
from torch.nn import functional as F


class Steps:
    """Anything that gives feature maps (C, h, w) of a picture (3, H, W) in [0, 1]."""

    def __init__(self, maps: int) -> None:
        self.maps = maps

    def __call__(self, rgb: Tensor) -> list[Tensor]:
        found, seen = [], rgb[None]
        for _ in range(self.maps):
            across = seen.diff(dim=3, append=seen[..., -1:])
            down = seen.diff(dim=2, append=seen[:, :, -1:])
            found.append(torch.cat([seen, across, down], 1)[0])
            seen = F.avg_pool2d(seen, 2, ceil_mode=True)
        return found


def make(device, *, maps: int) -> Steps:
    """The judge, on a device."""
    return Steps(maps)
'''
_ENCODER = '''\
"""A small network of fixed random filters: it needs no weights, and styles have textures in it."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Filters(nn.Module):
    """Any network that tells of each layer how its units lie over the picture."""

    strides = {"fine": 1, "middle": 2, "coarse": 4}  # px from unit to unit, powers of two
    reach = {"fine": 1, "middle": 2, "coarse": 4}  # px that a unit sees beyond its own square

    def __init__(self, width: int) -> None:
        super().__init__()
        self.widths = dict.fromkeys(self.strides, width)
        random = torch.Generator().manual_seed(0)  # and not the program's
        for name, channels in zip(self.strides, (3, width, width)):
            scale = (2 / (9 * channels)) ** 0.5
            filters = torch.randn(width, channels, 3, 3, generator=random) * scale
            self.register_buffer(name, filters)

    def forward(self, picture: Tensor, layers) -> dict[str, Tensor]:
        """Features of the layers that are wanted, of pictures (B, 3, H, W) in [0, 1]."""
        fine = F.relu(F.conv2d(picture * 4 - 2, self.fine, padding=1))
        middle = F.relu(F.conv2d(fine, self.middle, stride=2, padding=1))
        coarse = F.relu(F.conv2d(middle, self.coarse, stride=2, padding=1))
        return {"fine": fine, "middle": middle, "coarse": coarse}


def make(*, device, dtype, width: int) -> Filters:
    """The encoder; it is brought to the device, and to the type, by whoever asks for it."""
    return Filters(width)
'''
_FLOW = '''\
"""The one shift that moves a picture nearest to another, by phase correlation."""

import torch
from torch import Tensor


def shift(one: Tensor, other: Tensor, *, most: int) -> Tensor:
    """Where each pixel of one picture (3, H, W) is in the other: px across and down, (2, H, W)."""
    height, width = one.shape[1:]
    first, second = (torch.fft.rfft2(p.mean(0) - p.mean()) for p in (one, other))
    cross = first.conj() * second
    found = torch.fft.irfft2(cross / cross.abs().clamp(min=1e-9), s=(height, width))
    down, across = divmod(int(found.argmax()), width)
    down, across = ((n + half) % size - half for n, size, half in (
        (down, height, height // 2), (across, width, width // 2)
    ))
    said = one.new_tensor([across, down]).clamp(-most, most)
    return said[:, None, None].expand(2, height, width)
'''
_EXECUTOR = '''\
"""Runs the jobs of a campaign one after the other on this machine."""

from dataclasses import replace

from layered_nst.campaign.executors.interface import Executor, Workers
from layered_nst.campaign.executors.local import open_local


def single(asked: Workers, *, threads: int) -> Executor:
    """Anything with places for workers, see ``layered_nst.campaign.executors.interface``."""
    return open_local(replace(asked, count=1, threads=threads))
'''
_COMMAND = '''\
"""Tells which light a photo has."""

import layered_nst.picture as pictures


def light(*, photo: str, digits: int) -> None:
    """What the schema allows comes as it was said, or as its default."""
    found = float(pictures.read_picture(photo).rgb.mean())
    print(f"{found:.{digits}f}")
'''
_OUTPUT = '''\
"""Portable pixmaps, the simplest files of pictures that there are."""

from functools import partial

from layered_nst.picture.writing import Finished, PictureFormat


def encode(picture: Finished, comment: str) -> bytes:
    """The bytes of a file, from ``picture.pixels``: (H, W, 3), or 4 where it may be transparent."""
    height, width = picture.pixels.shape[:2]
    head = f"P6\\n#{comment}\\n{width} {height}\\n255\\n"
    return head.encode() + picture.pixels.tobytes()


def make(*, comment: str) -> PictureFormat:
    """The format."""
    return PictureFormat(partial(encode, comment=comment), alpha=False)
'''

_SHARE = (
    "          type: number\n          minimum: {low}\n          maximum: {high}\n"
    "          default: {default}\n          description: {about}\n"
)
_WHOLE = (
    "        {key}:\n          type: integer\n          minimum: {low}\n          maximum: {high}\n"
    "          default: {default}\n          description: {about}\n"
)
_OPEN = "    parameters:             # a JSON Schema of what a recipe may say to it\n" + (
    "      type: object\n      properties:\n"
)
KINDS: Mapping[str, Mapping[str, str]] = {
    "selector": {
        "part": "bright",
        "object": "select",
        "summary": "The bright part of a photo.",
        "code": _SELECTOR,
        "usage": "select: {{{name}/bright: {{above: 0.6}}}}",
        "more": f"{_OPEN}        above:\n"
        + _SHARE.format(low=0, high=1, default=0.5, about="How light the border is."),
    },
    "loss": {
        "part": "calm",
        "object": "make",
        "summary": "Makes a picture calmer.",
        "code": _LOSS,
        "usage": "optimize: {{losses: {{{name}/calm: {{weight: 0.2}}}}}}",
        "more": f"{_OPEN}        weight:\n"
        + _SHARE.format(low=0, high=1000, default=0.1, about="How strongly it pulls."),
    },
    "strategy": {
        "part": "lighter",
        "object": "make",
        "summary": "Paints from a lighter photo.",
        "code": _STRATEGY,
        "usage": "strategy: {{{name}/lighter: {{light: 1.3}}}}",
        "more": f"{_OPEN}        light:\n"
        + _SHARE.format(low=0.1, high=10, default=1.2, about="Factor on the photo."),
    },
    "segmenter": {
        "part": "halves",
        "object": "make",
        "summary": "Tells the upper half of a photo from the lower one.",
        "code": _SEGMENTER,
        "usage": "segmentation: {{{name}/halves: {{horizon: 0.4}}}}",
        "more": f"{_OPEN}        horizon:\n"
        + _SHARE.format(low=0, high=1, default=0.5, about="Where the lower one begins."),
    },
    "judge": {
        "part": "steps",
        "object": "make",
        "summary": "Judges by colors and the steps between neighboring pixels.",
        "code": _JUDGE,
        "usage": "layered_nst.score('out.png', judge='{name}/steps')",
        "where": "From a program:",
        "language": "python",
        "more": _OPEN
        + _WHOLE.format(key="maps", low=1, high=8, default=4, about="How many sizes it sees."),
    },
    "encoder": {
        "part": "filters",
        "object": "make",
        "summary": "A small network of fixed random filters.",
        "code": _ENCODER,
        "usage": "encoder: {{{name}/filters: {{width: 32}}}}",
        "more": "    layers: {fine: 4, middle: 2, coarse: 1}   # how much styles count there\n"
        "    content_layers: {coarse: 1}\n"
        + _OPEN
        + _WHOLE.format(key="width", low=4, high=256, default=24, about="Channels of a layer."),
    },
    "flow": {
        "part": "shift",
        "object": "shift",
        "summary": "The one shift that moves a picture nearest to another.",
        "code": _FLOW,
        "usage": "video: {{flow: {{{name}/shift: {{most: 16}}}}}}",
        "more": _OPEN
        + _WHOLE.format(key="most", low=1, high=4096, default=64, about="Longest shift, px."),
    },
    "executor": {
        "part": "single",
        "object": "single",
        "summary": "Runs jobs one after the other on this machine.",
        "code": _EXECUTOR,
        "usage": "Campaign.load('wall.yaml').run('{name}/single')",
        "where": "From a program:",
        "language": "python",
        "more": _OPEN
        + _WHOLE.format(key="threads", low=1, high=64, default=1, about="Of the worker."),
    },
    "command": {
        "part": "light",
        "object": "light",
        "summary": "Tell which light a photo has.",
        "code": _COMMAND,
        "usage": "layered-nst light photo.jpg",
        "where": "On the command line:",
        "language": "bash",
        "more": f"{_OPEN}        photo:\n          type: string\n"
        "          description: Path of the photo.\n"
        + _WHOLE.format(key="digits", low=0, high=9, default=3, about="After the point.")
        + "      required: [photo]\n",
    },
    "output": {
        "part": "ppm",
        "object": "make",
        "summary": "Portable pixmaps.",
        "code": _OUTPUT,
        "usage": "output: {{format: {{{name}/ppm: {{comment: proof}}}}}}",
        "more": "    suffixes: [.ppm]\n    holds: picture\n"
        f"{_OPEN}        comment:\n          type: string\n          pattern: '^[ -~]*$'\n"
        "          default: layered-nst\n          description: Stands in the file.\n",
    },
}
"""What a package of each kind begins with."""


def write_package(name: str, folder: Path, *, kind: str = "selector") -> list[Path]:
    """Write a package with one part.

    Args:
        name: of the plug-in and of its package.
        folder: made, or empty.
        kind: of the part, one of ``KINDS``.

    Returns:
        The files that were written.

    Raises:
        PluginError: a name or a kind that cannot be.
        OutputError: the folder is not empty, or cannot be written to.
    """
    if not NAME.fullmatch(name) or name == OWN:
        raise PluginError(f"{name}: no name of a plug-in; such as studio-looks would do")
    if kind not in KINDS:
        raise PluginError(f"{kind}: no kind to begin with; there are {', '.join(KINDS)}")
    if folder.is_dir() and any(folder.iterdir()):
        raise OutputError(f"{folder}: is there and not empty; name another folder")
    written = []
    for relative, text in _files(name, kind).items():
        path = folder / relative
        make_folder(path.parent)
        with replacing(path) as file:
            file.write(text.encode())
        written.append(path)
    return written


def _files(name: str, kind: str) -> dict[str, str]:
    about = KINDS[kind]
    module = name.replace("-", "_")
    known = {"where": "In a recipe:", "language": "yaml", **about}
    known |= {"name": name, "module": module, "kind": kind}
    known["usage"] = about["usage"].format(name=name)
    return {
        "pyproject.toml": _PYPROJECT.format(**known),
        "README.md": _README.format(**known),
        f"{module}/__init__.py": f'"""{about["summary"]}"""\n',
        f"{module}/plugin.yaml": _MANIFEST.format(**known),
        f"{module}/{about['part']}.py": about["code"],
        "tests/test_contracts.py": _TESTS.format(**known),
    }
