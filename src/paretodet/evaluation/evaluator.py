"""COCO's evaluator: the only file that imports hotcoco's, which gives the numbers of pycocotools and lvis-api."""

from collections.abc import Mapping, Sequence
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
    labeled = COCO(coco_dictionary(labels, outlines=kind == "segm"))
    detected = labeled.load_res(_bare(results))
    run = COCOeval(labeled, detected, kind, lvis_style=labels.federated is not None)
    run.evaluate()
    run.accumulate()
    run.summary_lines()
    assert run.eval is not None
    return Counted(tuple(run.params.cat_ids), run.eval["precision"], run.eval["recall"], run.get_results())


def _bare(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with `FIELDS` alone; a half million that have no others are not made anew."""
    known = frozenset(FIELDS)
    return [row if known.issuperset(row) else {field: row[field] for field in FIELDS if field in row} for row in rows]
