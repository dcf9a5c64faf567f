"""What looking more carefully brings, and what it costs.

    python tests/benchmarks/segmentation.py DATA [--weights FILE] [--every 2]

DATA is a labeled folder as ``layered-nst segmenter train`` takes it; its ``val.txt`` is scored.
The first table gives mean IoU, pixel accuracy and outline F-score for each way of looking, the
second the median time of five runs on a photo of 1024x768 px.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from layered_nst.networks.segmenters import NetworkSegmenter, load_segmenter, segment
from layered_nst.training.segmenters.dataset import LabeledPhotos, read_labeled_photos
from layered_nst.training.segmenters.scoring import score_segmenter

TWICE = (0.75, 1.25)
WAYS: dict[str, dict[str, Any]] = {
    "once": {"scales": (1.0,), "connect": False, "refine": False},
    "once, refined": {"scales": (1.0,), "connect": False},
    "once, connected, refined": {"scales": (1.0,)},
    "twice": {"scales": TWICE, "connect": False, "refine": False},
    "twice, refined": {"scales": TWICE, "connect": False},
    "twice, connected": {"scales": TWICE, "refine": False},
    "twice, connected, refined": {"scales": TWICE},
    "twice, each mirrored too, connected, refined": {"scales": TWICE, "mirror": True},
}


def quality(segmenter: NetworkSegmenter, data: LabeledPhotos, *, every: int) -> None:
    print(f"{'way of looking':44} mean IoU  accuracy  outline F")
    for way, options in WAYS.items():
        score = score_segmenter(replace(segmenter, **options), data, names=data.val[::every])
        print(
            f"{way:44} {score.mean_iou:8.3f}  {score.accuracy:8.3f}  {score.outline_f:9.3f}",
            flush=True,
        )
    print(f"\nas recipes use it\n{score_segmenter(segmenter, data).table(data.classes)}")


def speed(segmenter: NetworkSegmenter) -> None:
    rgb = torch.rand(3, 768, 1024, generator=torch.Generator().manual_seed(0))
    print(f"\n{'way of looking':44} seconds ({torch.get_num_threads()} threads)")
    for way, options in WAYS.items():
        times = []
        for _ in range(5):
            start = time.perf_counter()
            segment(segmenter, rgb, **options)
            times.append(time.perf_counter() - start)
        print(f"{way:44} {statistics.median(times):7.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--weights", default="scenes", help="segmenter or .safetensors file")
    parser.add_argument("--every", type=int, default=1, help="score each n-th photo of val.txt")
    options = parser.parse_args()
    segmenter = load_segmenter(options.weights)
    speed(segmenter)
    quality(segmenter, read_labeled_photos(options.data), every=options.every)


if __name__ == "__main__":
    main()
