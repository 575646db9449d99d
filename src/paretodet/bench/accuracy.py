"""The accuracy that belongs to an artefact: a candidate over a COCO file, scored by COCO's definition."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from paretodet.bench.candidate import Candidate, Labelled
from paretodet.evaluation.coco import Scores, score
from paretodet.evaluation.masks import segmentations
from paretodet.images import read_image
from paretodet.types import Detections

Instances = dict[str, Any]


class Accuracy(NamedTuple):
    """COCO's scores, in percent; `masks` where the candidate makes masks and the labels hold some."""

    boxes: Scores
    masks: Scores | None


def accuracy(candidate: Candidate, truth: Instances, folder: Path) -> Accuracy:
    """The scores of `candidate` on every image of `truth`, read from `folder`.

    Raises ValueError where an image cannot be read, or the candidate's labels do not fit the categories.
    """
    found = list(results(candidate, truth, folder))
    masks = [row for row in found if "segmentation" in row]
    outlined = any(each.get("segmentation") for each in truth["annotations"])
    return Accuracy(score(truth, found), score(truth, masks, kind="segm") if masks and outlined else None)


def results(
    candidate: Candidate,
    truth: Instances,
    folder: Path,
    *,
    labels: Sequence[str | None] | None = None,
    on_image: Callable[[int], None] = lambda done: None,
) -> Iterator[dict[str, Any]]:
    """COCO results, one object a detection: image_id, category_id, bbox (x, y, w, h in pixels), score and, where the
    candidate makes masks, segmentation. `labels` are the candidate's own unless given; `on_image` hears how many images
    are done.
    """
    known = labels if labels is not None else candidate.labels if isinstance(candidate, Labelled) else ()
    ids = category_ids(known, truth)
    for done, image in enumerate(truth["images"]):
        on_image(done)
        pixels = read_image(folder / image["file_name"])
        size = torch.tensor([pixels.shape[:2]], dtype=torch.float32)
        found = candidate.finish(candidate.infer(candidate.prepare([pixels])), size)
        for label, row in _rows(found, (pixels.shape[0], pixels.shape[1])):
            if not 0 <= label < len(ids):
                raise ValueError(f"labels: {candidate.name} says label {label}, the file has {len(ids)} categories")
            if ids[label] is not None:
                yield {"image_id": image["id"], "category_id": ids[label], **row}


def _rows(found: Detections, size: tuple[int, int]) -> Iterator[tuple[int, dict[str, Any]]]:
    """Label, and bbox, score and segmentation, of every slot of the first image that is not empty."""
    columns = (column[0].tolist() for column in (found.boxes, found.scores, found.labels))
    for (x1, y1, x2, y2), points, label, mask in zip(*columns, segmentations(found, 0, size), strict=True):
        row = {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": points}
        if points > 0:
            yield label, row if mask is None else row | {"segmentation": mask}


def category_ids(labels: Sequence[str | None], truth: Instances) -> list[int | None]:
    """The category of each label, by name; None for a label that `truth` does not have.

    Without names, labels follow the categories by rising id. Raises ValueError where no name fits.
    """
    if not labels:
        return sorted(category["id"] for category in truth["categories"])
    known = {category["name"]: category["id"] for category in truth["categories"]}
    ids = [known.get(_coco_name(label)) for label in labels]
    if all(each is None for each in ids):
        raise ValueError(f"labels: none of {', '.join(map(str, labels[:3]))}, ... is a category of the labels' file")
    return ids


# Darknet's list calls six of COCO's categories by other names.
DARKNET = {
    "motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant",
    "diningtable": "dining table", "tvmonitor": "tv",
}  # fmt: skip


def _coco_name(label: str | None) -> str:
    return DARKNET.get(label or "", label or "")
