"""One part of each kind, written as the first plug-ins were. Not to be changed: others are so."""

from dataclasses import replace

import torch

from layered_nst.networks.encoders import load_encoder
from layered_nst.picture.writing import PictureFormat
from layered_nst.strategies.run import Strategy
from layered_nst.strategies.stages import Stage
from layered_nst.strategies.windows import whole


def bright(said, view):
    light = view.picture.rgb.mean(0)
    return ((light - said["above"]) * 8 + 0.5).clamp(0, 1)


class Halves:
    name = "halves"
    classes = ("sky", "ground")

    def __call__(self, rgb):
        sky = torch.zeros_like(rgb[0])
        sky[: rgb.shape[1] // 2] = 1
        return torch.stack([sky, 1 - sky])


def halves(device):
    return Halves()


def small(*, device, dtype):
    return load_encoder("light", device=device, dtype=dtype)


class Calm:
    layers = ("conv3_1",)
    linear = True

    def __init__(self, weight):
        self.weight = weight

    def prepare(self, sight):
        self.sight = sight
        self.ones = sight.problem.photo.new_ones(sight.layer_sizes["conv3_1"])

    def on(self, tile):
        owned = self.sight.owned(self.ones, "conv3_1", tile)
        return lambda layer, features: ((features.square().mean(1)[0] * owned).sum(),)

    def terms(self, sums):
        (total,) = sums["conv3_1"]
        return {"conv3_1": self.weight * total / self.ones.numel()}


def calm(asked, *, weight):
    return Calm(weight) if weight else None


class Dark:
    by_channel = True

    def __init__(self, weight):
        self.weight = weight

    def terms(self, picture):
        return {"dark": self.weight * picture.square().mean()}


def dark(asked, *, weight):
    _, problem, plan, _ = asked
    return Dark(weight * plan.pull * sum(r.pull_of("frozen-looks/dark") for r in problem.regions))


def lighter(*, light):
    def stages(scene, plan):
        return (Stage("lighter", plan, whole(scene.size)),)

    def paint(run):
        (stage,) = run.stages
        start = (run.problem.start * light).clamp(0, 1)
        start = start.lerp(run.problem.start, run.problem.frozen)
        return run.optimize(stage, replace(run.problem, start=start))

    return Strategy(stages, paint)


def encode(picture):
    height, width = picture.pixels.shape[:2]
    return b"P6\n%d %d\n255\n" % (width, height) + picture.pixels.tobytes()


PPM = PictureFormat(encode, alpha=False)


def frozen(name: str = "api 1"):
    """Say what is frozen."""
    print(f"{name} is frozen")
