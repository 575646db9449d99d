"""Times the frontier of 1,000,000 rows, and a page of 1,000 rows in Chromium: `python benchmarks/frontier.py`.

Targets: the set within 1 s, membership within 10 s; the page has at most 3 MB and opens within 2 s.
"""

import argparse
import re
import subprocess
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
from store import random_rows

from paretodet.extras import MissingExtra
from paretodet.frontier.dominance import membership, pareto_mask
from paretodet.records.measurement import Measurement
from paretodet.runtimes.chromium import FLAGS, program

PAGE_ROWS, MACHINES = 1_000, 20
TIMES = 3  # how often the page is opened; the median counts
# Opens the page as a frame, whose load event is when everything in it has been read, laid out and started.
FRAME = '<iframe src="page.html" width="1200" height="900" onload="document.title = performance.now()"></iframe>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    time_frontier(parser.parse_args().rows)
    time_page()


def time_frontier(rows: int) -> None:
    random = np.random.default_rng(0)
    spread = random.uniform(1, 100, rows)
    cases = {
        "independent": (spread, random.uniform(20, 60, rows)),
        "AP grows with cost": (spread, 20 + 8 * np.log(spread) + random.normal(0, 1, rows)),
        "every row a member": (spread, spread),
    }
    for name, (cost, gain) in cases.items():
        cost_low, cost_high, gain_low, gain_high = cost * 0.97, cost * 1.03, gain - 0.5, gain + 0.5
        times = [perf_counter()]
        exact = pareto_mask(cost, gain)
        times.append(perf_counter())
        touching = pareto_mask(
            cost, gain, cost_low=cost_low, cost_high=cost_high, gain_low=gain_low, gain_high=gain_high
        )
        times.append(perf_counter())
        membership(cost, gain, cost_low=cost_low, cost_high=cost_high, gain_low=gain_low, gain_high=gain_high)
        times.append(perf_counter())
        plain, wide, drawn = (f"{seconds:.2f} s" for seconds in np.diff(times))
        print(f"{name}: set {plain} ({exact.sum():,} rows), membership {drawn}", end="; ")
        print(f"set with intervals {wide} ({touching.sum():,} rows)")


def time_page() -> None:
    from paretodet.report.page import page  # needs the extra `report`

    begun = perf_counter()
    text = page(page_rows())
    written = perf_counter() - begun
    print(f"page of {PAGE_ROWS:,} rows on {MACHINES} machines: {len(text.encode()) / 1e6:.2f} MB, made in", end=" ")
    try:
        opened = f"opened in {np.median([opening_s(text) for _ in range(TIMES)]):.2f} s"
    except MissingExtra as error:
        opened = f"not opened: {error}"
    print(f"{written:.2f} s, {opened}")


def page_rows() -> list[Measurement]:
    """Rows that have everything that a page shows."""
    made = []
    for place, row in enumerate(random_rows(PAGE_ROWS)):
        shares = {"features": 0.46, "propose": 0.09, "refine": 0.44, "select": 0.01}
        more = {
            "ap50": row["ap"] + 18,
            "stages_ms": {stage: row["latency_ms_p50"] * share for stage, share in shares.items()},
            "machine": f"machine{place % MACHINES:05d}",
            "machine_facts": {"cpu": f"Example CPU {place % MACHINES}", "cores_logical": 2},
        }
        made.append(Measurement.from_json(row | more))
    return made


def opening_s(text: str) -> float:
    """Seconds from the start of the navigation to the page's load event, in a fresh Chromium."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "page.html").write_text(text, encoding="utf-8")
        (folder / "frame.html").write_text(FRAME)
        command = [program(), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
        done = subprocess.run(
            [*command, (folder / "frame.html").as_uri()], capture_output=True, text=True, check=True, timeout=120
        )
    found = re.search(r"<title>([\d.]+)</title>", done.stdout)
    if found is None:
        raise RuntimeError(f"Chromium did not open the page: {done.stdout[:300]!r}")
    return float(found[1]) / 1000


if __name__ == "__main__":
    main()
