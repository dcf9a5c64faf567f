"""How long a picture takes on a device, in which precision, and how much memory.

    python tests/benchmarks/gpu.py [--device cuda] [--size 1024] [--rounds 3]
        [--quality draft --quality standard --quality fine] [--recipe recipes/cathedral.yaml]

Each quality is painted in float32 and in bfloat16 in turn, round after round, and told by its
medians; a first draft, which loads the libraries, is not counted. Aims on a graphics card of a
server: standard in 10 s, draft in 1 s. Runs on any device; on a CPU take a small --size.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from layered_nst import Result, apply
from layered_nst.machine.device import choose_device
from layered_nst.picture import read_picture, resize_picture
from layered_nst.picture.lab import rgb_to_lab

RECIPE = Path(__file__).parents[2] / "recipes" / "cathedral.yaml"
QUALITIES = ("draft", "standard", "fine")
PRECISIONS = ("float32", "bfloat16")


def square(recipe: Path, side: int) -> torch.Tensor:
    """The recipe's photo cut to its middle square, shape (side, side, 3), 0 to 1."""
    from layered_nst import load_recipe

    content = load_recipe(recipe).content
    assert content is not None, f"{recipe}: names no photo"
    picture = read_picture(content)
    height, width = picture.size
    scale = side / min(height, width)
    larger = resize_picture(picture, (round(height * scale), round(width * scale))).rgb
    top, left = (larger.shape[1] - side) // 2, (larger.shape[2] - side) // 2
    return larger[:, top : top + side, left : left + side].permute(1, 2, 0).contiguous()


def forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak(device: torch.device) -> str:
    """Peak memory on the device, in words; a CPU keeps no such count."""
    if device.type != "cuda":
        return "-"
    return f"{torch.cuda.max_memory_allocated(device) / 1e9:.2f} GB"


def paint(photo: torch.Tensor, arguments: argparse.Namespace, quality: str, precision: str):
    """A result and the seconds of the whole call."""
    overrides = [f"optimize.quality={quality}", f"optimize.precision={precision}"]
    started = time.perf_counter()
    result = apply(
        arguments.recipe,
        photo.numpy(),
        size=arguments.size,
        overrides=overrides,
        device=arguments.device,
        cache=False,
    )
    return result, time.perf_counter() - started


def difference(one: Result, other: Result) -> float:
    """Mean distance of two pictures in CIE Lab."""
    apart = rgb_to_lab(one.rgb.cpu()) - rgb_to_lab(other.rgb.cpu())
    return float(apart.square().sum(0).sqrt().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--size", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quality", action="append", choices=QUALITIES)
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    arguments = parser.parse_args()
    device = choose_device(arguments.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    photo = square(arguments.recipe, arguments.size)
    paint(photo, arguments, "draft", "float32")
    print(f"{name}, {arguments.size}×{arguments.size} px, {arguments.rounds} rounds")
    print(f"{'':<10}{'precision':<11}{'median s':>10}{'best':>8}{'peak':>10}{'ΔE to float32':>15}")
    for quality in arguments.quality or QUALITIES:
        seconds: dict[str, list[float]] = {precision: [] for precision in PRECISIONS}
        last, peaks = {}, {}
        for _ in range(arguments.rounds):
            for precision in PRECISIONS:
                forget_peak(device)
                last[precision], taken = paint(photo, arguments, quality, precision)
                seconds[precision].append(taken)
                peaks[precision] = peak(device)
        for precision, taken in seconds.items():
            apart = difference(last[precision], last["float32"])
            row = f"{quality:<10}{precision:<11}{statistics.median(taken):>10.2f}{min(taken):>8.2f}"
            print(f"{row}{peaks[precision]:>10}{apart:>15.2f}", flush=True)


if __name__ == "__main__":
    main()
