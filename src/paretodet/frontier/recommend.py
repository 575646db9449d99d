"""A budget in, a detector out: the choice, what stands beside it, what stops the next one, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from paretodet.frontier.budget import Breach, Budget, NextStep, Recommendation, Relaxation
from paretodet.frontier.chances import best, keeping, keeping_in_time
from paretodet.frontier.ranked import LimitCheck, Places, Ranked
from paretodet.frontier.said import sentences
from paretodet.frontier.taking import NONE, Taken, again, has_time, named, taken
from paretodet.frontier.values import GAINS, ComparableRows, Floats, columns, group, mixtures, noun, timed
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows

__all__ = ["Breach", "Budget", "Chooser", "NextStep", "Recommendation", "Relaxation", "recommend"]

SURE = 0.95  # at this probability, and at its complement, a choice is decided


def recommend(
    rows: Sequence[Measurement],
    budget: Budget,
    *,
    split: str | None = None,
    include_invalid: bool = False,
    strict: bool = False,
) -> Recommendation:
    """The best row within the budget, and what stands around it.

    Better is more of the goal (less of a cost); ties go to the lower latency, then to name and id. A row that does not
    know the goal or a limited field cannot be shown to fit and is left aside. The smallest relaxation is the smallest
    sum of shares by which limits move. Accuracy is that of one group of rows (see `values.group`); which rows take
    part is told by `taking.taken`. A budget that is `confident` gets the safe choice.

    >>> import paretodet
    >>> budget = paretodet.Budget(maximum={"latency_ms_p50": 350})
    >>> paretodet.recommend(paretodet.read_rows("rows.jsonl"), budget, split="mixed").choice.name
    'hf:d_fine-s'
    """
    return Chooser(rows, split=split, include_invalid=include_invalid, strict=strict).answer(budget)


class _KnownRows(NamedTuple):
    """Rows of comparable accuracy, and those of them that have every number asked for."""

    group: ComparableRows
    known: Rows


class _Sheet(NamedTuple):
    """The rows of an answer, ranked, with what is said of them whatever the limits are."""

    taken: Taken[_KnownRows]
    ranked: Ranked
    missed: Ranked  # rows left out that have a time
    notes: tuple[str, ...]


class Chooser:
    """Answers many budgets over the same rows: what does not depend on the limits is worked out once."""

    def __init__(
        self,
        rows: Sequence[Measurement],
        *,
        split: str | None = None,
        include_invalid: bool = False,
        strict: bool = False,
    ) -> None:
        self._rows, self._split = Rows.of(rows), split
        self._include_invalid, self._strict = include_invalid, strict
        self._sheets: dict[tuple[str, ...], _Sheet] = {}

    def answer(self, budget: Budget) -> Recommendation:
        """What `recommend` says."""
        sheet = self._sheet(budget.fields)
        ranked, limits = sheet.ranked, budget.limits
        held = ranked.held(limits, confident=budget.confident)
        safe = np.flatnonzero(ranked.held(limits, confident=True).keeps)
        fitting = np.flatnonzero(held.keeps)
        likely = keeping(ranked.numbers, limits)
        found = _around(ranked, held, budget, likely)
        winning = best(ranked.numbers, limits, budget.goal, likely)
        missed = _missed(sheet.missed, ranked, fitting, budget)
        undecided = (*_undecided(ranked, budget, winning), *missed)
        found = replace(
            found,
            probability_fits=float(likely[fitting[0]]) if fitting.size else None,
            probability_best=float(winning[fitting[0]]) if fitting.size else None,
            safe=ranked.rows[int(safe[0])] if safe.size else None,
            provisional=sheet.taken.provisional,
            why=sheet.taken.why,
            undecided=undecided,
            again=_again(sheet, undecided, missed),
        )
        said = sentences(found, budget, ranked, fitting=fitting.size)
        why = (found.why,) if found.why else ()
        return replace(found, reason=" ".join((*why, *said, *_open(found, ranked, missed), *sheet.notes)))

    def _sheet(self, fields: tuple[str, ...]) -> _Sheet:
        if fields not in self._sheets:
            self._sheets[fields] = self._new_sheet(fields)
        return self._sheets[fields]

    def _new_sheet(self, fields: tuple[str, ...]) -> _Sheet:
        def compare(inside: Rows, left_out: int) -> _KnownRows:
            return _comparable(inside, fields, self._split, left_out)

        found = taken(self._rows, compare, include_invalid=self._include_invalid, strict=self._strict)
        chosen, known = found.compared
        away = NONE if self._strict else found.outside.where(has_time(found.outside))
        try:
            missed = _comparable(away, fields, chosen.label or self._split, 0).known
        except ValueError:  # none of them is of this split
            missed = NONE
        ranked, aside = Ranked(known, fields, slack=chosen.slack), Ranked(missed, fields, slack=chosen.slack)
        return _Sheet(found, ranked, aside, _notes(found, fields, len(self._rows)))


def _comparable(rows: Rows, fields: Sequence[str], split: str | None, left_out: int) -> _KnownRows:
    gains = [name for name in fields if name in GAINS]
    found = group(rows, gains[0], split, left_out=left_out) if gains else ComparableRows(label="", rows=rows)
    known = np.ones(len(found.rows), dtype=np.bool_)
    for name in fields:
        known &= np.isfinite(columns(found.rows, name).point)
    return _KnownRows(found, found.rows.where(known))


def _around(ranked: Ranked, held: LimitCheck, budget: Budget, likely: Floats) -> Recommendation:
    """The choice and its runners-up; of the better rows, or of all where nothing fits, the one that comes nearest."""
    fitting, shares = np.flatnonzero(held.keeps), held.shares.sum(axis=0)
    better = ranked.worth > ranked.worth[fitting[0]] if fitting.size else True
    beyond = np.flatnonzero(~held.keeps & better)
    found = Recommendation(
        choice=ranked.rows[int(fitting[0])] if fitting.size else None,
        runners_up=tuple(ranked.rows.where(fitting[1:3])),
        binding=None,
        next=None,
        relaxation=None,
        reason="",
    )
    if not beyond.size:
        return found
    nearest = int(beyond[np.argmin(shares[beyond])])
    row, breaches = ranked.rows[nearest], tuple(_breaches(held, budget, nearest))
    if not found.choice:
        near = Relaxation(row=row, breaches=breaches, probability=float(likely[nearest]))
        return replace(found, relaxation=near)
    binding = max(breaches, key=lambda breach: breach.share)
    return replace(found, binding=binding, next=NextStep(row=row, change=_change(ranked, nearest, int(fitting[0]))))


def _breaches(held: LimitCheck, budget: Budget, place: int) -> Iterable[Breach]:
    for number, (name, kind, limit) in enumerate(budget.limits):
        if held.shares[number, place] > 0:
            yield Breach(field=name, kind=kind, limit=limit, needed=float(held.needed[number, place]))


def _change(ranked: Ranked, place: int, first: int) -> dict[str, float]:
    return {name: ranked.point(place, name) - ranked.point(first, name) for name in ranked.numbers}


def _undecided(ranked: Ranked, budget: Budget, winning: Floats) -> tuple[Measurement, ...]:
    """The rows that are the best neither for sure nor hardly ever, where their times leave that open."""
    if not any(map(timed, budget.fields)):
        return ()
    hanging = (winning > 1 - SURE) & (winning < SURE)
    if not timed(budget.goal):
        in_time = keeping_in_time(ranked.numbers, budget.limits)
        hanging &= (in_time > 1 - SURE) & (in_time < SURE)
    return tuple(ranked.rows.where(hanging))


def _missed(away: Ranked, ranked: Ranked, fitting: Places, budget: Budget) -> tuple[Measurement, ...]:
    """The best of the rows left out, where it would be the choice."""
    able = np.flatnonzero(away.held(budget.limits, confident=budget.confident).keeps)
    better = able.size and (not fitting.size or away.worth[able[0]] > ranked.worth[fitting[0]])
    return (away.rows[int(able[0])],) if better else ()


def _open(found: Recommendation, ranked: Ranked, missed: Sequence[Measurement]) -> Iterable[str]:
    """What is undecided."""
    if hanging := [ranked.called(row) for row in found.undecided if row not in missed]:
        yield f"Undecided while intervals are so wide: {', '.join(hanging)}."
    if missed:
        yield f"Left out, though it would be the choice: {named(Rows.of(missed))}."


def _again(sheet: _Sheet, undecided: Sequence[Measurement], missed: Sequence[Measurement]) -> tuple[str, ...]:
    if sheet.taken.provisional:
        return again(sheet.taken.disturbed, patient=True)
    return again(undecided, patient=bool(missed))


def _notes(found: Taken[_KnownRows], fields: Sequence[str], rows: int) -> tuple[str, ...]:
    chosen, known = found.compared
    unknown, outside = len(chosen.rows) - len(known), len(found.outside)
    return (
        *chosen.notes,
        *mixtures(known),
        *((f"Left aside, not knowing all of {', '.join(map(noun, fields))}: {unknown} rows.",) if unknown else ()),
        *((f"Left out as not valid: {outside} of {rows} rows.",) if outside else ()),
    )
