"""Times this project's detectors and torchvision's with the same weights, in turns: `python benchmarks/detectors.py`.

Needs torchvision. Eager fp32, batch 1, from an image in memory to boxes (and 28x28 masks) in memory: resizing and
normalization are included in both, pasting of masks in neither. Targets: one-stage detectors at most 1/1.2 of
torchvision's time, two-stage detectors 1/1.5, memory at most 1.05. The detections must be equal before they are timed.
Memory is the peak of a fresh process during detection, beyond that of the imports.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from rows import add_out, append

import record_torchvision_golden as dense
import record_torchvision_rcnn_golden as regions
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.network import detector_network

ROUNDS = 5, 30  # minimum and maximum number of turns
BUDGET = 40.0  # seconds per case
WARM = 2


class Case(NamedTuple):
    """A detector of this project, torchvision's equivalent, the image's size in px, the target ratio of times."""

    name: str
    model: str
    side: tuple[int, int]
    aim: float


CASES = (
    Case("ssd_tv-vgg16-300", "ssd300_vgg16", (300, 300), 1 / 1.2),
    Case("retinanet_tv-resnet50-800", "retinanet_resnet50_fpn", (800, 1333), 1 / 1.2),
    Case("faster_rcnn_tv-resnet50-800x1344", "fasterrcnn_resnet50_fpn", (800, 1333), 1 / 1.5),
    Case("mask_rcnn_tv-resnet50-800x1344", "maskrcnn_resnet50_fpn", (800, 1333), 1 / 1.5),
)


def ours(name: str) -> Detector:
    """A detector with random weights; Faster R-CNN gets those of Mask R-CNN."""
    if not name.startswith(("faster", "mask")):
        return dense.ours(name)
    whole = regions.ours()
    if name == regions.NAME:
        return whole
    detector = Detector(spec(name)).eval()
    detector.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("mask_head.")})
    return detector


def theirs(case: Case, detector: Detector) -> Any:
    """torchvision's model with its default sizes and the detector's weights and norm epsilon."""
    from torchvision.models import detection

    model: Any = getattr(detection, case.model)(weights=None, weights_backbone=None)
    dense.load_torchvision(model, detector)
    return model.eval()


def picture(side: tuple[int, int]) -> np.ndarray:
    """Smooth noise [H, W, 3] uint8."""
    coarse = torch.rand(1, 3, side[0] // 10, side[1] // 10, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(coarse, side, mode="bilinear")[0]
    return (smooth * 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def sides(case: Case, wanted: str = "both") -> dict[str, Callable[[], Tensor]]:
    """Functions that run on the image and return the scores of the detections, by library."""
    detector, image = ours(case.name), picture(case.side)
    runs: dict[str, Callable[[], Tensor]] = {}
    if wanted != "ours":
        model = theirs(case, detector)
        runs["torchvision"] = lambda: model([torch.from_numpy(image).permute(2, 0, 1).float() / 255])[0]["scores"]
    if wanted != "torchvision":
        candidate, size = NetworkCandidate(detector_network(detector)), torch.tensor([[float(s) for s in case.side]])
        del detector

        def detect() -> Tensor:
            scores = candidate.finish(candidate.infer(candidate.prepare([image])), size).scores
            return scores[scores > 0]

        runs["ours"] = detect
    return runs


def timed(run: Callable[[], Any]) -> float:
    start = perf_counter()
    run()
    return perf_counter() - start


def check(case: Case, mine: Tensor, other: Tensor) -> None:
    """Check that detections are equal, except for the last ones: an image is resized differently."""
    count = min(len(mine), len(other))
    assert count and abs(len(mine) - len(other)) <= 0.1 * count, (case.name, len(mine), len(other))
    torch.testing.assert_close(mine[: count // 2], other[: count // 2], atol=2e-2, rtol=0)


def resident_mib(key: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(key)) / 1024


def peak_mib(case: Case, wanted: str) -> float:
    """The peak memory of this process during detection, beyond that of the imports."""
    import torchvision  # noqa: F401  in both cases, so that it counts in neither

    base = resident_mib("VmRSS")
    (run,) = sides(case, wanted).values()
    run()
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    for _ in range(3):
        run()
    return resident_mib("VmHWM") - base


def memory(case: Case, wanted: str) -> float:
    command = [sys.executable, __file__, "--peak", f"{case.name},{wanted}"]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def measure(case: Case) -> dict[str, Any]:
    """Time both in turns after a warm-up; a ratio is of adjacent turns."""
    peaks = {wanted: memory(case, wanted) for wanted in ("ours", "torchvision")}
    runs = sides(case)
    for _ in range(WARM):
        check(case, runs["ours"](), runs["torchvision"]())
    pairs: list[tuple[float, float]] = []
    end = perf_counter() + BUDGET
    while len(pairs) < ROUNDS[0] or (perf_counter() < end and len(pairs) < ROUNDS[1]):
        pairs.append((timed(runs["ours"]), timed(runs["torchvision"])))
    ratios = [a / b for a, b in pairs]
    low, *_, high = quantiles(ratios, n=20, method="inclusive")
    return {
        "name": case.name,
        "torchvision_model": case.model,
        "ours_ms_p50": 1e3 * median(a for a, _ in pairs),
        "torchvision_ms_p50": 1e3 * median(b for _, b in pairs),
        "ratio_p50": median(ratios),
        "ratio_p5": low,
        "ratio_p95": high,
        "aim": case.aim,
        "ours_peak_mib": peaks["ours"],
        "torchvision_peak_mib": peaks["torchvision"],
        "memory_ratio": peaks["ours"] / peaks["torchvision"],
        "rounds": len(pairs),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_out(parser)
    parser.add_argument("--only", help="time only names that contain this text")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    if options.peak:
        name, wanted = options.peak.split(",")
        print(peak_mib(next(case for case in CASES if case.name == name), wanted))
        return
    print(f"{'':34}{'ours':>11}{'torchvision':>14}{'ratio':>8}  {'p5..p95':13}{'aim':>6}{'memory':>16}")
    for case in CASES:
        if (options.only or "") not in case.name:
            continue
        row = measure(case)
        spread = f"{row['ratio_p5']:.2f}..{row['ratio_p95']:.2f}"
        print(f"{case.name:34}{row['ours_ms_p50']:8.0f} ms{row['torchvision_ms_p50']:11.0f} ms", end="")
        print(f"{row['ratio_p50']:8.2f}  {spread:13}{case.aim:6.2f}", end="")
        print(f"{row['ours_peak_mib']:6.0f}/{row['torchvision_peak_mib']:4.0f} MiB", flush=True)
        append(row, options.out)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
