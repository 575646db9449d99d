"""Times questions about large stores, whole commands in fresh processes: `python benchmarks/store.py`.

Aims: `frontier` and `recommend` over 100 rows in 0.5 s, over 100,000 in 1.5 s, over 1,000,000 in 10 s and 2 GB; and
`report` over 100,000 rows in 5 s. A store is made once in `--folder` and used again. Its rows are of the catalogue's
names, each with an artefact of its own but for one in twenty, which repeats an earlier one, and have the samples of
five processes: about 10 kB each, so that a million take 10 GB and half an hour to make (`--rows 1000000`).
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
from rows import add_out, keep

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
"""  # the kernel counts the parent's memory too, but not in this
REPEATED = 20  # one row in so many measures an artefact again
SAMPLES, PROCESSES = 40, 5
PART = 20_000  # rows imported at once


def drawn(count: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Rows as JSON: accuracy grows with the logarithm of latency, and a few percent are not valid."""
    random, kinds = np.random.default_rng(seed), [entry for entry in entries() if entry.ap is not None]
    for place in range(count):
        same = place // 2 if place % REPEATED == REPEATED - 1 else place
        own = np.random.default_rng((seed, same))
        entry = kinds[int(own.integers(len(kinds)))]
        p50 = float(np.exp(own.normal(4.5, 0.9))) * float(random.normal(1, 0.01))
        ap = float(np.clip(12 + 5.5 * np.log(p50) + own.normal(0, 4), 1, 70).round(1))
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
    """Spread over a year."""
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


def made(folder: Path, count: int) -> Path:
    """A store of so many rows; one of before is used again."""
    path, rows = folder / f"rows-{count}.db", drawn(count)
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
    """A whole command in a fresh process: seconds by the wall and of processors, and the most memory it took."""
    line = [sys.executable, "-c", COMMAND, name, *OPTIONS[name], *options, "--store", str(store)]
    before, began = os.times(), time.perf_counter()
    done = subprocess.run(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True)
    wall, after = time.perf_counter() - began, os.times()
    worked = after.children_user + after.children_system - before.children_user - before.children_system
    most = next(word for word in done.stderr.splitlines() if word.startswith("VmHWM:")).split()[1]
    return {"seconds": wall, "processor_s": worked, "memory_mib": int(most) / 1024}


def best(name: str, store: Path, options: Sequence[str], times: int) -> dict[str, float]:
    """The fastest of several, with the most memory of any."""
    tries = [command(name, store, options) for _ in range(times)]
    return min(tries, key=lambda each: each["seconds"]) | {"memory_mib": max(each["memory_mib"] for each in tries)}


def cases(sizes: Sequence[int]) -> Iterator[tuple[int, str, tuple[str, ...], float | None]]:
    """Rows, command, more options, and the aim in s where there is one."""
    for count in sizes:
        for name, aim in AIMS.get(count, dict.fromkeys(AIMS[100])).items():
            yield count, name, (), aim
            if name != "report":
                yield count, name, ("--json",), None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the stores are made")
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 100_000])
    parser.add_argument("--times", type=int, default=3)
    add_out(parser)
    asked = parser.parse_args()
    for count, name, options, aim in cases(asked.rows):
        store = made(asked.folder, count)
        took = best(name, store, options, asked.times)
        size = store.stat().st_size / 2**20
        row = {"rows": count, "command": " ".join((name, *options)), "aim_s": aim, "store_mib": size, **took}
        print(json.dumps({key: round(value, 2) if isinstance(value, float) else value for key, value in row.items()}))
        keep(row, asked.out)


if __name__ == "__main__":
    main()
