"""COCO's accuracy of finished detections, through a kept evaluator equal to pycocotools."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from paretodet.errors import InputError
from paretodet.evaluation.areas import with_areas
from paretodet.evaluation.evaluator import Counted, count
from paretodet.labels.model import Labels
from paretodet.labels.rle import bounds, compress


class Scores(NamedTuple):
    """Percent, in the order of the official evaluator; None if no object of that size exists."""

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None


class FederatedScores(NamedTuple):
    """What LVIS adds, in percent: AP of the classes that are rare, common and frequent in its training images, and AR
    of at most 300 detections an image.
    """

    ap_rare: float | None
    ap_common: float | None
    ap_frequent: float | None
    ar300: float | None


@dataclass(frozen=True, kw_only=True)
class CocoScores:
    """Over all categories that have something to detect, and in each by id: its mean is the whole's.

    Of federated labels AR is that of at most 300 detections an image, and `ar1`, `ar10` and `ar100` are None.
    """

    whole: Scores
    categories: Mapping[int, Scores]
    federated: FederatedScores | None = None


def evaluate(labels: Labels, results: Sequence[dict[str, Any]], *, kind: str = "bbox") -> CocoScores:
    """Official AP and AR of COCO `results` (image_id, category_id, score; bbox as x, y, w, h px) against `labels`;
    LVIS's if the labels are federated.

    `kind` is "bbox" or "segm". Every image of `labels` counts, with detections or without. Masks are scored by their
    own area; boxes of results that have a segmentation alone are those around it. `checks` states what results must be
    like. Raises ValueError if a result names an image that `labels` does not have.
    """
    counted = _counted(labels, results, kind)
    each = {
        key: _scores(counted.precision[:, :, place], counted.recall[:, place])
        for place, key in enumerate(counted.categories)
    }
    federated = None if labels.federated is None else FederatedScores(*_summary(counted, FEDERATED_MEASURES))
    return CocoScores(whole=_whole(counted), categories=each, federated=federated)


def score(labels: Labels, results: Sequence[dict[str, Any]], *, kind: str = "bbox") -> Scores:
    """`evaluate(...).whole`."""
    return _whole(_counted(labels, results, kind))


def per_category(labels: Labels, results: Sequence[dict[str, Any]], *, kind: str = "bbox") -> dict[int, float | None]:
    """The AP in each category, by id, in percent; None if there is nothing to detect. Their mean is `score(...).ap`.

    Raises ValueError as `evaluate` does.
    """
    return {key: each.ap for key, each in evaluate(labels, results, kind=kind).categories.items()}


def boxed(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results with the box around its outline for each that has an outline alone."""
    given = map(_boxed, rows)
    return [row if "bbox" in row else row | {"bbox": bounds(row["segmentation"])} for row in given]


MEASURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
LVIS_NAMES = {"ARs": "ARs@300", "ARm": "ARm@300", "ARl": "ARl@300"}  # of the same measures
FEDERATED_MEASURES = ("APr", "APc", "APf", "AR@300")
ALL, SMALL, MEDIUM, LARGE = range(4)
AT_50, AT_75 = 0, 5  # places among the overlaps 0.50, 0.55, ... 0.95
CAPS = 3  # of COCO: 1, 10 and 100 detections; LVIS has one


def _whole(counted: Counted) -> Scores:
    known = counted.summary
    return Scores(*_summary(counted, [name if name in known else LVIS_NAMES.get(name, name) for name in MEASURES]))


def _summary(counted: Counted, names: Sequence[str]) -> list[float | None]:
    values = [counted.summary.get(name, -1.0) for name in names]
    return [None if value < 0 else 100 * value for value in values]


def _scores(precision: np.ndarray, recall: np.ndarray) -> Scores:
    """One category: precision [overlaps, recalls, sizes, caps] and recall [overlaps, sizes, caps], -1 for unknown."""
    aps = [precision[..., ALL, -1], precision[AT_50, :, ALL, -1], precision[AT_75, :, ALL, -1]]
    aps += [precision[..., size, -1] for size in (SMALL, MEDIUM, LARGE)]
    unknown = np.full(1, -1.0)
    ars = [recall[:, ALL, cap] if recall.shape[-1] == CAPS else unknown for cap in range(CAPS)]
    ars += [recall[:, size, -1] for size in (SMALL, MEDIUM, LARGE)]
    return Scores(*(100 * float(each.mean()) if (each >= 0).all() else None for each in (*aps, *ars)))


def _counted(labels: Labels, results: Sequence[dict[str, Any]], kind: str) -> Counted:
    if kind not in ("bbox", "segm"):
        raise InputError(f"kind: got {kind!r}, allowed 'bbox', 'segm'", "option-value")
    known = set(labels.keys.tolist())
    strange = {result["image_id"] for result in results} - known
    if strange:
        raise InputError(
            f"image_id: {min(strange)} of the results is not among the {len(known)} images of the labels",
            "labels-image-unknown",
        )
    return count(with_areas(labels), _rows(results, kind), kind)


def _rows(results: Sequence[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """A bbox beside a segmentation would decide a mask's size; a segmentation beside a bbox is not used."""
    needless = {"bbox": "segmentation", "segm": "bbox"}[kind]
    if not any("bbox" in row and "segmentation" in row for row in results):
        return [_boxed(row) for row in results] if kind == "bbox" else list(results)
    return [{key: value for key, value in row.items() if key != needless} for row in results]


def _boxed(row: dict[str, Any]) -> dict[str, Any]:
    """A row without a bbox with the one around its outline; around compressed text the evaluator finds it itself."""
    outline = row.get("segmentation")
    if "bbox" in row or outline is None or (isinstance(outline, dict) and isinstance(outline["counts"], str)):
        return row
    if isinstance(outline, dict):
        text = compress(outline["counts"], tuple(outline["size"])).decode("ascii")
        return row | {"segmentation": outline | {"counts": text}}
    points = np.concatenate([np.asarray(ring, np.float64).reshape(-1, 2) for ring in outline])
    low, high = points.min(0), points.max(0)
    return row | {"bbox": [*low.tolist(), *(high - low).tolist()]}
