"""Times suppression and crops against torchvision's C++, in turns in one process: `python benchmarks/operators.py`.

Needs torchvision; one thread. Targets: suppression at most 0.2, RoIAlign at most 0.4 of torchvision's time; 67,500
boxes within 100 ms and 64 MiB. The results must be equal before they are timed.
"""

import argparse
import ctypes
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import NamedTuple

import torch
import torchvision
from rows import add_out, append
from torch import Tensor

from paretodet.ops.nms import nms
from paretodet.ops.roi import roi_align, roi_pool

BUDGET = 6.0  # seconds per case, besides its first rounds
ROUNDS = 5, 50  # minimum and maximum number of turns


class Case(NamedTuple):
    """Two implementations of an operator, and the target ratio of their times."""

    name: str
    ours: Callable[[], Tensor]
    theirs: Callable[[], Tensor]
    aim: float | None


def boxes_on(canvas: float, count: int, side: tuple[float, float] = (8, 200)) -> Tensor:
    """Random boxes [count, 4] clipped to a square canvas, px."""
    return from_centers(torch.rand(count, 2) * canvas, canvas, side)


def crowded_on(canvas: float, count: int, centers: int, side: tuple[float, float] = (8, 200)) -> Tensor:
    """Boxes around few objects, like those of a trained network."""
    center = (torch.rand(centers, 2) * canvas)[torch.randint(centers, (count,))]
    return from_centers(center + torch.randn(count, 2) * canvas / 200, canvas, side)


def from_centers(center: Tensor, canvas: float, side: tuple[float, float]) -> Tensor:
    size = torch.empty_like(center).uniform_(*side)
    return torch.cat([center - size / 2, center + size / 2], 1).clamp(0, canvas)


def suppressions() -> Iterator[Case]:
    for count in (6000, 67_500):
        for kind, boxes, aim in (
            ("scattered", boxes_on(1000, count), 0.2),
            ("crowded", crowded_on(1000, count, 100), 0.2),
            (
                "never full",
                crowded_on(1000, count, 20, (60, 64)),
                None,
            ),  # fewer than 300 are kept, so every box is processed
        ):
            scores = torch.rand(count)
            yield Case(
                f"nms {count} keep 300 {kind}",
                partial(suppress, boxes, scores),
                partial(suppress_tv, boxes, scores),
                aim,
            )


def suppress(boxes: Tensor, scores: Tensor) -> Tensor:
    return nms(boxes[None], scores[None], overlap=0.7, keep=300)[0]


def suppress_tv(boxes: Tensor, scores: Tensor) -> Tensor:
    kept: Tensor = torchvision.ops.nms(boxes, scores, 0.7)[:300]
    return kept


def crops() -> Iterator[Case]:
    for channels, side, bins, count in (
        (1024, 38, 14, 300),
        (1024, 38, 7, 300),
        (256, 100, 7, 300),
        (256, 200, 7, 1000),
    ):
        features, boxes = torch.randn(1, channels, side, side), boxes_on(side * 8, count)
        rois = torch.cat([torch.zeros(count, 1), boxes], 1)
        for layout in (torch.channels_last, torch.contiguous_format):
            ours = features.contiguous(memory_format=layout)
            yield Case(
                f"roi_align {channels}ch {side}x{side} {bins}x{bins} {count} {str(layout).removeprefix('torch.')}",
                partial(align, ours, boxes, bins),
                partial(align_tv, features, rois, bins),
                0.4,
            )
    yield Case(
        "roi_pool 256ch 200x200 7x7 1000",
        lambda: roi_pool(features, boxes[None], stride=8)[0],
        lambda: torchvision.ops.roi_pool(features, rois, 7, 1 / 8),
        None,
    )


def align(features: Tensor, boxes: Tensor, bins: int) -> Tensor:
    return roi_align([features], boxes[None], strides=[8], bins=bins, samples=2, aligned=False)[0]


def align_tv(features: Tensor, rois: Tensor, bins: int) -> Tensor:
    crops: Tensor = torchvision.ops.roi_align(features, rois, bins, 1 / 8, 2, False)
    return crops


def timed(run: Callable[[], Tensor]) -> float:
    start = perf_counter()
    run()
    return (perf_counter() - start) * 1e3


def peak_mib(run: Callable[[], Tensor]) -> float | None:
    """The peak of resident memory that one call adds; None if the system does not report it."""
    try:
        ctypes.CDLL(None).malloc_trim(0)  # so that memory freed earlier is not reused by this call
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        before = resident_mib("VmRSS")
        run()
        return resident_mib("VmHWM") - before
    except (OSError, AttributeError):
        return None


def resident_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def measure(case: Case) -> dict[str, str | float | None]:
    """Time both in turns after two warm-up rounds; a ratio is of adjacent turns."""
    memory, memory_theirs = peak_mib(case.ours), peak_mib(case.theirs)
    ours, theirs = case.ours(), case.theirs()
    ours = ours[ours >= 0] if ours.dim() == 1 else ours
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=1e-4)
    pairs: list[tuple[float, float]] = []
    end = perf_counter() + BUDGET
    while len(pairs) < ROUNDS[0] or (perf_counter() < end and len(pairs) < ROUNDS[1]):
        pairs.append((timed(case.ours), timed(case.theirs)))
    ratios = [a / b for a, b in pairs]
    low, *_, high = quantiles(ratios, n=20, method="inclusive")
    return {
        "name": case.name,
        "ours_ms_p50": median(a for a, _ in pairs),
        "torchvision_ms_p50": median(b for _, b in pairs),
        "ratio_p50": median(ratios),
        "ratio_p5": low,
        "ratio_p95": high,
        "aim": case.aim,
        "ours_peak_mib": memory,
        "torchvision_peak_mib": memory_theirs,
        "rounds": len(pairs),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_out(parser)
    parser.add_argument("--only", default="", help="time only names that contain this text")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(f"{'':48}{'ours':>10}{'torchvision':>13}{'ratio':>8}  {'p5..p95':15}{'aim':>5}{'peak MiB':>10}")
    with torch.inference_mode():
        for case in (case for case in (*suppressions(), *crops()) if options.only in case.name):
            row = measure(case)
            spread, aim = f"{row['ratio_p5']:.3f}..{row['ratio_p95']:.3f}", "" if case.aim is None else case.aim
            memory = "" if row["ours_peak_mib"] is None else f"{row['ours_peak_mib']:.0f}"
            print(f"{case.name:48}{row['ours_ms_p50']:7.1f} ms{row['torchvision_ms_p50']:10.1f} ms", end="")
            print(f"{row['ratio_p50']:8.3f}  {spread:15}{aim:>5}{memory:>10}", flush=True)
            append(row, options.out)


if __name__ == "__main__":
    main()
