"""Times the frontier of 1,000,000 rows: `python benchmarks/frontier.py`.

Targets: the set within 1 s, membership within 10 s.
"""

import argparse
from time import perf_counter

import numpy as np

from paretodet.frontier.dominance import membership, pareto_mask


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    rows = parser.parse_args().rows
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


if __name__ == "__main__":
    main()
