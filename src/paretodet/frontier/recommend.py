"""Answers a budget with a detector: the choice, the alternatives, the limit that excludes the next better row."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from paretodet.frontier.budget import Breach, Budget, NextStep, Recommendation, Relaxation
from paretodet.frontier.dominance import is_uncertain
from paretodet.frontier.explanation import explain
from paretodet.frontier.participation import (
    NO_ROWS,
    Participation,
    describe_rows,
    has_latency,
    left_out_notes,
    remeasure_command,
    select_rows,
)
from paretodet.frontier.probability import best_probability, fit_probability, time_fit_probability
from paretodet.frontier.ranked import Indices, LimitCheck, RankedRows
from paretodet.frontier.values import (
    ComparableRows,
    Floats,
    columns,
    comparable_group,
    estimated_accuracy,
    is_time,
    mixed_conditions,
    noun,
    of_group,
)
from paretodet.records.measurement import GAINS, Measurement
from paretodet.records.rows import Rows

__all__ = ["Breach", "Budget", "Chooser", "NextStep", "Recommendation", "Relaxation", "recommend"]


def recommend(
    rows: Sequence[Measurement],
    budget: Budget,
    *,
    split: str | None = None,
    include_invalid: bool = False,
    strict: bool = False,
) -> Recommendation:
    """The best row within the budget, with its probability, runners-up and the next better row.

    The best row has most of the goal (least of a cost); ties go to the lower latency, then to name and id. A row that
    lacks the goal or a limited field is left out. The smallest relaxation is the smallest sum of the shares by which
    limits move. Accuracies are compared within one group of rows (see `values.comparable_group`);
    `participation.select_rows` decides which rows enter. If the budget is `confident`, the safe choice is returned.

    >>> import paretodet
    >>> budget = paretodet.Budget(maximum={"latency_ms_p50": 350})
    >>> paretodet.recommend(paretodet.read_rows("rows.jsonl"), budget, split="mixed").choice.name
    'hf:d_fine-s'
    """
    return Chooser(rows, split=split, include_invalid=include_invalid, strict=strict).answer(budget)


class _KnownRows(NamedTuple):
    """Rows of comparable accuracy, and those of them that have every field of the budget."""

    group: ComparableRows
    known: Rows


class _Prepared(NamedTuple):
    """What an answer needs that does not depend on the limits."""

    selected: Participation[_KnownRows]
    ranked: RankedRows
    outside: RankedRows  # rows left out that have a latency
    notes: tuple[str, ...]


class Chooser:
    """Answers many budgets over the same rows; what does not depend on the limits is computed once."""

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
        self._prepared: dict[tuple[str, ...], _Prepared] = {}

    def answer(self, budget: Budget) -> Recommendation:
        """The same as `recommend`."""
        prepared = self._prepare(budget.fields)
        ranked, limits = prepared.ranked, budget.limits
        checked = ranked.check(limits, confident=budget.confident)
        safe = np.flatnonzero(ranked.check(limits, confident=True).keeps)
        fitting = np.flatnonzero(checked.keeps)
        fits = fit_probability(ranked.numbers, limits)
        best = best_probability(ranked.numbers, limits, budget.goal, fits, shared=ranked.shared)
        missed = _missed(prepared.outside, ranked, fitting, budget)
        undecided = (*_undecided(ranked, budget, best), *missed)
        answer = replace(
            _choose(ranked, checked, budget, fits),
            probability_fits=float(fits[fitting[0]]) if fitting.size else None,
            probability_best=float(best[fitting[0]]) if fitting.size else None,
            safe=ranked.rows[int(safe[0])] if safe.size else None,
            provisional=prepared.selected.provisional,
            why=prepared.selected.why,
            undecided=undecided,
            remeasure=_remeasure(prepared, undecided, missed),
        )
        why = (answer.why,) if answer.why else ()
        sentences = explain(answer, budget, ranked, fitting=fitting.size)
        return replace(
            answer, reason=" ".join((*why, *sentences, *_open_questions(answer, ranked, missed), *prepared.notes))
        )

    def _prepare(self, fields: tuple[str, ...]) -> _Prepared:
        if fields not in self._prepared:
            self._prepared[fields] = self._prepare_new(fields)
        return self._prepared[fields]

    def _prepare_new(self, fields: tuple[str, ...]) -> _Prepared:
        def compare(inside: Rows, left_out: int) -> _KnownRows:
            return _comparable(inside, fields, self._split, left_out)

        selected = select_rows(self._rows, compare, include_invalid=self._include_invalid, strict=self._strict)
        group, known = selected.compared
        outside = NO_ROWS if self._strict else selected.outside.where(has_latency(selected.outside))
        if group.label:
            outside = of_group(outside, _gain(fields), group.label)
        try:
            outside = _comparable(outside, fields, group.label or self._split, 0).known
        except ValueError:  # none of them has an accuracy on this split
            outside = NO_ROWS
        return _Prepared(
            selected,
            RankedRows(known, fields, slack=group.slack),
            RankedRows(outside, fields, slack=group.slack),
            _notes(selected, fields, len(self._rows)),
        )


def _comparable(rows: Rows, fields: Sequence[str], split: str | None, left_out: int) -> _KnownRows:
    gain = _gain(fields)
    group = comparable_group(rows, gain, split, left_out=left_out) if gain else ComparableRows(label="", rows=rows)
    known = np.ones(len(group.rows), dtype=np.bool_)
    for name in fields:
        known &= np.isfinite(columns(group.rows, name).point)
    return _KnownRows(group, group.rows.where(known))


def _gain(fields: Sequence[str]) -> str:
    """The first accuracy of these fields; empty without one."""
    return next((name for name in fields if name in GAINS), "")


def _choose(ranked: RankedRows, checked: LimitCheck, budget: Budget, fits: Floats) -> Recommendation:
    """The choice and its runners-up; of the better rows, or of all rows if none fits, the nearest to the limits."""
    fitting, shares = np.flatnonzero(checked.keeps), checked.shares.sum(axis=0)
    better = ranked.score > ranked.score[fitting[0]] if fitting.size else True
    beyond = np.flatnonzero(~checked.keeps & better)
    answer = Recommendation(
        choice=ranked.rows[int(fitting[0])] if fitting.size else None,
        runners_up=tuple(ranked.rows.where(fitting[1:3])),
        binding=None,
        next=None,
        relaxation=None,
        reason="",
    )
    if not beyond.size:
        return answer
    nearest = int(beyond[np.argmin(shares[beyond])])
    row, breaches = ranked.rows[nearest], tuple(_breaches(checked, budget, nearest))
    if not answer.choice:
        return replace(answer, relaxation=Relaxation(row=row, breaches=breaches, probability=float(fits[nearest])))
    binding = max(breaches, key=lambda breach: breach.share)
    step = NextStep(row=row, change=_change(ranked, nearest, int(fitting[0])), breaches=breaches)
    return replace(answer, binding=binding, next=step)


def _breaches(checked: LimitCheck, budget: Budget, index: int) -> Iterable[Breach]:
    for number, (name, kind, limit) in enumerate(budget.limits):
        if checked.shares[number, index] > 0:
            yield Breach(field=name, kind=kind, limit=limit, needed=float(checked.needed[number, index]))


def _change(ranked: RankedRows, index: int, first: int) -> dict[str, float]:
    return {name: ranked.point(index, name) - ranked.point(first, name) for name in ranked.numbers}


def _undecided(ranked: RankedRows, budget: Budget, best: Floats) -> tuple[Measurement, ...]:
    """The rows that are neither surely the best nor surely not the best, if exact times would decide that."""
    if not any(map(is_time, budget.fields)):
        return ()
    is_open = is_uncertain(best)
    if not is_time(budget.goal):
        fits_in_time = time_fit_probability(ranked.numbers, budget.limits)
        is_open &= is_uncertain(fits_in_time)
    return tuple(ranked.rows.where(is_open))


def _missed(outside: RankedRows, ranked: RankedRows, fitting: Indices, budget: Budget) -> tuple[Measurement, ...]:
    """The best of the rows left out, if it would be the choice."""
    keeps = np.flatnonzero(outside.check(budget.limits, confident=budget.confident).keeps)
    is_better = keeps.size and (not fitting.size or outside.score[keeps[0]] > ranked.score[fitting[0]])
    return (outside.rows[int(keeps[0])],) if is_better else ()


def _open_questions(answer: Recommendation, ranked: RankedRows, missed: Sequence[Measurement]) -> Iterable[str]:
    if names := [ranked.label(row) for row in answer.undecided if row not in missed]:
        yield f"Undecided because intervals are too wide: {', '.join(names)}."
    if missed:
        yield f"Left out, but would be the choice if valid: {describe_rows(Rows.of(missed))}."


def _remeasure(prepared: _Prepared, undecided: Sequence[Measurement], missed: Sequence[Measurement]) -> tuple[str, ...]:
    if prepared.selected.provisional:
        return remeasure_command(prepared.selected.disturbed, patient=True)
    return remeasure_command(undecided, patient=bool(missed))


def _notes(selected: Participation[_KnownRows], fields: Sequence[str], rows: int) -> tuple[str, ...]:
    group, known = selected.compared
    unknown = len(group.rows) - len(known)
    missing = " or ".join(map(noun, fields))
    return (
        *group.notes,
        *estimated_accuracy(known),
        *mixed_conditions(known),
        *((f"Left out because they lack {missing}: {unknown} of {len(group.rows)} rows.",) if unknown else ()),
        *left_out_notes(selected, rows),
    )
