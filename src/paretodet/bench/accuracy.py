"""The accuracy that belongs to an artefact: a candidate over labels, scored by COCO's definition."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from paretodet.bench.candidate import Candidate, Image, Labeled
from paretodet.evaluation.coco import Scores, score
from paretodet.evaluation.masks import segmentations
from paretodet.images import ImageError, other_size, read_image
from paretodet.labels.model import ImageEntry, Labels
from paretodet.types import Detections

Row = dict[str, Any]
Names = Sequence[str | None]


class Accuracy(NamedTuple):
    """COCO's scores, in percent; `masks` if the candidate makes masks and the labels hold some."""

    boxes: Scores
    masks: Scores | None
    images: int  # scored
    skipped: tuple[str, ...] = ()


class CocoResults(NamedTuple):
    """COCO results, one object a detection: image_id, category_id, bbox (x, y, w, h in pixels), score and, if the
    candidate makes masks, segmentation; and the labels they are of.
    """

    rows: list[Row]
    truth: Labels  # without the images that were left out, and their objects
    skipped: tuple[str, ...]  # why, one sentence an image


def accuracy(candidate: Candidate, truth: Labels, *, labels: Names | None = None) -> Accuracy:
    """The scores of `candidate` on the images of `truth`. Raises ValueError as `results` does."""
    return tally(results(candidate, truth, labels=labels))


def tally(detected: CocoResults) -> Accuracy:
    """The scores of results."""
    masks = [row for row in detected.rows if "segmentation" in row]
    outlined = detected.truth.outlines is not None
    return Accuracy(
        boxes=score(detected.truth, detected.rows),
        masks=score(detected.truth, masks, kind="segm") if masks and outlined else None,
        images=len(detected.truth),
        skipped=detected.skipped,
    )


def results(
    candidate: Candidate,
    truth: Labels,
    *,
    labels: Names | None = None,
    on_image: Callable[[int], None] = lambda done: None,
) -> CocoResults:
    """What the candidate detects on every image of `truth`. An image that cannot be read, or whose pixels have another
    size than its labels state, is left out and reported: boxes of the one mean nothing in the other.

    `labels` are the candidate's unless given; `on_image` is called with the number of images done. Raises ValueError if
    no image is left, or the candidate's labels do not match the categories.
    """
    ids = category_ids(names(candidate, labels), truth.categories)
    return gathered(truth, lambda image: look(candidate, image, ids), on_image=on_image)


Look = Callable[[ImageEntry], "list[Row] | str"]


def gathered(truth: Labels, look: Look, *, on_image: Callable[[int], None] = lambda done: None) -> CocoResults:
    """What `look` returns for each image of `truth`: COCO results, or why the image is left out.

    Raises ValueError if no image with an object is left.
    """
    rows: list[Row] = []
    skipped: dict[int, str] = {}
    for index in range(len(truth)):
        on_image(index)
        seen = look(truth.image(index))
        if isinstance(seen, str):
            skipped[index] = seen
        else:
            rows += seen
    return CocoResults(rows, without(truth, skipped), tuple(skipped.values()))


def look(candidate: Candidate, image: ImageEntry, ids: Sequence[int | None]) -> list[Row] | str:
    """COCO results of one image of the labels, or the sentence why it cannot be read or that its pixels have another
    size than these state; `ids` as `category_ids` gives them. Raises ValueError if a label is beyond `ids`.
    """
    try:
        pixels = read_image(image.file)
    except ImageError as error:
        return str(error)
    height, width = image.size
    stated = (height or pixels.shape[0], width or pixels.shape[1])
    return other_size(image.file, pixels, stated) or [
        {"image_id": image.key, **row} for row in _found(candidate, pixels, ids)
    ]


def names(candidate: Candidate, labels: Names | None) -> Names:
    """The labels that are given, else the candidate's, else none."""
    return labels if labels is not None else candidate.labels if isinstance(candidate, Labeled) else ()


def without(truth: Labels, images: Mapping[int, str]) -> Labels:
    """The labels without some images, by number -> why. Raises ValueError if no object is left."""
    if not images:
        return truth
    kept = truth.select(~np.isin(np.arange(len(truth)), list(images)))
    if not len(kept.boxes):
        raise ValueError(f"images: {len(images)} left out, none with an object is left; {next(iter(images.values()))}")
    return kept


def _found(candidate: Candidate, pixels: Image, ids: Sequence[int | None]) -> Iterator[Row]:
    size = (pixels.shape[0], pixels.shape[1])
    found = candidate.finish(candidate.infer(candidate.prepare([pixels])), torch.tensor([size], dtype=torch.float32))
    for label, row in _rows(found, size):
        if not 0 <= label < len(ids):
            raise ValueError(f"labels: {candidate.name} says label {label}, the file has {len(ids)} categories")
        if ids[label] is not None:
            yield {"category_id": ids[label], **row}


def _rows(found: Detections, size: tuple[int, int]) -> Iterator[tuple[int, Row]]:
    """Label, and bbox, score and segmentation, of every slot of the first image that is not empty."""
    columns = (column[0].tolist() for column in (found.boxes, found.scores, found.labels))
    for (x1, y1, x2, y2), points, label, mask in zip(*columns, segmentations(found, 0, size), strict=True):
        row = {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": points}
        if points > 0:
            yield label, row if mask is None else row | {"segmentation": mask}


def category_ids(labels: Names, categories: Mapping[int, str]) -> list[int | None]:
    """The category of each label, by name; None for a label that `categories` (id -> name) do not have.

    Without names, labels follow the categories by rising id. Raises ValueError if no name matches.
    """
    if not labels:
        return [*sorted(categories)]
    known = {name: key for key, name in categories.items()}
    ids = [known.get(label or "", known.get(OTHERWISE.get(label or "", ""))) for label in labels]
    if all(each is None for each in ids):
        raise ValueError(f"labels: none of {', '.join(map(str, labels[:3]))}, ... is a category of the labels' file")
    return ids


# Darknet's list and Pascal VOC call six of COCO's categories by other names; who has a label's own name is taken first.
OTHERWISE = {
    "motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant",
    "diningtable": "dining table", "tvmonitor": "tv",
}  # fmt: skip
OTHERWISE |= {name: other for other, name in OTHERWISE.items()}
