"""Time of every sampling over Pillow's, at the sizes of photographs: `python benchmarks/preparation.py`.

They take turns, on one thread and on two; a ratio is the median over rounds of the time over Pillow's in the same
round, and Pillow has one thread. Beside our samplings stand ours of OpenCV as without its library, torch's path for
uint8 images, whose levels differ from Pillow's by one in places, and OpenCV's own.
"""

import argparse
import os
from collections.abc import Callable
from functools import partial
from time import perf_counter
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
CASES: tuple[tuple[Size, Size], ...] = (  # (height, width) of the photograph and of the canvas
    ((480, 640), (300, 300)),
    ((480, 640), (416, 416)),
    ((427, 640), (600, 899)),
    ((480, 640), (800, 1067)),
    ((1200, 1600), (300, 300)),
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
    if cv2 := opencv.library():
        others |= {
            "opencv, without its library": without_library,
            "OpenCV": lambda image, size: cv2.resize(image, size[::-1]),
        }
    return {REFERENCE: ours[REFERENCE]} | ours | others


def ratios(image: np.ndarray, size: Size, rounds: int) -> dict[str, float]:
    """The time of every way over the reference's; and the reference's in ms."""
    compared = ways()
    spent: dict[str, list[float]] = {name: [] for name in compared}
    for turn in range(rounds + 1):
        for name, way in compared.items():
            start = perf_counter()
            way(image, size)
            if turn:  # the first round warms up
                spent[name].append(perf_counter() - start)
    base = np.array(spent[REFERENCE])
    over = {name: float(np.median(np.array(times) / base)) for name, times in spent.items()}
    return over | {REFERENCE: float(np.median(base)) * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    add_out(parser)
    options = parser.parse_args()
    for threads in options.threads:
        torch.set_num_threads(threads)
        for source, size in CASES:
            image = np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8)
            row = {"source": source, "size": size, "threads": threads, "rounds": options.rounds}
            found = ratios(image, size, options.rounds)
            row |= {"pillow_ms": found.pop(REFERENCE), "over_pillow": found, "load": os.getloadavg()[0]}
            print(f"{source} -> {size}, {threads} threads: Pillow {row['pillow_ms']:.2f} ms", flush=True)
            for name, ratio in found.items():
                print(f"  {name:28}{ratio:6.2f}")
            append(row, options.out)


if __name__ == "__main__":
    main()
