"""Pascal VOC's average precision: eleven points until 2009, every point from 2010 on (Everingham et al. 2010, 4.2)."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from paretodet.errors import InputError
from paretodet.evaluation.curves import Curve, area, curve, sampled
from paretodet.evaluation.table import Table, groups, table
from paretodet.labels.model import Labels

ELEVEN = np.arange(11) / 10  # 0.6 and 0.7 as recalls have them: linspace is a bit above


def average_precision(
    labels: Labels,
    results: Sequence[dict[str, Any]],
    *,
    points: Literal["eleven", "all"] = "all",
    overlap: float = 0.5,
) -> dict[int, float | None]:
    """AP in percent of each category by id; None if there is nothing to detect. VOC's mAP is their mean.

    `results` are in COCO's form, boxes half-open. Crowds are what VOC calls difficult: they are neither required nor
    mistakes. Every detection counts, however many there are. A detection belongs to the object of its category that it
    overlaps most, and is wrong if a better one has that object already.
    """
    if points not in ("eleven", "all"):
        raise InputError(f"points: got {points!r}, allowed 'eleven', 'all'", "option-value")
    found = both(labels, results, overlap=overlap)
    return {key: each.all if points == "all" else each.eleven for key, each in found.items()}


class Areas(NamedTuple):
    """One category's AP in percent by both definitions; None if there is nothing to detect."""

    eleven: float | None
    all: float | None


def both(labels: Labels, results: Sequence[dict[str, Any]], *, overlap: float = 0.5) -> dict[int, Areas]:
    """As `average_precision`, matched once for eleven points and all."""
    found = curves(labels, results, overlap=overlap)
    return {key: Areas(None, None) if each is None else _areas(each) for key, each in found.items()}


def _areas(line: Curve) -> Areas:
    return Areas(100 * float(sampled(line, ELEVEN).mean()), 100 * area(line))


def means(found: dict[int, Areas]) -> Areas:
    """VOC's mAP by both definitions."""
    columns = ({key: each[place] for key, each in found.items()} for place in range(2))
    return Areas(*map(mean, columns))


def mean(values: dict[int, float | None]) -> float | None:
    """The mean over the categories that have something to detect; None if none has."""
    known = [value for value in values.values() if value is not None]
    return sum(known) / len(known) if known else None


def curves(labels: Labels, results: Sequence[dict[str, Any]], *, overlap: float = 0.5) -> dict[int, Curve | None]:
    """Precision against recall of each category by id, matched as VOC matches; None if there is nothing to detect."""
    rows = table(labels, results, cap=len(results) + 1)
    state = _matched(rows, overlap)
    easy = np.bincount(rows.truths.category[~rows.truths.crowd], minlength=len(rows.categories))
    return {
        int(key): curve(*_of(rows, state, place), int(easy[place])) if easy[place] else None
        for place, key in enumerate(rows.categories)
    }


def _of(rows: Table, state: np.ndarray, place: int) -> tuple[np.ndarray, np.ndarray]:
    chosen = (rows.finds.category == place) & (state >= 0)
    return rows.finds.scores[chosen], state[chosen] > 0


def _matched(rows: Table, overlap: float) -> np.ndarray:
    """[D] 1 right, 0 wrong, -1 of a difficult object."""
    state, taken = np.zeros(len(rows.finds.scores), np.int8), set()
    plain = rows._replace(truths=rows.truths._replace(crowd=np.zeros_like(rows.truths.crowd)))
    for group in groups(plain):
        mine = rows.finds.category[group.finds, None] == rows.truths.category[None, group.truths]
        shares = np.where(mine, group.overlaps, -1.0)
        for place in np.flatnonzero(shares.max(1, initial=-1.0) >= overlap).tolist():
            target = int(shares[place].argmax()) + group.truths.start
            free = target not in taken and not rows.truths.crowd[target]
            state[group.finds.start + place] = -1 if rows.truths.crowd[target] else int(free)
            taken.add(target)
    state[(state == 0) & rows.finds.excused] = -1
    return state
