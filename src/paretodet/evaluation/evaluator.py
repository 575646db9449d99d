"""COCO's evaluator: the only file that imports hotcoco's, which gives the numbers of pycocotools and lvis-api."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from hotcoco import COCO, COCOeval

from paretodet.evaluation.dictionary import coco_dictionary
from paretodet.labels.model import Labels

FIELDS = ("image_id", "category_id", "score", "bbox", "segmentation")  # of a result; others are not passed on


class Counted(NamedTuple):
    """The evaluator's counts: T overlaps, R recalls, K categories, A sizes, M caps; -1 for unknown."""

    categories: tuple[int, ...]  # ids
    precision: np.ndarray  # [T, R, K, A, M]
    recall: np.ndarray  # [T, K, A, M]
    summary: Mapping[str, float]  # by the evaluator's names, 0..1


def count(labels: Labels, results: Sequence[dict[str, Any]], kind: str) -> Counted:
    """`results` against `labels`, which have an area of every box; `kind` is "bbox" or "segm". Federated labels are
    scored as LVIS defines it.
    """
    images, categories = _accepted(labels.keys.tolist()), _accepted(labels.category_ids)
    labels, results = _renumbered(labels, results, images, categories)
    labeled = COCO(coco_dictionary(labels, outlines=kind == "segm"))
    detected = labeled.load_res(_bare(results))
    run = COCOeval(labeled, detected, kind, lvis_style=labels.federated is not None)
    run.evaluate()
    run.accumulate()
    run.summary_lines()
    assert run.eval is not None
    ids = {new: old for old, new in categories.items()}
    counted = tuple(ids[key] for key in run.params.cat_ids)
    return Counted(counted, run.eval["precision"], run.eval["recall"], run.get_results())


def _accepted(ids: Sequence[int]) -> dict[int, int]:
    """The ids as the library takes them, in the same order: it refuses all below 0, which pycocotools does not."""
    order = sorted(ids)
    return dict(zip(order, range(len(order)) if order and order[0] < 0 else order, strict=True))


def _renumbered(
    labels: Labels, results: Sequence[dict[str, Any]], images: Mapping[int, int], categories: Mapping[int, int]
) -> tuple[Labels, Sequence[dict[str, Any]]]:
    if all(old == new for ids in (images, categories) for old, new in ids.items()):
        return labels, results
    keys = np.array([images[key] for key in labels.keys.tolist()])
    ids = tuple(categories[key] for key in labels.category_ids)
    rows = [
        row | {"image_id": images[row["image_id"]], "category_id": categories.get(row["category_id"], len(categories))}
        for row in results
    ]
    return replace(labels, keys=keys, category_ids=ids), rows


def _bare(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `FIELDS` alone; a half million that have no others are not made anew."""
    known = frozenset(FIELDS)
    return [row if known.issuperset(row) else {field: row[field] for field in FIELDS if field in row} for row in rows]
