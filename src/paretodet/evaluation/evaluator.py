"""The kept evaluator: the only file that knows hotcoco, which counts and draws as pycocotools does."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from hotcoco import COCO, COCOeval
from hotcoco import mask as runs

SCORED = {  # the fields that count; of others the library would only refuse kinds it does not expect
    "images": ("id", "width", "height", "file_name"),
    "categories": ("id", "name"),
    "annotations": ("id", "image_id", "category_id", "bbox", "area", "iscrowd", "segmentation"),
}
FOUND = ("image_id", "category_id", "score", "bbox", "segmentation")

Rle = dict[str, Any]  # COCO's: "size" [height, width] and "counts", compressed text
Rings = Sequence[Sequence[float]]  # x, y, x, y, ... px each


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


def encode(picture: np.ndarray) -> Rle:
    """bool [H, W] -> run lengths that pycocotools reads, ready for JSON."""
    packed = runs.encode(np.asfortranarray(picture, dtype=np.uint8))
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")}


def decode(rle: Rle) -> np.ndarray:
    """Run lengths -> bool [H, W]."""
    return np.asarray(runs.decode(rle)).astype(bool)


def draw(rings: Rings, size: tuple[int, int]) -> np.ndarray:
    """bool [H, W]: the union of the rings, at least one, in an image of (height, width) `size`."""
    return np.asarray(runs.decode(_merged(rings, size))).astype(bool)


def area(rings: Rings, size: tuple[int, int]) -> int:
    """px of what `draw` draws."""
    return int(runs.area(_merged(rings, size)))


def bounds(rle: Rle) -> list[float]:
    """x, y, w, h px of the box around run lengths."""
    return [float(side) for side in runs.to_bbox(rle)]


def compress(counts: list[int], size: tuple[int, int]) -> bytes:
    """Lengths of zeros, ones, zeros, ... that fill an image of (height, width) `size` -> COCO's text."""
    return bytes(runs.fr_py_objects({"size": list(size), "counts": counts}, *size)["counts"])


def _merged(rings: Rings, size: tuple[int, int]) -> Rle:
    return dict(runs.merge(runs.fr_py_objects([list(map(float, ring)) for ring in rings], *size)))
