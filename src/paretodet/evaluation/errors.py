"""Where the AP is lost: every wrong detection and every missed object has one cause, and each cause costs AP.

The six causes are those of Bolya et al. 2020 (TIDE), section 2.2, at an overlap of 0.5 to be right and 0.1 to be near.
What a cause costs is the AP that is won where it alone is mended (section 2.3). Boxes alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from paretodet.errors import InputError
from paretodet.evaluation.curves import Curve, curve, sampled
from paretodet.evaluation.matching import IGNORED, RIGHT, SIZES, WRONG, Rivals, match, rivals
from paretodet.evaluation.table import Table, groups, table
from paretodet.labels.model import Labels

CAUSES = ("classification", "localization", "both", "duplicate", "background", "missed")
CLASSIFICATION, LOCALIZATION, BOTH, DUPLICATE, BACKGROUND, MISSED = range(6)
NOBODY = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Errors:
    """S sizes (those of `SIZES`), K categories by rising id, six `CAUSES`. AP in percent, NaN without ground truth."""

    categories: tuple[int, ...]  # ids
    ap: np.ndarray  # [S, K] at this overlap
    lost: np.ndarray  # [S, K, 6] points of AP that mending one cause alone would win
    truths: np.ndarray  # [S, K] ground truths, crowds aside
    counts: np.ndarray  # [S, K, 6] detections, of the category they claim; missed: ground truths
    curves: tuple[Curve | None, ...]  # [K] of all sizes

    def mean(self, size: str = "all") -> tuple[float | None, dict[str, float]]:
        """AP over the categories with something to find, and what each cause loses of it."""
        place = list(SIZES).index(size)
        known = ~np.isnan(self.ap[place])
        if not known.any():
            return None, {}
        lost = self.lost[place][known].mean(0).tolist()
        return float(self.ap[place][known].mean()), dict(zip(CAUSES, lost, strict=True))


class _Facts(NamedTuple):
    """What does not depend on the size range."""

    same: np.ndarray  # [D] highest overlap with a truth of the detection's category, crowds aside
    same_truth: np.ndarray  # [D] which; NOBODY
    other: np.ndarray  # [D] the same with truths of other categories
    other_truth: np.ndarray
    rivals: Rivals


class _BySize(NamedTuple):
    """Of one size."""

    state: np.ndarray  # [D] RIGHT, WRONG or IGNORED
    taken: np.ndarray  # [G] bool
    counted: np.ndarray  # [G] bool: of this size and no crowd
    cause: np.ndarray  # [D], of what is WRONG
    target: np.ndarray  # [D] the truth that a mended detection would find; NOBODY
    missed: np.ndarray  # [G] bool


def errors(labels: Labels, results: Sequence[dict[str, Any]], *, overlap: float = 0.5, near: float = 0.1) -> Errors:
    """Matched by COCO's rules, so that `ap` is COCO's at this overlap.

    Raises ValueError unless 0 < near < overlap < 1.
    """
    if not 0 < near < overlap < 1:
        raise InputError(f"near, overlap: got {near}, {overlap}, allowed 0 < near < overlap < 1", "option-range")
    rows = table(labels, results)
    facts = _facts(rows, overlap)
    judged = [_judge(rows, facts, edges, overlap, near) for edges in SIZES.values()]
    whole = judged[0]
    return Errors(
        categories=tuple(rows.categories.tolist()),
        ap=np.stack([_ap(rows, each, each.state, rows.finds.category) for each in judged]),
        lost=np.stack([_lost(rows, each) for each in judged]),
        truths=np.stack([_totals(rows, each.counted) for each in judged]),
        counts=np.stack([_counts(rows, each) for each in judged]),
        curves=tuple(_curves(rows, whole, whole.state, rows.finds.category, _totals(rows, whole.counted))),
    )


def _facts(rows: Table, overlap: float) -> _Facts:
    count = len(rows.finds.scores)
    same, other = np.zeros(count), np.zeros(count)
    same_truth, other_truth = np.full(count, NOBODY), np.full(count, NOBODY)
    for group in groups(rows):
        if group.overlaps.size == 0:
            continue
        mine = rows.finds.category[group.finds, None] == rows.truths.category[None, group.truths]
        plain = ~rows.truths.crowd[None, group.truths]
        for chosen, best, which in ((mine, same, same_truth), (~mine, other, other_truth)):
            shares = np.where(chosen & plain, group.overlaps, 0.0)
            best[group.finds] = shares.max(1)
            which[group.finds] = np.where(shares.max(1) > 0, shares.argmax(1) + group.truths.start, NOBODY)
    return _Facts(same, same_truth, other, other_truth, rivals(rows, overlap))


def _judge(rows: Table, facts: _Facts, edges: tuple[float, float], overlap: float, near: float) -> _BySize:
    truths, finds = rows.truths, rows.finds
    counted = ~truths.crowd & (truths.area >= edges[0]) & (truths.area <= edges[1])
    state, taken = match(facts.rivals, counted, truths.crowd, len(finds.scores))
    outside = (finds.area < edges[0]) | (finds.area > edges[1])
    state[(state == WRONG) & (outside | finds.excused)] = IGNORED
    located = (facts.same >= near) & (facts.same < overlap)
    named = facts.other >= overlap
    tests = [located, named, facts.same >= overlap, np.maximum(facts.same, facts.other) < near]
    cause = np.select(tests, [LOCALIZATION, CLASSIFICATION, DUPLICATE, BACKGROUND], BOTH)
    target = np.select([located, named], [facts.same_truth, facts.other_truth], NOBODY)
    excused = np.zeros(len(truths.area) + 1, bool)
    excused[target[state == WRONG]] = True
    return _BySize(state, taken, counted, cause, target, counted & ~taken & ~excused[:-1])


def _lost(rows: Table, judged: _BySize) -> np.ndarray:
    """[K, 6] AP with one cause mended, less the AP as it is."""
    base = _ap(rows, judged, judged.state, rows.finds.category)
    mended = [_mended(rows, judged, cause) for cause in range(6)]
    return np.stack([each - base for each in mended], 1)


def _mended(rows: Table, judged: _BySize, cause: int) -> np.ndarray:
    """[K] AP without this cause. A mended detection matches its truth, if that is free and no better one would; else it
    is removed. A missed truth is no longer counted.
    """
    if cause == MISSED:
        left = judged._replace(counted=judged.counted & ~judged.missed)
        ap = _ap(rows, left, judged.state, rows.finds.category)
        nothing = (_totals(rows, left.counted) == 0) & (_totals(rows, judged.counted) > 0)
        return np.where(nothing, 100.0, ap)
    wrong = (judged.state == WRONG) & (judged.cause == cause)
    state, category = np.where(wrong, IGNORED, judged.state), rows.finds.category
    if cause in (CLASSIFICATION, LOCALIZATION):
        winners = _winners(rows, judged)
        winners = winners[judged.cause[winners] == cause]
        state[winners] = RIGHT
        category = category.copy()
        category[winners] = rows.truths.category[judged.target[winners]]
    return _ap(rows, judged, state, category)


def _winners(rows: Table, judged: _BySize) -> np.ndarray:
    """Of each free truth the best detection that would find it, mended."""
    free = np.append(judged.counted & ~judged.taken, False)
    ready = np.flatnonzero((judged.state == WRONG) & free[judged.target])
    ready = ready[np.argsort(-rows.finds.scores[ready], kind="stable")]
    _, first = np.unique(judged.target[ready], return_index=True)
    return ready[first]


def _counts(rows: Table, judged: _BySize) -> np.ndarray:
    kinds, wrong = len(rows.categories), judged.state == WRONG
    place = rows.finds.category[wrong] * 6 + judged.cause[wrong]
    counts = np.bincount(place, minlength=kinds * 6).reshape(kinds, 6)
    counts[:, MISSED] = np.bincount(rows.truths.category[judged.missed], minlength=kinds)
    return counts


def _ap(rows: Table, judged: _BySize, state: np.ndarray, category: np.ndarray) -> np.ndarray:
    """[K] COCO's AP at one overlap, percent; NaN without ground truth."""
    found = _curves(rows, judged, state, category, _totals(rows, judged.counted))
    return np.array([np.nan if each is None else 100 * sampled(each).mean() for each in found])


def _totals(rows: Table, counted: np.ndarray) -> np.ndarray:
    return np.bincount(rows.truths.category[counted], minlength=len(rows.categories))


def _curves(
    rows: Table, judged: _BySize, state: np.ndarray, category: np.ndarray, totals: np.ndarray
) -> Iterator[Curve | None]:
    kept = np.flatnonzero(state != IGNORED)
    kept = kept[np.argsort(category[kept], kind="stable")]
    edges = np.searchsorted(category[kept], np.arange(len(totals) + 1)).tolist()
    for place, (start, end) in enumerate(zip(edges, edges[1:], strict=False)):
        mine = kept[start:end]
        yield curve(rows.finds.scores[mine], state[mine] == RIGHT, int(totals[place])) if totals[place] else None
