"""The accuracy of a candidate on labels, by COCO's definition."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from paretodet.bench.candidate import Candidate, Image, Labeled, Masked
from paretodet.bench.contract import OutputCheck
from paretodet.errors import InputError, words
from paretodet.evaluation.coco import Scores, score
from paretodet.evaluation.masks import Pasting, segmentations
from paretodet.images import ImageError, other_size, read_image
from paretodet.labels.coco_names import id_of
from paretodet.labels.model import ImageEntry, Labels
from paretodet.types import Detections

Row = dict[str, Any]
LabelNames = Sequence[str | None]


class Accuracy(NamedTuple):
    """COCO's scores, in percent; `masks` if the candidate predicts masks and the labels contain some."""

    boxes: Scores
    masks: Scores | None
    images: int  # number of scored images
    skipped: tuple[str, ...] = ()


class CocoResults(NamedTuple):
    """COCO results, one object per detection: image_id, category_id, bbox (x, y, w, h in pixels), score and, if the
    candidate predicts masks, segmentation; and the labels of the same images.
    """

    rows: list[Row]
    truth: Labels  # without the images that were left out and their objects
    skipped: tuple[str, ...]  # one sentence per image that was left out


def accuracy(candidate: Candidate, truth: Labels, *, labels: LabelNames | None = None) -> Accuracy:
    """The scores of `candidate` on the images of `truth`. Raises ValueError as `results` does."""
    return score_results(results(candidate, truth, labels=labels))


def score_results(results: CocoResults) -> Accuracy:
    """The scores of these results."""
    masks = [row for row in results.rows if "segmentation" in row]
    has_masks = results.truth.outlines is not None
    return Accuracy(
        boxes=score(results.truth, results.rows),
        masks=score(results.truth, masks, kind="segm") if masks and has_masks else None,
        images=len(results.truth),
        skipped=results.skipped,
    )


def results(
    candidate: Candidate,
    truth: Labels,
    *,
    labels: LabelNames | None = None,
    on_image: Callable[[int], None] = lambda done: None,
    rows: list[Row] | None = None,
) -> CocoResults:
    """Detects in every image of `truth`. An image that cannot be read, or whose size differs from the size in the
    labels, is left out and listed in `skipped`.

    `labels` replaces the candidate's label names; `on_image` receives the number of finished images. `rows` is
    filled meanwhile, for a caller that keeps them after an interruption. Raises ValueError if no image is left, or if
    no label is a category of `truth`.
    """
    ids = category_ids(label_names(candidate, labels), truth.categories)
    return collect_results(truth, lambda image: detect_image(candidate, image, ids), on_image=on_image, rows=rows)


DetectImage = Callable[[ImageEntry], "list[Row] | str"]


def collect_results(
    truth: Labels,
    detect: DetectImage,
    *,
    on_image: Callable[[int], None] = lambda done: None,
    rows: list[Row] | None = None,
) -> CocoResults:
    """Calls `detect` for each image of `truth`; it returns COCO results, or the reason why the image is left out.

    Raises ValueError if no image with an object is left.
    """
    rows = [] if rows is None else rows
    skipped: dict[int, str] = {}
    for index in range(len(truth)):
        on_image(index)
        outcome = detect(truth.image(index))
        if isinstance(outcome, str):
            skipped[index] = outcome
        else:
            rows += outcome
    return CocoResults(rows, without_images(truth, skipped), tuple(skipped.values()))


def detect_image(candidate: Candidate, image: ImageEntry, ids: Sequence[int | None]) -> list[Row] | str:
    """COCO results of one image, or a sentence if it cannot be read or its size differs from the size in the labels.

    `ids` is the result of `category_ids`. Raises ValueError if the candidate returns a label outside `ids`.
    """
    try:
        pixels = read_image(image.file)
    except ImageError as error:
        return str(error)
    height, width = image.size
    labeled = (height or pixels.shape[0], width or pixels.shape[1])
    if problem := other_size(image.file, pixels, labeled):
        return str(ImageError(problem, "image-size"))
    return [{"image_id": image.key, **row} for row in _detect(candidate, pixels, ids)]


