"""Time of every sampling over Pillow's, at the sizes of photographs: `python benchmarks/preparation.py`.

They take turns on one thread; a ratio is the median over rounds of the time over Pillow's in the same round. Beside our
samplings stand torch's path for uint8 images, whose levels differ from Pillow's by one in places, and OpenCV's own.
"""

import argparse
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from time import process_time

import numpy as np
import torch
import torch.nn.functional as F
from rows import add_out, append

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


def ways() -> dict[str, Way]:
    """All that are compared, the reference first."""
    ours: dict[str, Way] = {name: partial(resize, sampling=name) for name in SAMPLINGS}  # type: ignore[arg-type]
    theirs: dict[str, Way] = {
        "torch uint8": partial(torchs, antialias=False),
        "torch uint8, antialiased": partial(torchs, antialias=True),
    }
    if find_spec("cv2"):
        import cv2

        cv2.setNumThreads(1)
        theirs["OpenCV"] = lambda image, size: cv2.resize(image, size[::-1])
    return {REFERENCE: ours[REFERENCE]} | ours | theirs


def ratios(image: np.ndarray, size: Size, rounds: int) -> dict[str, float]:
    """The time of every way over the reference's; and the reference's in ms."""
    compared = ways()
    spent: dict[str, list[float]] = {name: [] for name in compared}
    for turn in range(rounds + 1):
        for name, way in compared.items():
            start = process_time()
            way(image, size)
            if turn:  # the first round warms up
                spent[name].append(process_time() - start)
    base = np.array(spent[REFERENCE])
    over = {name: float(np.median(np.array(times) / base)) for name, times in spent.items()}
    return over | {REFERENCE: float(np.median(base)) * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for source, size in CASES:
        image = np.random.default_rng(0).integers(0, 256, (*source, 3), dtype=np.uint8)
        found = ratios(image, size, options.rounds)
        print(f"{source} -> {size}: Pillow {found.pop(REFERENCE):.2f} ms", flush=True)
        for name, ratio in found.items():
            print(f"  {name:26}{ratio:6.2f}")
        append({"source": source, "size": size, "over_pillow": found, "rounds": options.rounds}, options.out)


if __name__ == "__main__":
    main()
