"""Two choices of the engine, each against its alternative.

    python tests/benchmarks/ablation.py [--size 192] [--out DIR]

1. √m against m as the weight of features in a feather: a plain texture under a linear ramp between
   two regions. The pull that a position feels from both regions together should be the same
   everywhere; the table gives it in the middle of the ramp relative to the ends.
2. Starting from the photo with its colors moved to the styles', against the plain photo: total
   loss after equal steps on a bundled photo, and both pictures with --out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from layered_nst import apply
from layered_nst.styles.moments import columns, region_moments

ROOT = Path(__file__).parents[2]


def pull_in_the_middle(power: float) -> float:
    """Gradient energy in the middle of a ramp over that at its ends, features weighted by m^power.

    Features are weighted by ``power`` in the sum of f fᵀ: 1 is what √m gives, 2 what m gives.
    """
    generator = torch.Generator().manual_seed(0)
    width = 512
    features = torch.randn(1, 16, 64, width, generator=generator).requires_grad_()
    ramp = torch.linspace(0, 1, width).expand(64, width)
    masks = torch.stack([ramp, 1 - ramp])
    _, second = region_moments(features, columns(masks**power))
    # Both regions pull their energy with the same force, as two equally far styles would.
    second.diagonal(dim1=1, dim2=2).sum().backward()
    pull = features.grad.square().sum(1).sqrt()[0].mean(0)
    middle = pull[width // 2 - 16 : width // 2 + 16].mean()
    ends = torch.cat([pull[:16], pull[-16:]]).mean()
    return (middle / ends).item()


def final_loss(start: str, size: int, out: Path | None) -> float:
    result = apply(
        ROOT / "recipes" / "cathedral.yaml",
        size=size,
        overrides=[f"optimize.start={start}"],
    )
    if out is not None:
        result.save(out / f"start-{start}.png")
    return result.losses[-1]["total"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    print("pull in the middle of a ramp, relative to its ends")
    for name, power in (("√m", 1.0), ("m", 2.0)):
        print(f"  features weighted by {name:<3}{pull_in_the_middle(power):>8.3f}")
    print(f"total loss at the end, cathedral.yaml, {arguments.size} px")
    for start in ("color", "content"):
        print(f"  start: {start:<12}{final_loss(start, arguments.size, arguments.out):>10.4f}")


if __name__ == "__main__":
    main()
