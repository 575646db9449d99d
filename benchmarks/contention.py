"""Compares the latency of rows that are `valid` beside other work with the latency on a quiet machine.

    python benchmarks/contention.py --out results/contention-DATE-MACHINE.jsonl

measures candidates alone and beside loads of 0 to 100 % of one core: steady and in bursts, computing and copying
memory. A quiet measurement is made before and after every measurement with a load; the reference is the geometric mean
of the two. Every line of JSON has the load, the row's numbers and validity, the ratio to the reference, whether the
interval (widened as for comparing rows) contains the reference, and the duration. The last line is a summary.
"""

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from rows import add_out, append

from paretodet.bench.job import Plan
from paretodet.bench.runner import measure
from paretodet.config import CandidateConfig
from paretodet.frontier.values import value
from paretodet.opening import job
from paretodet.records.measurement import Measurement

SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)  # of one core
PERIODS = (0.1, 2.0, 20.0)  # s from the start of one burst of work to the next; the first is nearly steady
KINDS = ("compute", "memory")
LOAD = """
import sys, time
share, period, kind = float(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
if kind == "memory":
    import numpy as np
    source, target = np.ones(2**23), np.zeros(2**23)
while True:
    end = time.perf_counter() + share * period
    while time.perf_counter() < end:
        if kind == "memory":
            np.copyto(target, source)
    time.sleep((1 - share) * period)
"""


class Load(NamedTuple):
    """The share of a core, the period in s, and the kind of work."""

    share: float
    period: float
    kind: str


@contextmanager
def beside(load: Load) -> Iterator[None]:
    """Run the load inside the context."""
    if not load.share:
        yield
        return
    arguments = (str(load.share), str(load.period), load.kind)
    with subprocess.Popen([sys.executable, "-c", LOAD, *arguments]) as other:
        time.sleep(0.5)
        try:
            yield
        finally:
            other.kill()


def measured(names: Sequence[str], plan: Plan) -> tuple[dict[str, Measurement], float]:
    """The rows by name, and the duration in s."""
    began = time.monotonic()
    rows = {
        row.name: row
        for row in measure([job(CandidateConfig(name=name)) for name in names], plan=plan, resolution_pct=0.0)
    }
    return rows, time.monotonic() - began


def loads() -> list[Load]:
    """All combinations, with a single one without load."""
    return [Load(0.0, PERIODS[0], KINDS[0]), *(Load(*each) for each in product(SHARES[1:], PERIODS, KINDS))]


def shuffled(random: np.random.Generator) -> list[Load]:
    """All loads in a random order."""
    every = loads()
    return [every[place] for place in random.permutation(len(every))]


def line(load: Load, row: Measurement, truth: float, seconds: tuple[float, float]) -> dict[str, Any]:
    """The line of a measurement; `seconds` are its duration and that of the quiet measurement before it."""
    latency = value(row, "latency_ms_p50")
    numbers = ("validity", "latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high", "clean_share")
    return {
        **load._asdict(),
        "name": row.name,
        **{name: getattr(row, name) for name in (*numbers, "disturbed_pct", "bursts_left_out", "processes")},
        "truth_ms": truth,
        "ratio": latency and latency.point / truth,
        "holds": latency and latency.low <= truth <= latency.high,
        "priority": sorted({b["priority"] for process in row.raw for b in process["bursts"]}),
        "seconds": seconds[0],
        "seconds_quiet": seconds[1],
    }


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Numbers of the rows that count as valid, by load and overall; None where there is no row."""
    valid = [line for line in lines if line["validity"] in ("valid", "unwatched")]
    errors = [abs(math.log(line["ratio"])) for line in valid]
    quiet = [abs(math.log(line["ratio"])) for line in valid if not line["share"]]
    return {
        "summary": True,
        "rows": len(lines),
        "valid": len(valid),
        "within_3_pct": _mean([error <= math.log(1.03) for error in errors]),
        "within_10_pct": _mean([error <= math.log(1.1) for error in errors]),
        "held": _mean([line["holds"] for line in valid]),
        "quiet_within_3_pct": _mean([error <= math.log(1.03) for error in quiet]),
        "median_ratio_by_share": {
            str(share): float(np.median(ratios)) if ratios else None
            for share in SHARES
            for ratios in [[line["ratio"] for line in valid if line["share"] == share]]
        },
        "valid_by_share": {
            str(share): _mean([line in valid for line in lines if line["share"] == share]) for share in SHARES
        },
    }


def _mean(values: Sequence[bool]) -> float | None:
    return float(np.mean(values)) if values else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["ssd-mobilenet_v1-300", "yolo_v3_tiny-416"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--loads", type=int, help="loads of a round, drawn at random; without it all of them")
    parser.add_argument(
        "--patience", type=float, default=20.0, help="seconds that a measurement may wait for a quiet moment"
    )
    add_out(parser)
    options = parser.parse_args()
    plan, random, lines = Plan(budget=0.0, patience=options.patience), np.random.default_rng(0), []
    measured(options.names, plan)  # warm-up
    before, took = measured(options.names, plan)
    for load in [load for _ in range(options.rounds) for load in shuffled(random)[: options.loads]]:
        with beside(load):
            rows, seconds = measured(options.names, plan)
        after, next_took = measured(options.names, plan)
        for name, row in rows.items():
            ends = [quiet[name].latency_ms_p50 or math.nan for quiet in (before, after)]
            lines.append(line(load, row, math.sqrt(ends[0] * ends[1]), (seconds, took)))
            print(json.dumps(lines[-1]), flush=True)
            append(lines[-1], options.out)
        before, took = after, next_took
    print(json.dumps(summary(lines)))
    append(summary(lines), options.out)


if __name__ == "__main__":
    main()
