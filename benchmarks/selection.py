"""Times what follows the network in one-stage detectors: decode, score, suppress. `python benchmarks/selection.py`.

Aims at the original's capacities, on 2 cores: 3 ms up to 0.2 M scores (references x classes), 6 ms up to 0.9 M. Each
detector is timed at its own threshold, on logits that leave a few objects and much doubt, and at capacity, where every
score takes part. The share is of the whole detector, whose turns alternate with the part's.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import torch
from rows import add_out, keep

from paretodet.detectors.catalogue import names
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.detectors.spec import DetectorSpec
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.types import Images, Predictions

ROUNDS = 5, 40  # turns at least and at most
BUDGET = 10.0  # seconds a case


def one_stage() -> Iterator[tuple[str, DetectorSpec]]:
    for name in names():
        made = spec(name)
        if len(made.stages) == 1:
            yield name, made


def timed(run: Callable[[], Any]) -> float:
    start = perf_counter()
    run()
    return (perf_counter() - start) * 1e3


def doubtful(predictions: Predictions) -> Predictions:
    """Logits of normal distribution around -3: some hundred thousand scores of 0.05 and a tail of sure ones."""
    noise = torch.Generator().manual_seed(0)
    logits = torch.randn(predictions.logits.shape, generator=noise) * 1.5 - 3
    return Predictions(torch.randn(predictions.codes.shape, generator=noise) * 0.5, logits)


def measure(name: str, made: DetectorSpec, load: str) -> dict[str, Any]:
    wanted = fill_every_slot(made) if load == "capacity" else made
    detector = Detector(wanted).eval()
    images = Images(
        torch.randint(0, 256, (1, 3, made.height, made.width), dtype=torch.uint8),
        torch.tensor([[float(made.height), float(made.width)]]),
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
        "scores": count * made.classes,
        "select_ms_p50": median(a for a, _ in pairs),
        "select_ms_p5": low,
        "select_ms_p95": high,
        "share": median(a / b for a, b in pairs),
        "aim_ms": 3.0 if count * made.classes <= 200_000 else 6.0 if count * made.classes <= 900_000 else None,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_out(parser)
    out = parser.parse_args().out
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    print(f"{'':36}{'load':>10}{'scores':>10}{'p50':>10}  {'p5..p95 ms':14}{'aim':>4}{'share':>8}")
    with torch.inference_mode():
        for name, made in one_stage():
            for load in ("doubtful", "capacity"):
                torch.manual_seed(0)
                row = measure(name, made, load)
                spread = f"{row['select_ms_p5']:.2f}..{row['select_ms_p95']:.2f}"
                print(f"{name:36}{load:>10}{row['scores']:10}{row['select_ms_p50']:7.2f} ms  {spread:14}", end="")
                print(f"{row['aim_ms'] or '':>4}{row['share']:8.1%}", flush=True)
                keep(row, out)


if __name__ == "__main__":
    main()
