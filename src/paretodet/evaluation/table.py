"""Labels and results as columns, image by image, and the overlaps between them."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from paretodet.evaluation.areas import with_areas
from paretodet.labels.model import Federated, Labels
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
    excused: np.ndarray  # [D] bool: not every object of its category is labeled in its image, so it is never wrong


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


def table(labels: Labels, results: Sequence[dict[str, Any]], *, cap: int = CAP) -> Table:
    """Boxes alone; the best `cap` detections an image and category take part. Of federated labels, detections of
    categories that were not looked for in their image do not.
    """
    images, categories = np.sort(labels.keys), np.sort(np.array(labels.category_ids, np.int64))
    ids = np.array(labels.category_ids, np.int64)
    image, category = np.searchsorted(images, labels.keys[labels.owners]), np.searchsorted(categories, ids)
    order = np.argsort(image, kind="stable")
    areas = with_areas(labels).areas
    assert areas is not None
    truths = TruthTable(
        image[order],
        category[labels.classes[order]],
        labels.xywh[order],
        areas[order],
        labels.crowd[order],
    )
    finds = _finds(results, images, categories, cap)
    if labels.federated is not None:
        finds = _looked_for(finds, truths, labels.federated, np.searchsorted(images, labels.keys), category)
    return Table(images, categories, truths, finds)


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
    areas, excused = boxes[kept, 2] * boxes[kept, 3], np.zeros(len(kept), bool)
    return DetectionTable(image[kept], category[kept], boxes[kept], areas, scores[kept], excused)


def _looked_for(
    finds: DetectionTable, truths: TruthTable, known: Federated, images: np.ndarray, categories: np.ndarray
) -> DetectionTable:
    """The detections of categories that their image has or verifiably lacks. `images` and `categories` are the places
    of the labels' own.
    """
    span = int(categories.max(initial=0)) + 1

    def pairs(rows: np.ndarray) -> np.ndarray:
        return images[rows[:, 0]] * span + categories[rows[:, 1]]

    mine = finds.image * span + finds.category
    kept = np.isin(mine, np.concatenate([truths.image * span + truths.category, pairs(known.absent)]))
    excused = np.isin(mine, pairs(known.partial))
    return DetectionTable(*(column[kept] for column in finds._replace(excused=excused)))


def _columns(
    rows: Sequence[dict[str, Any]], images: np.ndarray, categories: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    image = np.searchsorted(images, np.array([row["image_id"] for row in rows], np.int64))
    category = np.searchsorted(categories, np.array([row["category_id"] for row in rows], np.int64))
    return image, category, np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)
