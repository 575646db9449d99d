"""Replays a search on a published table.

    python benchmarks/replay.py FILE.csv --cost COLUMN --gain COLUMN --name COLUMN

A run measures a random row first, then those that the search chooses, each by reading its cost and gain from the table.
Printed are the hypervolume of the measured rows in percent of that of all rows (the area between a frontier and the
highest cost and lowest gain of the table, costs as logarithms), in the mean and in the worst run, and how many
memberships the runs claimed at the end with 95 % certainty and how many of these claims are right.

Targets: with `--share 0.05` 98.5 % in the mean and 97 % in the worst run, with `--share 0.1` 99.5 % and 99 %; of 100
claims at least 93 right.
"""

import argparse
import json
from typing import NamedTuple

import numpy as np
import tables
from numpy.typing import NDArray

from paretodet.frontier.dominance import pareto_mask
from paretodet.frontier.features import Features
from paretodet.frontier.search import Space, Standing, choose, hypervolume, standing
from paretodet.frontier.values import Columns


class Run(NamedTuple):
    """The hypervolume in percent of that of the whole table, and the claims."""

    hypervolume_pct: float
    claims: int
    claims_right: int
    claims_member: int
    claims_member_right: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, usage="replay.py FILE [options]"
    )
    tables.add_table(parser, share=0.05)
    parser.add_argument("--gain", required=True, metavar="COLUMN", help="column to maximize")
    options = parser.parse_args()
    table = tables.read(parser, options.file, name=options.name, columns=[options.cost, options.gain])
    cost, gain = table.values.T
    if not (cost > 0).all():
        parser.error(f"{options.file}: a value of {options.cost} is not above 0")
    if not hypervolume(cost, gain, reference=(float(cost.max()), float(gain.min()))) > 0:
        which = f"costs less than {cost.max():g} {options.cost} and has more than {gain.min():g} {options.gain}"
        parser.error(f"{options.file}: no row {which}, so that its frontier has no area")
    measured = tables.count(parser, options.share, len(cost))
    runs = [replay(table.features, cost, gain, measured=measured, seed=seed) for seed in range(options.seeds)]
    about = {"rows": len(cost), "left_out": table.left_out, "measured": measured, "seeds": options.seeds}
    result = about | summary(runs)
    text = (f"{name}: {number:.6g}" for name, number in result.items())
    print(json.dumps(result) if options.json else "\n".join(text))


def replay(
    features: Features, cost: NDArray[np.float64], gain: NDArray[np.float64], *, measured: int, seed: int
) -> Run:
    """A search of N configurations that ends after `measured` of them, or earlier if every membership is decided."""
    done = np.zeros(len(cost), dtype=np.bool_)
    done[np.random.default_rng(seed).integers(len(cost))] = True
    state = _standing(features, cost, gain, done, seed)
    while done.sum() < measured and (chosen := choose(*state)) is not None:
        done[chosen] = True
        state = _standing(features, cost, gain, done, seed)
    reference = float(cost.max()), float(gain.min())
    reached, whole = (hypervolume(cost[rows], gain[rows], reference=reference) for rows in (done, slice(None)))
    membership, truth = state[1].membership, pareto_mask(cost, gain)
    claimed = state[1].decided
    right, member = claimed & ((membership > 0.5) == truth), claimed & (membership > 0.5)
    return Run(100 * reached / whole, *(int(part.sum()) for part in (claimed, right, member, member & truth)))


def summary(runs: list[Run]) -> dict[str, float]:
    """The runs in few numbers: mean and worst hypervolume, all claims."""
    volumes = [run.hypervolume_pct for run in runs]
    claims = {name: sum(getattr(run, name) for run in runs) for name in Run._fields[1:]}
    return {"hypervolume_pct_mean": float(np.mean(volumes)), "hypervolume_pct_worst": min(volumes)} | claims


def _standing(
    features: Features, cost: NDArray[np.float64], gain: NDArray[np.float64], done: NDArray[np.bool_], seed: int
) -> tuple[Space, Standing]:
    costs, gains = (np.where(done, column, np.nan) for column in (cost, gain))
    space = Space(
        features=features,
        cost=Columns(costs, costs, costs),
        gain=Columns(gains, gains, gains),
        seconds=np.ones(len(done)),
        excluded=np.zeros(len(done), dtype=np.bool_),
    )
    return space, standing(space, seed=seed)


if __name__ == "__main__":
    main()
