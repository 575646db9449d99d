"""Forked worker processes against fresh ones: do they take as long, and do they differ as much from each other?

    python benchmarks/forked.py NAME... --pairs 12 --out results/forked-DATE-MACHINE.jsonl

prints a line of JSON a detector: the ratio of forked over fresh latency and the ratio of the spreads of the process
medians on the log scale, each with its 95 % interval. Processes of both kinds take turns, one alive at a time.
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
from paretodet.bench.synthetic_images import draw
from paretodet.opening import CandidateConfig, job
from paretodet.records.statistics import ratio_interval

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


def compared(name: str, pairs: int) -> dict[str, Any]:
    wanted, images = job(CandidateConfig(name=name)), draw(0)
    process.FORKS = True
    process.preload([wanted])
    random, found = np.random.default_rng(0), {kind: [] for kind in KINDS}  # type: dict[str, list[float]]
    for _ in range(pairs):
        for kind in random.permutation(list(KINDS)):
            found[kind].append(median(wanted, images, forks=KINDS[kind]))
    ratio = ratio_interval(found["forked"], found["fresh"])
    logs = [np.log(found[kind]) for kind in KINDS]
    between = {kind: 100 * math.expm1(float(np.std(np.log(found[kind]), ddof=1))) for kind in KINDS}
    return {"name": name, "pairs": pairs, "ratio": list(ratio), "spread_pct": between, "ms": found} | {
        "spread_ratio": list(spread_ratio(*logs))
    }


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