def label_names(candidate: Candidate, labels: LabelNames | None) -> LabelNames:
    """`labels` if given, otherwise the candidate's label names; empty if it has none."""
    return labels if labels is not None else candidate.labels if isinstance(candidate, Labeled) else ()


def without_images(truth: Labels, images: Mapping[int, str]) -> Labels:
    """The labels without these images (number -> reason). Raises ValueError if no object is left."""
    if not images:
        return truth
    kept = truth.select(~np.isin(np.arange(len(truth)), list(images)))
    if not len(kept.boxes):
        first = words(next(iter(images.values())))
        message = f"images: {len(images)} were left out and no other image has an object; {first}"
        raise InputError(message, "images-none")
    return kept


def _detect(candidate: Candidate, pixels: Image, ids: Sequence[int | None]) -> Iterator[Row]:
    size = (pixels.shape[0], pixels.shape[1])
    for label, row in _rows(detections_of(candidate, pixels), size, pasting_of(candidate)):
        if not 0 <= label < len(ids):
            raise InputError(
                f"labels: {candidate.name} returned label {label}, but there are {len(ids)} categories: its numbers "
                "may have gaps, as COCO's ids have, so that --classes FILE must name them all; or they count from 1, "
                "which first_label in a layout file states for --layout",
                "label-unknown",
            )
        if ids[label] is not None:
            yield {"category_id": ids[label], **row}


def unknown_classes(candidate: Candidate, truth: Labels, labels: LabelNames | None = None) -> tuple[str, ...]:
    """The classes of objects of `truth` that the candidate does not have, so that it detects none of them."""
    known = set(category_ids(label_names(candidate, labels), truth.categories))
    present = np.unique(truth.classes[~truth.crowd]).tolist()
    return tuple(truth.labels[label] for label in present if truth.category_ids[label] not in known)


def detections_of(candidate: Candidate, pixels: Image) -> Detections:
    """The detections in one image. Raises ContractError for anything else that a candidate may return."""
    size = torch.tensor([pixels.shape[:2]], dtype=torch.float32)
    detections = candidate.finish(candidate.infer(candidate.prepare([pixels])), size)
    OutputCheck(1).check_form(detections)
    return detections


def pasting_of(candidate: Candidate) -> Pasting:
    """How a candidate's masks are drawn into an image."""
    return candidate.pasting if isinstance(candidate, Masked) else "detectron"


def _rows(detections: Detections, size: tuple[int, int], pasting: Pasting) -> Iterator[tuple[int, Row]]:
    """Label, and bbox, score and segmentation, of every slot of the first image that is not empty."""
    columns = (column[0].tolist() for column in (detections.boxes, detections.scores, detections.labels))
    for (x1, y1, x2, y2), confidence, label, mask in zip(
        *columns, segmentations(detections, 0, size, pasting), strict=True
    ):
        row = {"bbox": [x1, y1, x2 - x1, y2 - y1], "score": confidence}
        if confidence > 0:
            yield label, row if mask is None else row | {"segmentation": mask}


def category_ids(labels: LabelNames, categories: Mapping[int, str]) -> list[int | None]:
    """The category id of each label name; None for a label that is not one of the `categories` (id -> name).

    If several categories have one name, the labels of this name are these in their order. Without names, label n is the
    nth category by id. Raises ValueError if no name is a category.
    """
    if not labels:
        return [*sorted(categories)]
    by_name: dict[str, list[int]] = {}
    for key, name in categories.items():
        by_name.setdefault(name, []).append(key)
    ids, times = list[int | None](), Counter[str | None]()
    for label in labels:
        same = id_of(label or "", by_name)
        ids.append(same[min(times[label], len(same) - 1)] if same else None)
        times[label] += 1
    if all(category_id is None for category_id in ids):
        first = ", ".join([label for label in labels if label][:3])
        message = f"labels: none of {first}, ... is a category of the labels; --classes FILE names its classes"
        raise InputError(message, "label-unknown")
    return ids
