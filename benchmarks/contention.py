"""Does a row that says `valid` tell the quiet truth beside other work?

    python benchmarks/contention.py --out results/contention-DATE-MACHINE.jsonl

measures candidates alone and beside loads of 0 to 100 % of one core, in one run: steady ones and bursts of them, that
compute and that copy memory. Before and after every measurement beside a load stands a quiet one; the truth is the
geometric mean of the two. A line of JSON a measurement: the load, the row's numbers and marks, its ratio to the truth,
whether its interval (widened as comparing rows widens it) holds 1, and how long it took. The last line sums up.
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
from rows import add_out, keep

from paretodet.bench.job import Plan
from paretodet.bench.runner import measure
from paretodet.frontier.values import value
from paretodet.opening import CandidateConfig, job
from paretodet.records.measurement import Measurement

SHARES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)  # of one core
PERIODS = (0.1, 2.0, 20.0)  # s from the start of one spell of work to the next: steady, and in bursts
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
    share: float
    period: float
    kind: str


@contextmanager
def beside(load: Load) -> Iterator[None]:
    """The load runs inside."""
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
    """The rows by name, and the seconds that they took."""
    began = time.monotonic()
    rows = {
        row.name: row
        for row in measure([job(CandidateConfig(name=name)) for name in names], plan=plan, resolution_pct=0.0)
    }
    return rows, time.monotonic() - began


def loads() -> list[Load]:
    """Every combination, the one without load once a kind of nothing."""
    return [Load(0.0, PERIODS[0], KINDS[0]), *(Load(*each) for each in product(SHARES[1:], PERIODS, KINDS))]


def line(load: Load, row: Measurement, truth: float, seconds: tuple[float, float]) -> dict[str, Any]:
    """What a measurement beside a load was worth. Seconds: of it and of the quiet one before."""
    said = value(row, "latency_ms_p50")
    numbers = ("validity", "latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high", "clean_share")
    return {
        **load._asdict(),
        "name": row.name,
        **{name: getattr(row, name) for name in (*numbers, "disturbed_pct", "bursts_left_out", "processes")},
        "truth_ms": truth,
        "ratio": said and said.point / truth,
        "holds": said and said.low <= truth <= said.high,
        "priority": sorted({b["priority"] for process in row.raw for b in process["bursts"]}),
        "seconds": seconds[0],
        "seconds_quiet": seconds[1],
    }


def summary(lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Of the rows that count as valid, by load and in all."""
    valid = [each for each in lines if each["validity"] in ("valid", "unwatched")]
    spread = [abs(math.log(each["ratio"])) for each in valid]
    quiet = [abs(math.log(each["ratio"])) for each in valid if not each["share"]]
    return {
        "summary": True,
        "rows": len(lines),
        "valid": len(valid),
        "within_3_pct": float(np.mean([each <= math.log(1.03) for each in spread])),
        "within_10_pct": float(np.mean([each <= math.log(1.1) for each in spread])),
        "held": float(np.mean([each["holds"] for each in valid])),
        "quiet_within_3_pct": float(np.mean([each <= math.log(1.03) for each in quiet])) if quiet else None,
        "median_ratio_by_share": {
            str(share): float(np.median([each["ratio"] for each in valid if each["share"] == share] or [math.nan]))
            for share in SHARES
        },
        "valid_by_share": {
            str(share): float(np.mean([each in valid for each in lines if each["share"] == share] or [math.nan]))
            for share in SHARES
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["ssd-mobilenet_v1-300", "yolo_v3_tiny-416"])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--patience", type=float, default=20.0, help="seconds a measurement may lose to the load")
    add_out(parser)
    asked = parser.parse_args()
    plan, random, lines = Plan(budget=0.0, patience=asked.patience), np.random.default_rng(0), []
    measured(asked.names, plan)  # what is slow the first time is over
    before, took = measured(asked.names, plan)
    for load in (every for _ in range(asked.rounds) for every in random.permutation(np.array(loads(), dtype=object))):
        load = Load(*load)
        with beside(load):
            rows, seconds = measured(asked.names, plan)
        after, next_took = measured(asked.names, plan)
        for name, row in rows.items():
            ends = [quiet[name].latency_ms_p50 or math.nan for quiet in (before, after)]
            lines.append(line(load, row, math.sqrt(ends[0] * ends[1]), (seconds, took)))
            print(json.dumps(lines[-1]), flush=True)
            keep(lines[-1], asked.out)
        before, took = after, next_took
    print(json.dumps(summary(lines)))
    keep(summary(lines), asked.out)


if __name__ == "__main__":
    main()
