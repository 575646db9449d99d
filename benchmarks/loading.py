"""Images a second from files to batches, and where the time goes: `python benchmarks/loading.py [--workers 2]`.

As each family trains, on the photographs that PARETODET_DATA names. The shares are of one core's processor time; the
wall's rate is that of the batches with so many workers, from the second batch of each on.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
from rows import add_out, keep

from paretodet import images
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
    name: str
    data: str  # a folder of PARETODET_DATA
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
    """Milliseconds of processor time an image, by stage."""
    spent = dict.fromkeys(STAGES, 0.0)

    def timed(stage: str, run: Callable[[], Any]) -> Any:
        start = process_time()
        made = run()
        spent[stage] += (process_time() - start) * 1e3 / count
        return made

    for number in range(count):
        index = number % len(data)
        sample = timed("labels", lambda index=index: data[index])
        pixels = timed("read", lambda sample=sample: read_image(sample.image))
        noise = generator(0, number, sample.id)
        picture = whole(pixels, sample)
        for augmentation in case.augmentation.steps:
            picture = timed("augment", lambda a=augmentation, p=picture, n=noise: a(p, n))
        timed("render", lambda p=picture: render(p, case.fit))
        masks = sample.masks if case.masks else None
        timed("truth", lambda p=picture, m=masks: truth(p, case.fit, masks=m))
    return spent


def rate(case: Case, data: Dataset, workers: int, batches: int) -> float:
    """Images a second by the wall, batches of 8."""
    choices = Batching(fits=(case.fit,), images=8, augmentation=case.augmentation, masks=case.masks)
    stream = iter(Batches(data, choices, workers=workers, tell=print))
    list(islice(stream, max(1, workers)))
    start = perf_counter()
    list(islice(stream, batches))
    return 8 * batches / (perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--images", type=int, default=64, help="for the shares; the wall's rate takes as many")
    add_out(parser)
    asked = parser.parse_args()
    root = Path(os.environ["PARETODET_DATA"])
    decoder = "Pillow" if images.simplejpeg is None else "simplejpeg"
    print(f"{'':24}{'images/s':>9}{'ms':>8}  " + "".join(f"{stage:>9}" for stage in STAGES) + f"   ({decoder})")
    for case in CASES:
        data = read_labels(root / case.data)
        spent = shares(case, data, asked.images)
        total = float(np.sum(list(spent.values())))
        row = {"case": case.name, "workers": asked.workers, "decoder": decoder, "ms": total, "ms_by_stage": spent}
        row["images_per_s"] = rate(case, data, asked.workers, max(1, asked.images // 8))
        parts = "".join(f"{value / total:9.0%}" for value in spent.values())
        print(f"{case.name:24}{row['images_per_s']:9.1f}{total:8.2f}  {parts}", flush=True)
        keep(row, asked.out)


if __name__ == "__main__":
    main()
