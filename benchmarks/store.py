"""Times commands on large stores, in fresh processes: `python benchmarks/store.py`.

Targets: `frontier` and `recommend` on 100 rows in 0.5 s, on 100,000 in 1.5 s, on 1,000,000 in 10 s and 2 GB; `report`
on 100,000 rows in 5 s. A store is made once in `--folder` and reused. Its rows have names of the catalogue; every
twentieth repeats an earlier artefact. A row has the samples of five processes, about 10 kB, so a million rows take
10 GB and half an hour to make (`--rows 1000000`).
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rows import add_out, append

from paretodet.detectors.catalogue import entries
from paretodet.records.row_id import canonical, row_id
from paretodet.records.store import Store

AIMS: dict[int, dict[str, float | None]] = {
    100: {"frontier": 0.5, "recommend": 0.5},
    100_000: {"frontier": 1.5, "recommend": 1.5, "report": 5.0},
    1_000_000: {"frontier": 10.0, "recommend": 10.0},
}
OPTIONS: dict[str, tuple[str, ...]] = {
    "frontier": (),
    "recommend": ("--max-ms", "80", "--min-ap", "30"),
    "report": ("--out", os.devnull),
}
COMMAND = """
import atexit, sys
from paretodet.cli import main
atexit.register(lambda: print(open("/proc/self/status").read(), file=sys.stderr))
main()
"""  # the kernel's resource usage of a child includes the parent's memory; VmHWM does not
REPEATED = 20  # every 20th row repeats an artefact
SAMPLES, PROCESSES = 40, 5
PART = 20_000  # rows per import


def random_rows(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Random rows as JSON: accuracy grows with the logarithm of latency; a few percent are not valid."""
    random, kinds = np.random.default_rng(seed), [entry for entry in entries() if entry.ap is not None]
    for place in range(count):
        same = place // 2 if place % REPEATED == REPEATED - 1 else place
        artefact = np.random.default_rng((seed, same))
        entry = kinds[int(artefact.integers(len(kinds)))]
        p50 = float(np.exp(artefact.normal(4.5, 0.9))) * float(random.normal(1, 0.01))
        ap = float(np.clip(12 + 5.5 * np.log(p50) + artefact.normal(0, 4), 1, 70).round(1))
        yield _row(place, same, p50, ap, entry, random)


def _row(place: int, same: int, p50: float, ap: float, entry: Any, random: np.random.Generator) -> dict[str, Any]:
    half = float(random.uniform(1.01, 1.12))
    row = {
        "run": f"run{place // 60:09d}",
        "at": _at(place),
        "name": entry.name,
        "height": entry.height,
        "width": entry.width,
        "classes": 80,
        "threads": 2,
        "processes": PROCESSES,
        "batch": (1, 1, 1, 8)[same % 4],
        "precision": ("fp32", "fp32", "bf16")[same % 3],
        "artefact": f"{same:064x}",
        "job": {"name": entry.name, "score": (None, 0.3)[same % 2], "nms": None},
        "latency_ms_p50": p50,
        "latency_ms_p50_low": p50 / half,
        "latency_ms_p50_high": p50 * half,
        "latency_ms_p90": p50 * 1.1,
        "prepare_ms": 4.0,
        "total_ms": p50 + 4.0,
        "load_ms": 900.0,
        "first_ms": 3 * p50,
        "samples": PROCESSES * SAMPLES,
        "memory_load_mib": 300.0,
        "memory_infer_mib": float(random.uniform(200, 2000)),
        "parameters": entry.parameters,
        "macs": entry.macs,
        "flops": 2 * entry.macs,
        "ap": ap,
        "ap_split": ("val2017", "val2017", "test-dev")[same % 3],
        "ap_source": "drawn",
        "ap_rounding": 0.05,
        "validity": "valid" if random.random() > 0.04 else "contended",
        "machine": "0123456789ab",
        "machine_facts": {"cpu": "drawn", "cores_logical": 2},
        "versions": {"python": "3.11.7", "torch": "2.11.0"},
        "settings": {"plan": {"processes": PROCESSES}, "images": {"count": 4, "digest": "0123456789ab", "drawn": True}},
        "raw": [_process(p50, random) for _ in range(PROCESSES)],
    }
    return {"id": row_id(row), **row}


def _at(place: int) -> str:
    """A time for the row; rows are spread over a year."""
    month, day = 1 + place // 80_000 % 12, 1 + place // 3000 % 28
    hour, minute, second = place // 3600 % 24, place // 60 % 60, place % 60
    return datetime(2026, month, day, hour, minute, second, tzinfo=UTC).isoformat()


def _process(p50: float, random: np.random.Generator) -> dict[str, Any]:
    times = (p50 * random.normal(1, 0.02, SAMPLES)).tolist()
    bursts = [
        {
            "seconds": 0.2,
            "infer_ms": times[start : start + 10],
            "finish_ms": [0.1] * 10,
            "contended": [],
            "throttled": [],
            "watch": {"busy": 0.01, "stall": 0.0},
        }
        for start in range(0, SAMPLES, 10)
    ]
    return {"reference_ms": 5.0, "load_ms": 900.0, "first_ms": 3 * p50, "bursts": bursts}


def store_of(folder: Path, count: int) -> Path:
    """A store of `count` rows; an existing one is reused."""
    path, rows = folder / f"rows-{count}.db", random_rows(count)
    if path.exists() and len(Store(path).all_rows()) == count:
        return path
    path.unlink(missing_ok=True)
    store = Store(path)
    for start in range(0, count, PART):
        with tempfile.TemporaryDirectory(dir=folder) as part:
            lines = Path(part, "rows.jsonl")
            with lines.open("w") as file:
                file.writelines(f"{canonical(next(rows))}\n" for _ in range(min(PART, count - start)))
            store.import_jsonl(lines)
    return path


def command(name: str, store: Path, options: Sequence[str] = ()) -> dict[str, float]:
    """A command in a fresh process: wall-clock seconds, CPU seconds and peak memory."""
    line = [sys.executable, "-c", COMMAND, name, *OPTIONS[name], *options, "--store", str(store)]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    wall, after = time.perf_counter() - began, os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    peak = next(word for word in done.stderr.splitlines() if word.startswith("VmHWM:")).split()[1]
    return {"seconds": wall, "processor_s": worked, "memory_mib": int(peak) / 1024}


def best(name: str, store: Path, options: Sequence[str], times: int) -> dict[str, float]:
    """The fastest of `times` runs, with the largest memory of all."""
    tries = [command(name, store, options) for _ in range(times)]
    return min(tries, key=lambda run: run["seconds"]) | {"memory_mib": max(run["memory_mib"] for run in tries)}


def cases(sizes: Sequence[int]) -> Iterator[tuple[int, str, tuple[str, ...], float | None]]:
    """Rows, command, further options, and the target in s if there is one."""
    for count in sizes:
        for name, aim in AIMS.get(count, dict.fromkeys(AIMS[100])).items():
            yield count, name, (), aim
            if name != "report":
                yield count, name, ("--json",), None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="folder for the stores")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 100_000])
    parser.add_argument("--times", type=int, default=3)
    add_out(parser)
    options = parser.parse_args()
    for count, name, more, aim in cases(options.rows):
        store = store_of(options.folder, count)
        took = best(name, store, more, options.times)
        size = store.stat().st_size / 2**20
        row = {"rows": count, "command": " ".join((name, *more)), "aim_s": aim, "store_mib": size, **took}
        print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}))
        append(row, options.out)


if __name__ == "__main__":
    main()
