"""The candidate that keeps a budget on every machine that rows were measured on, judged by the worst machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from paretodet.frontier.budget import Budget
from paretodet.frontier.participation import left_out_notes, remeasure_command, select_rows
from paretodet.frontier.probability import fit_probability
from paretodet.frontier.ranked import Indices, RankedRows
from paretodet.frontier.row_labels import row_labels
from paretodet.frontier.values import Floats, Mask, columns, comparable_group, estimated_accuracy, matches
from paretodet.records.measurement import GAINS, USABLE, VALIDITY, Measurement
from paretodet.records.rows import Rows, encode

SAME = (
    "name", "height", "width", "proposals", "device", "runtime", "precision", "batch", "load", "job.score", "job.nms",
)  # fmt: skip
ASKED = ("runtime", "precision", "device", "batch", "threads", "score", "nms")  # entries of a job
UNTRAINED = "random"  # weights whose hash differs between versions of the libraries, and whose cost does not
NOT_MEASURED = "not measured"
DISTURBED = tuple(name for name in VALIDITY if name not in (*USABLE, "error"))
LACKING = "without a number that the budget needs"
_Reasons = dict[tuple[str, tuple[object, ...]], str]


@dataclass(frozen=True, kw_only=True)
class OnAllMachines:
    """A candidate with a row on every machine; `rows` by fingerprint.

    `keeps` says whether it keeps every limit on all of them, `safe` whether all its intervals do, and `probability` how
    probable it is. `goal` is the worst value of the goal, on the machine `worst`; None if it is the same on all.
    """

    label: str
    rows: Mapping[str, Measurement]
    keeps: bool
    safe: bool
    probability: float
    goal: float
    worst: str | None


@dataclass(frozen=True, kw_only=True)
class NotEverywhere:
    """A candidate that has no usable row on some machines: `missing` says why, by fingerprint.

    `row` is one that it has, and `keeps` says whether all of these keep the limits.
    """

    label: str
    row: Measurement
    keeps: bool
    missing: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class AllMachinesAnswer:
    """Candidates, best first: those that keep the budget by their goal, then the others by their probability.

    So are those that are not everywhere. `commands` are the words that measure the ones of them that may fit where they
    were not measured or were disturbed, by the fingerprint of the machine.
    """

    budget: Budget
    machines: tuple[str, ...]
    candidates: tuple[OnAllMachines, ...]
    absent: tuple[NotEverywhere, ...]
    commands: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]

    @property
    def choice(self) -> OnAllMachines | None:
        """The best candidate that keeps every limit on every machine."""
        return next((each for each in self.candidates if each.keeps), None)

    @property
    def safe(self) -> OnAllMachines | None:
        """The best candidate whose intervals keep every limit on every machine."""
        return next((each for each in self.candidates if each.keeps and each.safe), None)

    def to_json(self) -> dict[str, Any]:
        """A JSON-ready dictionary; rows are given by their ids."""
        return {
            "choice": self.choice and self.choice.label,
            "safe": self.safe and self.safe.label,
            "machines": list(self.machines),
            "candidates": [_candidate_json(each) for each in self.candidates],
            "absent": [
                {"label": each.label, "row": each.row.id, "keeps": each.keeps, "missing": dict(each.missing)}
                for each in self.absent
            ],
            "notes": list(self.notes),
        }


class _Compared(NamedTuple):
    """The rows that have every field of the budget, and the notes on them."""

    known: Rows
    slack: float
    notes: tuple[str, ...]


class _Checked(NamedTuple):
    """The compared rows, best goal first, and what holds for each, [N]."""

    ranked: RankedRows
    keeps: Mask
    safe: Mask
    costs_fit: Floats  # probabilities
    gains_fit: Floats


def recommend_on_all(
    rows: Sequence[Measurement],
    budget: Budget,
    *,
    split: str | None = None,
    include_invalid: bool = False,
    strict: bool = False,
) -> AllMachinesAnswer:
    """The best candidate within the budget on all machines that `rows` are of.

    Rows are of one candidate if they agree in `SAME`, in the number of threads that was asked for and, unless the
    weights are random, in the artifact. What it costs on one machine is independent of the others; its accuracy is the
    same everywhere, so that the uncertainty of the accuracy counts once.
    """
    rows = Rows.of(rows)
    machines = tuple(sorted(rows.categories("machine").values))

    def compare(inside: Rows, left_out: int) -> _Compared:
        return _comparable(inside, budget, split, left_out)

    selected = select_rows(rows, compare, include_invalid=include_invalid, strict=strict)
    compared = selected.compared
    checked = _check(compared, budget)
    places = {index: place for place, index in enumerate(checked.ranked.rows.indices.tolist())}
    failed = _reasons(rows.where(matches(rows, "validity", ("error",))))
    candidates, absent = list[OnAllMachines](), list[tuple[int, NotEverywhere]]()
    for group in _by_candidate(rows):
        on = _newest_by_machine(rows.where(group), places)
        if len(on) == len(machines):
            candidates.append(_candidate(checked, on))
        elif on:
            why = failed | _reasons(rows.where(group))
            absent.append((min(on.values()), _not_everywhere(checked, on, machines, why)))
    elsewhere = [each for _, each in sorted(absent, key=lambda pair: (not pair[1].keeps, pair[0]))]
    labels = row_labels([*map(_example, candidates), *(each.row for each in elsewhere)])
    candidates = [replace(each, label=labels[_example(each).id]) for each in candidates]
    return AllMachinesAnswer(
        budget=budget,
        machines=machines,
        candidates=tuple(sorted(candidates, key=lambda each: _order(each, budget))),
        absent=tuple(replace(each, label=labels[each.row.id]) for each in elsewhere),
        commands=_commands(elsewhere),
        notes=tuple(filter(None, (selected.why, *compared.notes, *left_out_notes(selected, len(rows))))),
    )


def _comparable(rows: Rows, budget: Budget, split: str | None, left_out: int) -> _Compared:
    gain = next((name for name in budget.fields if name in GAINS), None)
    group = comparable_group(rows, gain, split, left_out=left_out) if gain else None
    of_group = group.rows if group else rows
    known = np.ones(len(of_group), dtype=np.bool_)
    for name in budget.fields:
        known &= np.isfinite(columns(of_group, name).point)
    compared = of_group.where(known)
    notes = (*group.notes, *estimated_accuracy(compared)) if group else ()
    return _Compared(compared, group.slack if group else 0.0, notes)


def _check(compared: _Compared, budget: Budget) -> _Checked:
    ranked, limits = RankedRows(compared.known, budget.fields, slack=compared.slack), budget.limits
    of_gains = [limit for limit in limits if limit.field in GAINS]
    return _Checked(
        ranked,
        keeps=ranked.check(limits, confident=budget.confident).keeps,
        safe=ranked.check(limits, confident=True).keeps,
        costs_fit=fit_probability(ranked.numbers, [limit for limit in limits if limit not in of_gains]),
        gains_fit=fit_probability(ranked.numbers, of_gains),
    )


def _by_candidate(rows: Rows) -> list[Indices]:
    """The positions in `rows` of each candidate's rows, candidates in the order of their first row."""
    trained = np.array([name != UNTRAINED for name in rows.texts("weights")], dtype=np.bool_)
    threads = encode(str(job.get("threads")) if isinstance(job, dict) else "" for (job,) in rows.values("job"))
    artifact = np.where(trained, rows.categories("artefact").codes, -1)
    keys = np.column_stack([*(rows.categories(name).codes for name in SAME), artifact, threads.codes])
    _, first, candidate = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    return [np.flatnonzero(candidate.ravel() == number) for number in np.argsort(first)]


