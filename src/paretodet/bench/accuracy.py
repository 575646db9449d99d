"""The accuracy that belongs to an artefact: a candidate over labels in COCO's form, scored by COCO's definition."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from paretodet.bench.candidate import Candidate, Image, Labeled
from paretodet.evaluation.coco import Scores, score
from paretodet.evaluation.masks import segmentations
from paretodet.images import ImageError, other_size, read_image
from paretodet.types import Detections

Instances = dict[str, Any]
Row = dict[str, Any]
Names = Sequence[str | None]


class Accuracy(NamedTuple):
    """COCO's scores, in percent; `masks` where the candidate makes masks and the labels hold some."""

    boxes: Scores
    masks: Scores | None
    images: int  # scored
    skipped: tuple[str, ...] = ()


class CocoResults(NamedTuple):
    """COCO results, one object a detection: image_id, category_id, bbox (x, y, w, h in pixels), score and, where the
    candidate makes masks, segmentation; and the labels they are of.
    """

    rows: list[Row]
    truth: Instances  # without the images that were left out, and their objects
    skipped: tuple[str, ...]  # why, one sentence an image


def accuracy(candidate: Candidate, truth: Instances, folder: Path, *, labels: Names | None = None) -> Accuracy:
    """The scores of `candidate` on the images of `truth`, read from `folder`. Raises ValueError as `results` does."""
    return tally(results(candidate, truth, folder, labels=labels))


def tally(found: CocoResults) -> Accuracy:
    """The scores of what was found."""
    masks = [row for row in found.rows if "segmentation" in row]
    outlined = any(each.get("segmentation") for each in found.truth["annotations"])
    return Accuracy(
        boxes=score(found.truth, found.rows),
        masks=score(found.truth, masks, kind="segm") if masks and outlined else None,
        images=len(found.truth["images"]),
        skipped=found.skipped,
    )


def results(
    candidate: Candidate,
    truth: Instances,
    folder: Path,
    *,
    labels: Names | None = None,
    on_image: Callable[[int], None] = lambda done: None,
) -> CocoResults:
    """What the candidate finds on every image of `truth`. An image that cannot be read, or whose pixels have another
    size than its labels say, is left out and told: boxes of the one mean nothing in the other.

    `labels` are the candidate's own unless given; `on_image` hears how many images are done. Raises ValueError where no
    image is left, or the candidate's labels do not fit the categories.
    """
    ids = category_ids(names(candidate, labels), truth)
    return gathered(truth, lambda image: look(candidate, image, folder, ids), on_image=on_image)


Look = Callable[[Row], "list[Row] | str"]


def gathered(truth: Instances, look: Look, *, on_image: Callable[[int], None] = lambda done: None) -> CocoResults:
    """What `look` sees in each image of `truth`: COCO results, or why the image is left out.

    Raises ValueError where no image with an object is left.
    """
    rows: list[Row] = []
    skipped: dict[int, str] = {}
    for done, image in enumerate(truth["images"]):
        on_image(done)
        seen = look(image)
        if isinstance(seen, str):
            skipped[image["id"]] = seen
        else:
            rows += seen
    return CocoResults(rows, without(truth, skipped), tuple(skipped.values()))


def look(candidate: Candidate, image: Row, folder: Path, ids: Sequence[int | None]) -> list[Row] | str:
    """COCO results of one image of the labels, or the sentence why it cannot be read or that its pixels have another
    size than these say; `ids` as `category_ids` gives them. Raises ValueError where a label is beyond `ids`.
    """
    path = folder / image["file_name"]
    try:
        pixels = read_image(path)
    except ImageError as error:
        return str(error)
    said: Any = (image.get("height", pixels.shape[0]), image.get("width", pixels.shape[1]))
    return other_size(path, pixels, said) or [
        {"image_id": image["id"], **row} for row in _found(candidate, pixels, ids)
    ]


def names(candidate: Candidate, labels: Names | None) -> Names:
    """Of its labels: those given, else its own, else none."""
    return labels if labels is not None else candidate.labels if isinstance(candidate, Labeled) else ()


def without(truth: Instances, images: dict[int, str]) -> Instances:
    """The labels without some images, by id -> why. Raises ValueError where no object is left."""
    if not images:
        return truth
    kept = {
        "images": [each for each in truth["images"] if each["id"] not in images],
        "annotations": [each for each in truth["annotations"] if each["image_id"] not in images],
    }
    if not kept["annotations"]:
        raise ValueError(f"images: {len(images)} left out, none with an object is left; {next(iter(images.values()))}")
    return truth | kept


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


def category_ids(labels: Names, truth: Instances) -> list[int | None]:
    """The category of each label, by name; None for a label that `truth` does not have.

    Without names, labels follow the categories by rising id. Raises ValueError where no name fits.
    """
    if not labels:
        return sorted(category["id"] for category in truth["categories"])
    known = {category["name"]: category["id"] for category in truth["categories"]}
    ids = [known.get(label or "", known.get(OTHERWISE.get(label or ""))) for label in labels]
    if all(each is None for each in ids):
        raise ValueError(f"labels: none of {', '.join(map(str, labels[:3]))}, ... is a category of the labels' file")
    return ids


# Darknet's list and Pascal VOC call six of COCO's categories by other names; who has a label's own name is taken first.
OTHERWISE = {
    "motorbike": "motorcycle", "aeroplane": "airplane", "sofa": "couch", "pottedplant": "potted plant",
    "diningtable": "dining table", "tvmonitor": "tv",
}  # fmt: skip
OTHERWISE |= {name: other for other, name in OTHERWISE.items()}
