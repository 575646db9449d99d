"""Times the frontier of 1,000,000 rows: `python benchmarks/frontier.py`.

Targets: the set within 1 s, membership within 10 s.
"""

from time import perf_counter

import numpy as np

from paretodet.frontier.pareto import membership, pareto_mask

ROWS = 1_000_000


def main() -> None:
    random = np.random.default_rng(0)
    spread = random.uniform(1, 100, ROWS)
    cases = {
        "independent": (spread, random.uniform(20, 60, ROWS)),
        "AP grows with cost": (spread, 20 + 8 * np.log(spread) + random.normal(0, 1, ROWS)),
        "every row a member": (spread, spread),
    }
    for name, (cost, gain) in cases.items():
        bounds = {"cost_low": cost * 0.97, "cost_high": cost * 1.03, "gain_low": gain - 0.5, "gain_high": gain + 0.5}
        times = [perf_counter()]
        exact = pareto_mask(cost, gain)
        times.append(perf_counter())
        touching = pareto_mask(cost, gain, **bounds)
        times.append(perf_counter())
        membership(cost, gain, **bounds)
        times.append(perf_counter())
        plain, wide, drawn = (f"{seconds:.2f} s" for seconds in np.diff(times))
        print(f"{name}: set {plain} ({exact.sum():,} rows), membership {drawn}", end="; ")
        print(f"set with intervals {wide} ({touching.sum():,} rows)")


if __name__ == "__main__":
    main()