def _newest_by_machine(rows: Rows, places: Mapping[int, int]) -> dict[str, int]:
    """Machine -> the place of the newest of these rows that is compared."""
    order = np.argsort(rows.times(), kind="stable").tolist()
    fingerprints, indices = rows.texts("machine"), rows.indices.tolist()
    return {fingerprints[i]: places[indices[i]] for i in order if indices[i] in places}


def _candidate(checked: _Checked, on: Mapping[str, int]) -> OnAllMachines:
    places, ranked = list(on.values()), checked.ranked
    goals = ranked.score[places]
    worst = int(np.argmin(goals))
    return OnAllMachines(
        label=ranked.rows[places[0]].name,
        rows={machine: ranked.rows[place] for machine, place in sorted(on.items())},
        keeps=bool(checked.keeps[places].all()),
        safe=bool(checked.safe[places].all()),
        probability=float(checked.costs_fit[places].prod() * checked.gains_fit[places].min()),
        goal=ranked.point(places[worst], ranked.goal),
        worst=list(on)[worst] if goals.max() > goals.min() else None,
    )


def _order(candidate: OnAllMachines, budget: Budget) -> tuple[object, ...]:
    goal = -candidate.goal if budget.goal in GAINS else candidate.goal
    latency = max(row.latency_ms_p50 or 0.0 for row in candidate.rows.values())
    first = goal if candidate.keeps else -candidate.probability
    return (not candidate.keeps, first, goal, latency, candidate.label)


def _example(candidate: OnAllMachines) -> Measurement:
    return next(iter(candidate.rows.values()))


def _reasons(rows: Rows) -> _Reasons:
    """Why a row was not compared, by its machine and what was asked of it."""
    return {(row.machine, _asked(row)): row.error or (LACKING if row.usable else row.validity) for row in rows}


def _asked(row: Measurement) -> tuple[object, ...]:
    """What was asked of a candidate: a row of one that failed early has nothing else in common with its other rows."""
    return (row.name, *(row.job.get(name) for name in ASKED))


def _not_everywhere(checked: _Checked, on: Mapping[str, int], machines: Sequence[str], why: _Reasons) -> NotEverywhere:
    row, keeps = checked.ranked.rows[min(on.values())], bool(checked.keeps[list(on.values())].all())
    missing = {machine: why.get((machine, _asked(row)), NOT_MEASURED) for machine in machines if machine not in on}
    return NotEverywhere(label=row.name, row=row, keeps=keeps, missing=missing)


def _commands(absent: Sequence[NotEverywhere]) -> dict[str, tuple[str, ...]]:
    """By machine, the words that measure there what may fit and was not tried, or was disturbed."""
    rows: dict[str, list[Measurement]] = {}
    for each in absent:
        for machine, why in each.missing.items():
            if why in (NOT_MEASURED, *DISTURBED) and each.keeps:
                rows.setdefault(machine, []).append(each.row)
    return {machine: remeasure_command(some, patient=True) for machine, some in sorted(rows.items())}


def _candidate_json(candidate: OnAllMachines) -> dict[str, Any]:
    return {
        "label": candidate.label,
        "rows": {machine: row.id for machine, row in candidate.rows.items()},
        "keeps": candidate.keeps,
        "safe": candidate.safe,
        "probability": candidate.probability,
        "goal": candidate.goal,
        "worst": candidate.worst,
    }
