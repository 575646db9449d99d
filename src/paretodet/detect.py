"""A candidate on photographs: labelled boxes in their pixels."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from paretodet.bench.candidate import Candidate, Labelled
from paretodet.data.draw import DRAWN_FROM, Found, draw
from paretodet.data.images import Photographs
from paretodet.evaluation.masks import segmentations
from paretodet.images import ImageError
from paretodet.types import Detections


def detect(
    candidate: Candidate,
    images: Sequence[np.ndarray],
    *,
    labels: tuple[str | None, ...] | None = None,
) -> Iterator[tuple[Found, ...]]:
    """What is found in each image [H, W, 3] uint8, by falling score; empty slots are none.

    `labels` are the candidate's own unless given; one without a name is called by its number.
    """
    named = labels if labels is not None else candidate.labels if isinstance(candidate, Labelled) else ()
    for image in images:
        size = torch.tensor([image.shape[:2]], dtype=torch.float32)
        detections = candidate.finish(candidate.infer(candidate.prepare([image])), size)
        yield _found(detections, named, (image.shape[0], image.shape[1]))


def _found(detections: Detections, labels: Sequence[str | None], size: tuple[int, int]) -> tuple[Found, ...]:
    columns = (column[0].tolist() for column in (detections.boxes, detections.scores, detections.labels))
    rows = zip(*columns, segmentations(detections, 0, size), strict=True)
    return tuple(
        Found(label=_name(label, labels), score=number, box=(x1, y1, x2, y2), segmentation=mask)
        for (x1, y1, x2, y2), number, label, mask in rows
        if number > 0
    )


def _name(label: int, labels: Sequence[str | None]) -> str:
    return (labels[label] if 0 <= label < len(labels) else None) or str(label)


def document(pictures: Photographs, found: Sequence[Sequence[Found]]) -> list[dict[str, Any]]:
    """JSON-ready: one object an image, boxes as x1, y1, x2, y2 in its pixels, to a hundredth; masks as COCO's RLE."""
    return [
        {
            "image": name,
            "width": image.shape[1],
            "height": image.shape[0],
            "detections": [_object(item) for item in items],
        }
        for name, image, items in zip(pictures.names, pictures.images, found, strict=True)
    ]


def _object(item: Found) -> dict[str, Any]:
    data = {"label": item.label, "score": item.score, "box": [round(side, 2) for side in item.box]}
    return data if item.segmentation is None else data | {"segmentation": item.segmentation}


def draw_all(
    pictures: Photographs, found: Sequence[Sequence[Found]], folder: Path, *, score: float | None = None
) -> tuple[Path, ...]:
    """Writes each picture with its boxes into `folder`, under its own name, and returns the paths.

    Without a `score` asked for, boxes are drawn from 0.3 on. Raises ImageError rather than write over a photograph or
    over another of the same name, OSError where the folder cannot be written.
    """
    paths = tuple(folder / Path(name).name for name in pictures.names)
    taken = {path.resolve() for path in pictures.paths}
    for path in paths:
        if path.resolve() in taken:
            raise ImageError(f"{path}: drawing there would replace a picture; give another --out")
        taken.add(path.resolve())
    folder.mkdir(parents=True, exist_ok=True)
    least = DRAWN_FROM if score is None else score
    for path, image, items in zip(paths, pictures.images, found, strict=True):
        draw(image, [item for item in items if item.score >= least]).save(path)
    return paths
