"""How sure the ratio of two APs is: a paired bootstrap over images (Efron and Tibshirani 1993, chapter 6).

Both sets of results are of the same images. Every resample draws as many images as there are, with replacement, and
takes both APs on them; the spread of the ratios shows what other images of the same kind would give.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from paretodet.evaluation.curves import RECALLS
from paretodet.evaluation.matching import IGNORED, RIGHT, SIZES, WRONG, Rivals, match, rivals
from paretodet.evaluation.table import Table, table
from paretodet.labels.model import Labels

OVERLAPS = np.linspace(0.5, 0.95, 10)  # COCO's
RESAMPLES = 1000
CONFIDENCE = 0.95  # of each bound alone


class Ratio(NamedTuple):
    """An AP as a share of another, and its bounds: each holds with a probability of CONFIDENCE. None if unknown."""

    ratio: float | None
    lower: float | None
    upper: float | None


class _Matched(NamedTuple):
    """The results in one range of sizes. D detections that count at some overlap, by falling score."""

    state: np.ndarray  # [10, D] RIGHT, WRONG or IGNORED at each overlap
    image: np.ndarray  # [D]
    category: np.ndarray  # [D]
    truths: np.ndarray  # [I, K] ground truths of each image and category


def ap_ratios(
    labels: Labels,
    reference: Sequence[dict[str, Any]],
    other: Sequence[dict[str, Any]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Ratio]:
    """COCO's AP of the boxes of `other` as a share of that of `reference`, by size: all, small, medium and large.

    Both are COCO results on the images of `labels`. A size is unknown where the reference has no AP.
    """
    tables = [table(labels, rows) for rows in (reference, other)]
    weights = _weights(len(tables[0].images), resamples, seed)
    candidates = [rivals(each, OVERLAPS[0]) for each in tables]
    ratios = {}
    for size, edges in SIZES.items():
        matched = [_matched(each, found, edges) for each, found in zip(tables, candidates, strict=True)]
        ratios[size] = _ratio(*(_aps(each, weights) for each in matched))
    return ratios


def _weights(images: int, resamples: int, seed: int) -> np.ndarray:
    """[1 + resamples, images]: how often each image is drawn; first every image once."""
    random = np.random.default_rng(seed)
    drawn = random.multinomial(images, np.full(images, 1 / images), resamples)
    return np.concatenate((np.ones((1, images)), drawn)).astype(np.float32)


def _ratio(reference: np.ndarray, other: np.ndarray) -> Ratio:
    """From the APs of every resample; the first is of all images."""
    known = reference > 0
    if not known[0]:
        return Ratio(None, None, None)
    ratios = np.divide(other, reference, out=np.full(len(reference), np.nan), where=known)
    lower, upper = np.nanquantile(ratios[1:], [1 - CONFIDENCE, CONFIDENCE])
    return Ratio(float(ratios[0]), float(lower), float(upper))


def _matched(rows: Table, candidates: Rivals, edges: tuple[float, float]) -> _Matched:
    """COCO's matching at every overlap."""
    truths, finds = rows.truths, rows.finds
    counted = ~truths.crowd & (truths.area >= edges[0]) & (truths.area <= edges[1])
    outside = (finds.area < edges[0]) | (finds.area > edges[1]) | finds.excused
    states = []
    for overlap in OVERLAPS:
        enough = [(find, [pair for pair in pairs if pair[0] >= overlap]) for find, pairs in candidates]
        state, _ = match(enough, counted, truths.crowd, len(finds.scores))
        states.append(np.where((state == WRONG) & outside, IGNORED, state))
    order = np.argsort(-finds.scores, kind="stable")
    totals = np.zeros((len(rows.images), len(rows.categories)), np.float32)
    np.add.at(totals, (truths.image[counted], truths.category[counted]), 1)
    return _Matched(np.stack(states)[:, order], finds.image[order], finds.category[order], totals)


def _aps(matched: _Matched, weights: np.ndarray) -> np.ndarray:
    """[R] the AP, 0..1, of every row of `weights`: the mean over the categories with an object in it; NaN of none."""
    totals = weights @ matched.truths
    sums = np.zeros(len(weights))
    for category in np.flatnonzero(matched.truths.any(0)).tolist():
        sums += _category_ap(matched, weights, category, totals[:, category])
    with np.errstate(invalid="ignore"):
        return sums / (totals > 0).sum(1)


def _category_ap(matched: _Matched, weights: np.ndarray, category: int, total: np.ndarray) -> np.ndarray:
    """[R] the mean AP over all overlaps; 0 where `total`, the number of its objects, is 0."""
    mine = matched.category == category
    image, states = matched.image[mine], matched.state[:, mine]
    seen, place = np.unique(image, return_inverse=True)
    drawn = weights[:, seen]
    aps = [_ap(drawn, place, state, total) for state in states]
    return np.where(total > 0, np.mean(aps, axis=0), 0.0)


def _ap(drawn: np.ndarray, image: np.ndarray, state: np.ndarray, total: np.ndarray) -> np.ndarray:
    """[R] AP at one overlap. drawn [R, J]: how often each image is in a resample; image, state [D]."""
    right = np.flatnonzero(state == RIGHT)
    if not len(right):
        return np.zeros(len(drawn))
    hits, wrong = (drawn @ counts for counts in _before(image, state, right, drawn.shape[1]))
    precision = np.divide(hits, hits + wrong, out=np.zeros_like(hits), where=hits > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(total, 1).astype(np.float64)[:, None]
    return _sampled(recall, envelope)


def _before(image: np.ndarray, state: np.ndarray, right: np.ndarray, images: int) -> Iterator[np.ndarray]:
    """[J, P] how many right, then wrong, detections each image has up to each of the P right ones."""
    for kind in (RIGHT, WRONG):
        counts = np.zeros((images, len(right) + 1), np.float32)
        rows = np.flatnonzero(state == kind)
        np.add.at(counts, (image[rows], np.searchsorted(right, rows)), 1)
        yield counts.cumsum(1)[:, :-1]


def _sampled(recall: np.ndarray, envelope: np.ndarray) -> np.ndarray:
    """[R, P] -> [R] the mean over RECALLS of the highest precision at each recall or beyond it."""
    rows, columns = recall.shape
    apart = 2.0 * np.arange(rows)[:, None]  # all rows in one search
    places = np.searchsorted((recall + apart).ravel(), (RECALLS + apart).ravel()).reshape(rows, -1)
    places -= columns * np.arange(rows)[:, None]
    padded = np.concatenate((envelope, np.zeros((rows, 1), envelope.dtype)), axis=1)
    return np.take_along_axis(padded, places, axis=1).mean(1, dtype=np.float64)
