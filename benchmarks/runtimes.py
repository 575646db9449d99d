"""Times detectors in every runtime and precision beside torchvision's eager float32: `python benchmarks/runtimes.py`.

`--prepare` makes all artifacts first, graphs, networks in int8 and compiled code, which a later run takes from the
cache; on a machine that shall be quiet only while it times. Neither needs the other.

Needs torchvision, and measures the runtimes that are installed. Batch 1, from an image in memory to boxes in memory,
the same weights in all. All are timed in turns, one call each; a ratio is of calls of the same turn. `yolo_v3` is
compared with OpenCV's DNN module, as torchvision has none. The precision is the one that is executed; `agreement` is
the share of the detections of eager float32, with random weights, that a runtime finds too; none if all of them score
less than 0.3. These weights are in int8 wherever a layer can be, as there is nothing to scan (`export.scan`), so their
agreement says little about trained ones.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from rows import add_out, append

from detectors import CASES, Case, ours, picture, theirs, timed
from paretodet.candidate import NetworkCandidate
from paretodet.config import CALIBRATED
from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import spec
from paretodet.export.parity import Comparison, Tolerance, add_image, boxes_of
from paretodet.extras import MissingExtra
from paretodet.media.calibration import calibration_images
from paretodet.network import detector_network
from paretodet.reports import listening
from paretodet.runtimes.runtime import Runtime
from paretodet.runtimes.table import RUNTIMES
from paretodet.transforms.resize_policy import Stretch
from paretodet.types import Detections
from random_weights import calibrated, draw

ROUNDS = 5, 25  # minimum and maximum number of turns
BUDGET = 90.0  # seconds per case
WARM = 2
YOLO = Case("yolo_v3-darknet53-416", "opencv", (416, 416), 1 / 1.05)
EXACT = "eager fp32"  # with which all are compared
SPREAD, OBJECTS, CLASSES = 8.0, -8.0, -10.0  # of YOLO's logits: the factor of their weights, and what their biases add
NOT_HERE = ("web",)  # another process, whose threads would disturb the turns


class Side(NamedTuple):
    """What is timed: a candidate of ours or the reference."""

    label: str
    run: Callable[[], Detections | None]
    facts: dict[str, Any]


def candidates(case: Case, only: str, calibration: Path | None) -> Iterator[NetworkCandidate]:
    """The detector in every runtime and precision that can run it here; int8 calibrated on the images of a folder."""
    threads = torch.get_num_threads()
    for kind in RUNTIMES:
        for precision in kind.usable("cpu"):
            name = f"{kind.name} {precision}"
            if kind.name in NOT_HERE or not (name == EXACT or any(part in name for part in only.split(","))):
                continue
            try:
                kind.require("torch")
                with shown(name):
                    made = candidate(case, kind(precision=precision, threads=threads, calibration=calibration))
                    made.facts()  # some are read by another process
                yield made
            except (MissingExtra, ImportError, ValueError) as error:
                print(f"  {name}: {error}", flush=True)


@contextmanager
def shown(name: str) -> Iterator[None]:
    """Prints what is made meanwhile, and how long it took."""
    start = perf_counter()
    with listening(lambda line: print(f"  {name}: {line}", flush=True)):
        yield
    print(f"  {name}: ready after {perf_counter() - start:.0f} s", flush=True)


def candidate(case: Case, runtime: Runtime) -> NetworkCandidate:
    """On one canvas for all images, as graphs need it: the one that the detector has for the image of the case."""
    detector = yolo() if case is YOLO else ours(case.name)
    height, width = detector.spec.fit.canvas(case.side)
    detector.spec = replace(detector.spec, height=height, width=width, fit=Stretch(height=height, width=width))
    return NetworkCandidate(detector_network(detector), runtime)


@cache
@torch.no_grad()
def yolo() -> Detector:
    """With random weights that score as trained ones do: of the 851,760 pairs of box and class of a photograph, some
    thousands are above the threshold and about a hundred above 0.3.
    """
    detector = build(spec(YOLO.name))
    images = NetworkCandidate(detector_network(detector)).prepare([picture(YOLO.side)])
    draw(detector, calibrated(detector, lambda: detector(images), seed=0), seed=0)
    for layer in detector.heads[0].layers:  # type: ignore[union-attr]
        layer.weight.unflatten(0, (3, -1))[:, 4:].mul_(SPREAD)  # of three anchors; after their codes
        layer.bias.view(3, -1)[:, 4:].add_(CLASSES)
        layer.bias.view(3, -1)[:, 4].add_(OBJECTS - CLASSES)
    return detector


def side(case: Case, made: NetworkCandidate, image: np.ndarray) -> Side:
    size = torch.tensor([[float(s) for s in case.side]])
    facts = made.facts()
    images = calibration_images(made.runtime.calibration).to_json() if facts.precision == CALIBRATED else None
    kept = {key: getattr(facts, key) for key in ("runtime", "precision", "precision_layers", "export_ms", "compile_ms")}
    return Side(
        f"{facts.runtime} {facts.precision}",
        lambda: made.finish(made.infer(made.prepare([image])), size),
        kept | {"settings": dict(facts.runtime_settings), "calibration": images},
    )


def reference(case: Case, sides: list[Side], image: np.ndarray) -> Side:
    if case is YOLO:
        return next((each for each in sides if each.label == "opencv fp32"), sides[0])
    model = theirs(case, ours(case.name))

    def run() -> None:
        model([torch.from_numpy(image).permute(2, 0, 1).float() / 255])

    return Side("torchvision eager fp32", run, {})


def agreement(found: Detections, wanted: Detections, image: np.ndarray) -> float | None:
    comparison = Comparison()
    add_image(comparison, boxes_of(wanted, 0), boxes_of(found, 0), image=image, name="", tolerance=Tolerance())
    return comparison.agreement


def measure(case: Case, only: str, calibration: Path | None) -> list[dict[str, Any]]:
    """Time all in turns after a warm-up."""
    image = picture(case.side)
    sides = [side(case, made, image) for made in list(candidates(case, only, calibration))]
    base = reference(case, sides, image)
    exact = next(each for each in sides if each.label == EXACT).run()
    assert exact is not None
    found = {each.label: agreement(each.run(), exact, image) for each in sides}  # type: ignore[arg-type]
    turns: list[dict[str, float]] = []
    timed_sides = [base, *(each for each in sides if each is not base)]
    for _ in range(WARM):
        [each.run() for each in timed_sides]
    end = perf_counter() + BUDGET
    while len(turns) < ROUNDS[0] or (perf_counter() < end and len(turns) < ROUNDS[1]):
        turns.append({each.label: timed(each.run) for each in timed_sides})
    rows = [row(case, base, each, turns, found.get(each.label)) for each in timed_sides]
    return sorted(rows, key=lambda each: each["ms_p50"])


def row(case: Case, base: Side, each: Side, turns: list[dict[str, float]], found: float | None) -> dict[str, Any]:
    ratios = [turn[each.label] / turn[base.label] for turn in turns]
    low, *_, high = quantiles(ratios, n=20, method="inclusive")
    return {
        "name": case.name,
        "label": each.label,
        "reference": base.label,
        "ms_p50": 1e3 * median(turn[each.label] for turn in turns),
        "ratio_p50": median(ratios),
        "ratio_p5": low,
        "ratio_p95": high,
        "agreement": found,
        "rounds": len(turns),
        "threads": torch.get_num_threads(),
        **each.facts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_out(parser)
    parser.add_argument("--case", default="", help="time only names that contain this text")
    parser.add_argument(
        "--only", default="", help="time only these runtimes and precisions, as `openvino,onnxruntime fp32`"
    )
    parser.add_argument("--calibrate", type=Path, help="folder of images for int8 [default: the photographs at hand]")
    parser.add_argument("--prepare", action="store_true", help="only fill the cache with what is timed")
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    for case in (*CASES, YOLO):
        if options.case not in case.name:
            continue
        print(case.name, flush=True)
        if options.prepare:
            [None for _ in candidates(case, options.only, options.calibrate)]
            continue
        for each in measure(case, options.only, options.calibrate):
            spread = f"{each['ratio_p5']:.2f}..{each['ratio_p95']:.2f}"
            print(f"  {each['label']:24}{each['ms_p50']:8.0f} ms{each['ratio_p50']:7.2f}  {spread}", end="")
            print(
                f"  {1 / each['ratio_p50']:5.2f} x" + ("" if each["agreement"] is None else f"{each['agreement']:7.3f}")
            )
            append(each, options.out)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
