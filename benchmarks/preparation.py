"""Time of every sampling over Pillow's, at the sizes of photographs: `python benchmarks/preparation.py`.

They take turns in one process, in another order every round, because the first after Pillow finds its caches cold; a
ratio is that of the CPU times of one round, its median and quartiles are over rounds.
CPU time, because other processes may use the machine: they still slow down its caches, so that rows state the load.
Pillow has one thread. Beside our samplings stand ours of OpenCV as without its library, and torch's paths for uint8
images, whose levels differ from those of ours in places.
"""

import argparse
import json
import os
import random
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from rows import add_out, append

from paretodet.transforms import opencv
from paretodet.transforms.resize import SAMPLINGS, resize

Size = tuple[int, int]
Way = Callable[[np.ndarray, Size], object]

REFERENCE = "antialiased"  # Pillow
CASES: tuple[tuple[Size, Size], ...] = (  # (height, width) of the photograph, and of it resized
    ((480, 640), (300, 300)),
    ((480, 640), (312, 416)),  # a letterbox of 416 px
    ((480, 640), (600, 800)),  # the shorter side to 600 px
    ((480, 640), (800, 1067)),
    ((1080, 1920), (300, 300)),
    ((1080, 1920), (234, 416)),
    ((1080, 1920), (576, 1024)),  # the longer side to 1024 px
    ((1080, 1920), (750, 1333)),
)


def torchs(image: np.ndarray, size: Size, *, antialias: bool) -> torch.Tensor:
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    return F.interpolate(pixels, size=size, mode="bilinear", antialias=antialias)


def without_library(image: np.ndarray, size: Size) -> np.ndarray:
    with mock.patch.object(opencv, "library", lambda: None):
        return resize(image, size, "opencv")


def ways() -> dict[str, Way]:
    """All that are compared, the reference first."""
    ours: dict[str, Way] = {name: partial(resize, sampling=name) for name in SAMPLINGS}  # type: ignore[arg-type]
    others: dict[str, Way] = {
        "torch uint8": partial(torchs, antialias=False),
        "torch uint8, antialiased": partial(torchs, antialias=True),
    }
    if opencv.library():
        others["opencv, without its library"] = without_library
    return {REFERENCE: ours[REFERENCE]} | ours | others


def measured(image: np.ndarray, size: Size, rounds: int) -> dict[str, list[float]]:
    """The seconds of every way in every round."""
    compared, order = ways(), random.Random(0)
    spent: dict[str, list[float]] = {name: [] for name in compared}
    for turn in range(rounds + 2):
        for name in order.sample(list(compared), len(compared)):
            start = process_time()
            compared[name](image, size)
            if turn > 1:  # the first rounds warm up
                spent[name].append(process_time() - start)
    return spent


def row(source: Size, size: Size, threads: int, rounds: int) -> dict[str, Any]:
    """The reference's time in ms, and the quartiles of the others' over it."""
    image = np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8)
    found = {name: np.array(times) for name, times in measured(image, size, rounds).items()}
    base = found.pop(REFERENCE)
    quartiles = {name: np.percentile(times / base, (25, 50, 75)).round(3).tolist() for name, times in found.items()}
    return {
        "source": source, "size": size, "threads": threads, "rounds": rounds, "clock": "CPU time of the process",
        "pillow_ms": float(np.median(base)) * 1e3, "over_pillow_quartiles": quartiles, "load": os.getloadavg()[0],
    }  # fmt: skip


def text(made: dict[str, Any]) -> str:
    lines = ["{source} -> {size}, {threads} threads: Pillow {pillow_ms:.2f} ms".format(**made)]
    lines += [
        f"  {name:28}{median:6.2f}  ({low:.2f} to {high:.2f})"
        for name, (low, median, high) in made["over_pillow_quartiles"].items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--json", action="store_true", help="print a JSON line for every pair of sizes")
    add_out(parser)
    options = parser.parse_args()
    for threads in options.threads:
        torch.set_num_threads(threads)
        for source, size in CASES:
            made = row(source, size, threads, options.rounds)
            print(json.dumps(made) if options.json else text(made), flush=True)
            append(made, options.out)


if __name__ == "__main__":
    main()
