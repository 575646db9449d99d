"""Compares forked worker processes with fresh ones: their latency, and its spread between processes.

    python benchmarks/forked.py NAME... --pairs 12 --out results/forked-DATE-MACHINE.jsonl

prints one line of JSON for each detector: the ratio of forked to fresh latency and the ratio of the spreads of the
process medians on the log scale, both with a 95 % interval from a bootstrap over pairs. The latency ratio is the median
of pairs that ran one after the other, so a machine that slows down for minutes slows both.
"""

import argparse
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from rows import add_out, append

from paretodet.bench import process
from paretodet.bench.bursts import samples
from paretodet.bench.job import Job, Plan
from paretodet.bench.synthetic_images import draw_images
from paretodet.config import CandidateConfig
from paretodet.opening import job

PLAN = Plan()
RESAMPLED = 10_000
KINDS = {"forked": True, "fresh": False}


def median(job_: Job, images: Sequence[Any], *, forks: bool) -> float:
    """The median latency in ms of one process."""
    process.USES_FORKSERVER = forks
    with process.Worker(job_, PLAN) as worker:
        worker.ready()
        worker.ask("load", images, None)
        bursts: list[dict[str, Any]] = []
        while sum(burst["seconds"] for burst in bursts) < PLAN.sampled:
            bursts.append(worker.ask("burst"))
    return float(np.median(samples({"bursts": bursts})))


def spread_ratio(forked: np.ndarray, fresh: np.ndarray) -> tuple[float, float, float]:
    """The ratio of the mean distances from the median, forked to fresh, with a bootstrap interval over pairs."""

    def spread(logs: np.ndarray) -> np.ndarray:
        return np.abs(logs - np.median(logs, axis=-1, keepdims=True)).mean(-1)

    random = np.random.default_rng(0)
    picks = random.integers(0, len(forked), (RESAMPLED, len(forked)))
    with np.errstate(divide="ignore", invalid="ignore"):  # of few pairs one may be drawn for all
        ratios = np.log(spread(forked[picks]) / spread(fresh[picks]))
    low, high = np.exp(np.percentile(ratios[np.isfinite(ratios)], (2.5, 97.5)))
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
    job_, images = job(CandidateConfig(name=name)), draw_images(0)
    process.USES_FORKSERVER = True
    process.preload([job_])
    random = np.random.default_rng(0)
    medians: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(pairs):
        for kind in random.permutation(list(KINDS)):
            medians[kind].append(median(job_, images, forks=KINDS[kind]))
    return summary(name, medians)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["ssd-mobilenet_v1-300", "hf:d_fine-n", "yolo_v3-darknet53-320"])
    parser.add_argument("--pairs", type=int, default=12)
    add_out(parser)
    options = parser.parse_args()
    for name in options.names:
        row = compared(name, options.pairs)
        print(json.dumps(row))
        append(row, options.out)


if __name__ == "__main__":
    main()
