"""COCO's evaluator: the only file that imports hotcoco's, which gives the numbers of pycocotools."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from hotcoco import COCO, COCOeval

SCORED = {  # the fields that count; of others the library would only refuse kinds it does not expect
    "images": ("id", "width", "height", "file_name"),
    "categories": ("id", "name"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
}
FOUND = ("image_id", "category_id", "score", "bbox", "segmentation")


class Counted(NamedTuple):
    """What the evaluator found: T overlaps, R recalls, K categories, A sizes, M caps; -1 for unknown."""

    categories: tuple[int, ...]  # ids
    precision: np.ndarray  # [T, R, K, A, M]
    recall: np.ndarray  # [T, K, A, M]
    summary: Mapping[str, float]  # by the evaluator's names, 0..1


def count(truth: dict[str, Any], results: Sequence[dict[str, Any]], kind: str) -> Counted:
    """`results` against `truth`, both in COCO's form; `kind` is "bbox" or "segm"."""
    labeled = COCO({name: _bare(truth[name], fields) for name, fields in SCORED.items()})
    run = COCOeval(labeled, labeled.load_res(_bare(results, FOUND)), kind)
    run.evaluate()
    run.accumulate()
    run.summary_lines()
    assert run.eval is not None
    return Counted(tuple(run.params.cat_ids), run.eval["precision"], run.eval["recall"], run.get_results())


def _bare(rows: Sequence[dict[str, Any]], fields: Sequence[str]) -> list[dict[str, Any]]:
    """The rows with these fields alone; a half million that have no others are not made anew."""
    known = frozenset(fields)
    return [row if known.issuperset(row) else {field: row[field] for field in fields if field in row} for row in rows]
