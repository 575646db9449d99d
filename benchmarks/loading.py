"""Images per second from files to batches, and the time of every stage: `python benchmarks/loading.py [--workers 2]`.

With the settings that every family trains with, on the images in PARETODET_DATA. The shares are of one core's CPU time;
the wall-clock rate is that of the batches with `--workers` processes, without the first batch of each.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from rows import add_out, append

from paretodet.images import read_image
from paretodet.labels.model import Dataset
from paretodet.labels.read import read_labels
from paretodet.loader.batches import Batches, Batching
from paretodet.loader.targets import truth
from paretodet.transforms.augment import Chain, generator
from paretodet.transforms.published import DARKNET, REGIONS, SSD_LIU
from paretodet.transforms.resize_policy import ResizePolicy, ShortSide, Stretch
from paretodet.transforms.view import render, whole

STAGES = ("labels", "read", "augment", "render", "truth")


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a family loads its images."""

    name: str
    data: str  # a folder in PARETODET_DATA
    fit: ResizePolicy
    augmentation: Chain
    masks: int | None = None


CASES = (
    Case(name="SSD 300", data="bccd", fit=Stretch(height=300, width=300), augmentation=SSD_LIU),
    Case(name="YOLO 416", data="bccd", fit=Stretch(height=416, width=416), augmentation=DARKNET),
    Case(name="Faster R-CNN 600", data="bccd", fit=ShortSide(short=600, long=1024), augmentation=REGIONS),
    Case(name="SSD 300, photographs", data="coco_val2017_44", fit=Stretch(height=300, width=300), augmentation=SSD_LIU),
    Case(name="Mask R-CNN 800", data="coco_val2017_44", fit=ShortSide(short=800, long=1333, multiple=32),
         augmentation=REGIONS, masks=28),
)  # fmt: skip


def shares(case: Case, data: Dataset, count: int) -> dict[str, float]:
    """CPU time per image in ms, by stage."""
    spent = dict.fromkeys(STAGES, 0.0)

    def timed(stage: str, run: Callable[..., Any], *arguments: Any) -> Any:
        start = process_time()
        result = run(*arguments)
        spent[stage] += (process_time() - start) * 1e3 / count
        return result

    for number in range(count):
        index = number % len(data)
        sample = timed("labels", data.__getitem__, index)
        pixels = timed("read", read_image, sample.image)
        noise = generator(0, number, sample.id)
        picture = whole(pixels, sample)
        for augmentation in case.augmentation.steps:
            picture = timed("augment", augmentation, picture, noise)
        timed("render", render, picture, case.fit)
        masks = sample.masks if case.masks else None
        timed("truth", partial(truth, masks=masks), picture, case.fit)
    return spent


def rate(case: Case, data: Dataset, workers: int, batches: int) -> float:
    """Images per second (wall clock), in batches of 8."""
    choices = Batching(fits=(case.fit,), images=8, augmentation=case.augmentation, masks=case.masks)
    stream = iter(Batches(data, choices, workers=workers, tell=print))
    list(islice(stream, max(1, workers)))
    start = perf_counter()
    list(islice(stream, batches))
    return 8 * batches / (perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--images", type=int, default=64, help="images for the shares, and as many for the rate")
    add_out(parser)
    options = parser.parse_args()
    root = Path(os.environ["PARETODET_DATA"])
    decoder = "simplejpeg" if find_spec("simplejpeg") else "Pillow"
    print(f"{'':24}{'images/s':>9}{'ms':>8}  " + "".join(f"{stage:>9}" for stage in STAGES) + f"   ({decoder})")
    for case in CASES:
        data = read_labels(root / case.data)
        spent = shares(case, data, options.images)
        total = float(np.sum(list(spent.values())))
        row = {"case": case.name, "workers": options.workers, "decoder": decoder, "ms": total, "ms_by_stage": spent}
        row["images_per_s"] = rate(case, data, options.workers, max(1, options.images // 8))
        parts = "".join(f"{value / total:9.0%}" for value in spent.values())
        print(f"{case.name:24}{row['images_per_s']:9.1f}{total:8.2f}  {parts}", flush=True)
        append(row, options.out)


if __name__ == "__main__":
    main()
