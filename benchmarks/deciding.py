"""CPU time in which a search decides what to measure next: `python benchmarks/deciding.py`.

The space is the catalogue at several sizes in several runtimes and precisions, with made-up latencies and AP. A
decision is all that follows from a new row: the expected times of measurements, the predictions, the memberships and
the choice. `ap` is known before any measurement; the memory is measured, and predicted as the latency is.

Target: at most 0.2 s among 5,000 configurations.
"""

import argparse
import json
import math
import os
import statistics
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np
from rows import add_out, append

from paretodet.bench.candidate import Candidate
from paretodet.bench.job import Job
from paretodet.bench.machine import facts, fingerprint, versions
from paretodet.detectors import catalogue
from paretodet.frontier.searched import Configuration, SearchResult
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
from paretodet.sweep.known import expected_rows, expected_seconds, features_of, kinds_of
from paretodet.sweep.searching import Search, next_step

EXECUTIONS = (
    ("eager", "fp32"), ("eager", "bf16"), ("compiled", "fp32"), ("compiled", "bf16"), ("winograd", "fp32"),
    ("onnxruntime", "fp32"), ("openvino", "fp32"), ("openvino", "int8"),
)  # fmt: skip
SCALES = (1.0, 1.2, 1.4, 1.6, 2.0)
TARGET_S = 0.2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="deciding.py [options]"
    )
    parser.add_argument("--configurations", type=int, default=5000)
    parser.add_argument("--measured", type=int, nargs="+", default=[20, 60, 200])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one JSON object a line")
    add_out(parser)
    options = parser.parse_args()
    made = jobs(options.configurations)
    for gain, measured in product(("ap", "-memory_infer_mib"), options.measured):
        spent = decisions(made, gain=gain, measured=measured, rounds=options.rounds)
        row = {"configurations": len(made), "gain": gain, "measured": measured, "rounds": options.rounds}
        row |= {"cpu_s_median": statistics.median(spent), "cpu_s_most": max(spent), "aim_s": TARGET_S}
        row |= {"load": os.getloadavg()[0]}
        text = f"{gain}, {measured} of {len(made):,} measured: {row['cpu_s_median']:.3f} s, at most {max(spent):.3f} s"
        print(json.dumps(row) if options.json else text, flush=True)
        append(row, options.out)


def never() -> Candidate:
    """Nothing is opened here."""
    raise AssertionError


def jobs(count: int) -> list[Job]:
    """Detectors of the catalogue at several sizes, in every runtime and precision, with an AP by their work."""
    made = []
    for scale, entry, (runtime, precision) in product(SCALES, catalogue.entries(), EXECUTIONS):
        recipe: dict[str, Any] = {"name": entry.name, "runtime": runtime, "precision": precision}
        recipe |= {"height": round(entry.height * scale), "width": round(entry.width * scale)}
        ap = 20 + 4 * math.log(entry.macs * scale**2 / 1e9) + len(entry.name) % 7 / 2
        about = {"ap": ap, "ap_split": "val", "ap_rounding": 0.05}
        asked = {"runtime": runtime, "precision": precision}
        made.append(Job(name=entry.name, make=never, recipe=recipe, asked=asked, about=about))
    return made[:count]


def decisions(made: list[Job], *, gain: str, measured: int, rounds: int) -> list[float]:
    """CPU seconds of each of some decisions about the same rows."""
    expected = expected_rows(made, {}, gain="ap", split=None)
    empty = SearchResult(
        cost="latency_ms_p50", gain=gain, split="val", slack=0.0, features=features_of(expected),
        configurations=tuple(Configuration(expected=row) for row in expected), seconds=expected_seconds(expected, {}),
        kinds=kinds_of(expected),
    )  # fmt: skip
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "rows.db")
        for place in np.random.default_rng(0).permutation(len(made))[:measured]:
            store.append(row(expected[place], int(place)))
        search = Search(jobs=made, empty=empty, store=store, run="", budget=1e9, began=0.0)
    spent = []
    for _ in range(rounds):
        began = process_time()
        known = search.result()
        assert int(known.measured.sum()) == measured and next_step(known, 1e9, ()) is not None
        spent.append(process_time() - began)
    return spent


def row(expected: Measurement, place: int) -> Measurement:
    """A made-up measurement: the runtime decides the speed, the work the latency, some noise the rest."""
    speed = 2e-8 * (1 + EXECUTIONS.index((expected.runtime, expected.precision)) / 4)
    noise = np.random.default_rng(place).normal(0, 0.08)
    point = 3 + (expected.macs or 1e9) * speed * math.exp(noise)
    bounds = {"": 1.0, "_low": 0.98, "_high": 1.02}
    numbers: dict[str, Any] = {f"latency_ms_p50{bound}": factor * point for bound, factor in bounds.items()}
    numbers["memory_infer_mib"] = 50 + 0.3 * point
    settings = {"search": {"seconds": 10.0, "finished": 1.0}}
    return with_id(replace(expected, processes=2, settings=settings, **here(), **numbers))


@cache
def here() -> dict[str, Any]:
    """The fields of a row that a search must find to count it."""
    return {"id": "", "at": "2030-01-01T00:00:00+00:00", "machine": fingerprint(facts()), "versions": versions()}


if __name__ == "__main__":
    main()
