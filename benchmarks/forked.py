"""Forked worker processes against fresh ones: do they take as long, and do they differ as much from each other?

    python benchmarks/forked.py NAME... --pairs 12 --out results/forked-DATE-MACHINE.jsonl

prints a line of JSON a detector: the ratio of forked over fresh latency (the median of pairs that ran one after the
other, so that a machine that slows down for minutes slows both) and the ratio of the spreads of the process medians on
the log scale, each with its 95 % interval from a bootstrap over pairs.
"""

import argparse
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rows import add_out, keep

from paretodet.bench import process
from paretodet.bench.clean import samples
from paretodet.bench.job import Job, Plan
from paretodet.bench.photographs import draw
from paretodet.open import Recipe, job

PLAN = Plan()
RESAMPLED = 10_000
KINDS = {"forked": True, "fresh": False}


def median(wanted: Job, images: Sequence[Any], *, forks: bool) -> float:
    """ms, of one process."""
    process.FORKS = forks
    with process.Worker(wanted, PLAN) as worker:
        worker.ready()
        worker.ask("load", images, None)
        bursts: list[dict[str, Any]] = []
        while sum(burst["seconds"] for burst in bursts) < PLAN.sampled:
            bursts.append(worker.ask("burst"))
    return float(np.median(samples({"bursts": bursts})))


def spread_ratio(forked: np.ndarray, fresh: np.ndarray) -> tuple[float, float, float]:
    """Forked over fresh: the mean distance from the median. The interval is a bootstrap over pairs."""

    def spread(logs: np.ndarray) -> np.ndarray:
        return np.abs(logs - np.median(logs, axis=-1, keepdims=True)).mean(-1)

    random = np.random.default_rng(0)
    picks = random.integers(0, len(forked), (RESAMPLED, len(forked)))
    found = np.log(spread(forked[picks]) / spread(fresh[picks]))
    low, high = np.exp(np.percentile(found, (2.5, 97.5)))
    return float(spread(forked) / spread(fresh)), float(low), float(high)


def pair_ratio(forked: np.ndarray, fresh: np.ndarray) -> tuple[float, float, float]:
    """Forked over fresh: the median over pairs of logarithms. The interval is a bootstrap over pairs."""
    ratios = forked - fresh
    picks = np.random.default_rng(0).integers(0, len(ratios), (RESAMPLED, len(ratios)))
    low, high = np.percentile(np.median(ratios[picks], axis=1), (2.5, 97.5))
    return float(np.exp(np.median(ratios))), float(np.exp(low)), float(np.exp(high))


def summary(name: str, ms: dict[str, list[float]]) -> dict[str, Any]:
    logs = [np.log(ms[kind]) for kind in KINDS]
    between = {kind: 100 * math.expm1(float(np.std(np.log(ms[kind]), ddof=1))) for kind in KINDS}
    ratios = {"ratio": list(pair_ratio(*logs)), "spread_ratio": list(spread_ratio(*logs))}
    return {"name": name, "pairs": len(ms["forked"]), **ratios, "spread_pct": between, "ms": ms}


def compared(name: str, pairs: int) -> dict[str, Any]:
    wanted, images = job(Recipe(name=name)), draw(0)
    process.FORKS = True
    process.preload([wanted])
    random, found = np.random.default_rng(0), {kind: [] for kind in KINDS}  # type: dict[str, list[float]]
    for _ in range(pairs):
        for kind in random.permutation(list(KINDS)):
            found[kind].append(median(wanted, images, forks=KINDS[kind]))
    return summary(name, found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["ssd-mobilenet_v1-300", "hf:d_fine-n", "yolo_v3-darknet53-320"])
    parser.add_argument("--pairs", type=int, default=12)
    add_out(parser)
    asked = parser.parse_args()
    for name in asked.names:
        row = compared(name, asked.pairs)
        print(json.dumps(row))
        keep(row, asked.out)


if __name__ == "__main__":
    main()
