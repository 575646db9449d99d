"""Times decoding, scoring and suppression of one-stage detectors: `python benchmarks/selection.py`.

Targets at the published capacities, on 2 cores: 3 ms up to 0.2 M scores (references x classes), 6 ms up to 0.9 M. Every
detector is timed at its threshold with logits of a few objects and many low scores, and at capacity, where all scores
pass. The share is the part of the whole detector's time; turns of both alternate.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import torch
from rows import add_out, append

from paretodet.detectors.catalogue import names
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.detectors.spec import DetectorSpec
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.types import Images, Predictions

ROUNDS = 5, 40  # minimum and maximum number of turns
BUDGET = 10.0  # seconds per case


def one_stage(only: str) -> Iterator[tuple[str, DetectorSpec]]:
    for name in (name for name in names() if only in name):
        if len((detector := spec(name)).stages) == 1:
            yield name, detector


def timed(run: Callable[[], Any]) -> float:
    start = perf_counter()
    run()
    return (perf_counter() - start) * 1e3


def doubtful(predictions: Predictions) -> Predictions:
    """Predictions with normally distributed logits around -3: many scores of about 0.05 and a few high ones."""
    noise = torch.Generator().manual_seed(0)
    logits = torch.randn(predictions.logits.shape, generator=noise) * 1.5 - 3
    return Predictions(torch.randn(predictions.codes.shape, generator=noise) * 0.5, logits)


def measure(name: str, detector_spec: DetectorSpec, load: str) -> dict[str, Any]:
    detector = Detector(fill_every_slot(detector_spec) if load == "capacity" else detector_spec).eval()
    images = Images(
        torch.randint(0, 256, (1, 3, detector_spec.height, detector_spec.width), dtype=torch.uint8),
        torch.tensor([[float(detector_spec.height), float(detector_spec.width)]]),
    )
    maps = detector.features(images)
    references = detector.propose(maps, images)
    predictions = doubtful(detector.refine(maps, references, images))

    def part() -> Any:
        return detector.select(predictions, references, images)

    def whole() -> Any:
        return detector.refine(detector.features(images), detector.propose(maps, images), images), part()

    for _ in range(3):
        whole()
    pairs: list[tuple[float, float]] = []
    end = perf_counter() + BUDGET
    while len(pairs) < ROUNDS[0] or (perf_counter() < end and len(pairs) < ROUNDS[1]):
        pairs.append((timed(part), timed(whole)))
    low, *_, high = quantiles([a for a, _ in pairs], n=20, method="inclusive")
    count = sum(references.counts)
    return {
        "name": name,
        "load": load,
        "references": count,
        "scores": count * detector_spec.classes,
        "select_ms_p50": median(a for a, _ in pairs),
        "select_ms_p5": low,
        "select_ms_p95": high,
        "share": median(a / b for a, b in pairs),
        "aim_ms": 3.0
        if count * detector_spec.classes <= 200_000
        else 6.0
        if count * detector_spec.classes <= 900_000
        else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_out(parser)
    parser.add_argument("--only", default="", help="time only names that contain this text")
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    print(f"{'':36}{'load':>10}{'scores':>10}{'p50':>10}  {'p5..p95 ms':14}{'aim':>4}{'share':>8}")
    with torch.inference_mode():
        for name, detector_spec in one_stage(options.only):
            for load in ("doubtful", "capacity"):
                torch.manual_seed(0)
                row = measure(name, detector_spec, load)
                spread = f"{row['select_ms_p5']:.2f}..{row['select_ms_p95']:.2f}"
                print(f"{name:36}{load:>10}{row['scores']:10}{row['select_ms_p50']:7.2f} ms  {spread:14}", end="")
                print(f"{row['aim_ms'] or '':>4}{row['share']:8.1%}", flush=True)
                append(row, options.out)


if __name__ == "__main__":
    main()
