"""Labels and results as columns, image by image, and the overlaps between them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from paretodet.labels.overlaps import overlaps

CAP = 100  # detections an image and category, as COCO's evaluator takes


class TruthTable(NamedTuple):
    """G ground truths, by rising image."""

    image: np.ndarray  # [G] index of the image by rising id
    category: np.ndarray  # [G] index of the category by rising id
    boxes: np.ndarray  # [G, 4] x, y, w, h px
    area: np.ndarray  # [G] px², as the labels say
    crowd: np.ndarray  # [G] bool


class DetectionTable(NamedTuple):
    """D detections, by rising image and there by falling score; ties keep their order."""

    image: np.ndarray
    category: np.ndarray
    boxes: np.ndarray
    area: np.ndarray  # [D] px², of the box
    scores: np.ndarray


class Table(NamedTuple):
    images: np.ndarray  # ids
    categories: np.ndarray  # ids
    truths: TruthTable
    finds: DetectionTable


class ImageRows(NamedTuple):
    """One image: which rows of the table it has, and their overlaps."""

    truths: slice
    finds: slice
    overlaps: np.ndarray  # [finds, truths]; with a crowd: the share of the detection that lies inside


def table(truth: dict[str, Any], results: Sequence[dict[str, Any]], *, cap: int = CAP) -> Table:
    """Boxes alone; the best `cap` detections an image and category take part."""
    images = np.array(sorted(each["id"] for each in truth["images"]), np.int64)
    categories = np.array(sorted(each["id"] for each in truth["categories"]), np.int64)
    rows = sorted(truth["annotations"], key=lambda row: row["image_id"])
    image, category, boxes = _columns(rows, images, categories)
    area = np.array([row["area"] for row in rows], np.float64)
    crowd = np.array([row.get("iscrowd", 0) for row in rows], bool)
    return Table(
        images, categories, TruthTable(image, category, boxes, area, crowd), _finds(results, images, categories, cap)
    )


def groups(table: Table) -> Iterator[ImageRows]:
    """One an image that has detections or truths."""
    truths, finds = table.truths, table.finds
    edges = np.arange(len(table.images) + 1)
    starts = np.stack([np.searchsorted(truths.image, edges), np.searchsorted(finds.image, edges)], 1).tolist()
    for (g0, d0), (g1, d1) in zip(starts, starts[1:], strict=False):
        if g1 > g0 or d1 > d0:
            here, there = slice(g0, g1), slice(d0, d1)
            yield ImageRows(here, there, overlaps(finds.boxes[there], truths.boxes[here], truths.crowd[here]))


def _finds(results: Sequence[dict[str, Any]], images: np.ndarray, categories: np.ndarray, cap: int) -> DetectionTable:
    image, category, boxes = _columns(results, images, categories)
    scores = np.array([row["score"] for row in results], np.float64)
    order = np.lexsort((-scores, category, image))
    group = np.stack([image, category])[:, order]
    first = np.r_[True, (np.diff(group) != 0).any(0)][: len(order)]
    rank = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    kept = np.sort(order[rank < cap])
    kept = kept[np.lexsort((-scores[kept], image[kept]))]
    return DetectionTable(image[kept], category[kept], boxes[kept], boxes[kept, 2] * boxes[kept, 3], scores[kept])


def _columns(
    rows: Sequence[dict[str, Any]], images: np.ndarray, categories: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = np.searchsorted(images, np.array([row["image_id"] for row in rows], np.int64))
    category = np.searchsorted(categories, np.array([row["category_id"] for row in rows], np.int64))
    return image, category, np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
