"""What a joint step costs beyond the encoder's own passes, how it grows with regions, and what
another encoder makes of it.

    python tests/benchmarks/step.py [--size 512] [--rounds 7] [--encoder light]
        [--precision bfloat16]

All variants are timed in turn, round after round, and compared by their medians. Freed memory is
used again, as the command line has it.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor

from layered_nst.machine.allocator import reuse_memory
from layered_nst.networks.encoders import Encoder, load_encoder
from layered_nst.painting.objective import Objective
from layered_nst.painting.plan import Plan, make_plan
from layered_nst.painting.problem import PaintedRegion, Problem
from layered_nst.recipe import Optimize
from layered_nst.styles.style import StylePicture


def bands(count: int, size: tuple[int, int], feather: int = 6) -> Tensor:
    """Upright bands of equal width with linear feathers, shape (count, H, W)."""
    across = torch.arange(size[1]).float() + 0.5
    edges = torch.linspace(0, size[1], count + 1)[1:-1]
    steps = ((across[None] - edges[:, None]) / feather + 0.5).clamp(0, 1)
    ones, zeros = torch.ones(1, size[1]), torch.zeros(1, size[1])
    masks = torch.cat([ones, steps]) - torch.cat([steps, zeros])
    return masks[:, None].expand(-1, size[0], -1).contiguous()


def objective(encoder: Encoder, plan: Plan, photo: Tensor, regions: int) -> Objective:
    size = (photo.shape[1], photo.shape[2])
    style = StylePicture(photo.flip(2), torch.ones(size), 1.0, "style")
    painted = [PaintedRegion(f"r{k}", mask, [style]) for k, mask in enumerate(bands(regions, size))]
    problem = Problem(photo, photo, photo, painted, torch.zeros(size))
    return Objective(encoder, problem, plan, size)


def timed(run, photo: Tensor) -> float:
    picture = photo[None].clone().requires_grad_()
    started = time.perf_counter()
    terms = run(picture)
    torch.stack([t if t.dim() == 0 else t.sum() for t in terms.values()]).sum().backward()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--encoder", default="light", help="one to compare with hed-vgg16")
    parser.add_argument("--precision", default="float32", choices=("float32", "bfloat16"))
    arguments = parser.parse_args()
    reuse_memory()
    size = (arguments.size * 3 // 4, arguments.size)
    plan = make_plan(Optimize(), size, precision=arguments.precision)
    encoder = load_encoder("hed-vgg16")
    photo = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    layers = {*plan.layers, *plan.content_layers}
    alone = encoder.multiplying_in(plan.precision)
    variants = {"encoder alone": lambda picture: alone(picture, layers)}
    variants |= {f"{n} regions": objective(encoder, plan, photo, n) for n in (1, 4, 8)}
    other, name = load_encoder(arguments.encoder), arguments.encoder
    other_alone = other.multiplying_in(plan.precision)
    variants[f"{name} alone"] = lambda picture: other_alone(picture, layers)
    variants |= {f"{name}, {n}": objective(other, plan, photo, n) for n in (1, 4, 8)}
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for round_ in range(arguments.rounds + 1):
        for name, run in variants.items():
            taken = timed(run, photo)
            if round_:
                seconds[name].append(taken)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(
        f"{size[1]}×{size[0]} px, {plan.precision}, {torch.get_num_threads()} threads, "
        f"{arguments.rounds} rounds"
    )
    heads = ("÷ encoder", "÷ 1 region", "times faster")
    print(f"{'':<15}{'median s':>10}{'spread':>9}" + "".join(f"{head:>14}" for head in heads))
    for name, median in medians.items():
        spread = (max(seconds[name]) - min(seconds[name])) / median
        # The same with hed-vgg16, and the encoder alone and one region of the same encoder.
        plain = name.replace(f"{arguments.encoder} ", "encoder ")
        plain = f"{plain.split(', ')[1]} regions" if ", " in plain else plain
        own = name != plain
        floor = medians[f"{arguments.encoder} alone" if own else "encoder alone"]
        one = medians[f"{arguments.encoder}, 1" if own else "1 regions"]
        against = median / floor, median / one, medians[plain] / median
        print(f"{name:<15}{median:>10.3f}{spread:>9.0%}" + "".join(f"{a:>14.3f}" for a in against))


if __name__ == "__main__":
    main()
