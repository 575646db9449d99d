"""Files of another task, which are named as such: classification, segmentation, depth, text, points and heat maps.

What is said is what the outputs show: the shape of a map, and the range and the sums of its numbers. Rows of another
task are recognized in `other_rows`.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from paretodet.errors import InputError
from paretodet.layouts.layout import Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

MASKS = 32  # channels of the prototypes of YOLO's masks
BOX, LEAST = 4, 7  # the numbers of a finished detection are so many, or between
MOST_CLASSES = 25_000  # of a classification, and numbers of an embedding
SPREAD = 20  # columns of a distribution over characters
CLOSE = 1e-3  # to 1, of a sum

NO_WAY = "name a detector of upright boxes; docs/how-to/own-model.md shows what is read"

Shape = tuple[int, ...]


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    check_task(evidence)
    return ()


def check_task(evidence: Evidence) -> None:
    """Raises InputError if the outputs are of another task."""
    if task := _task(evidence):
        raise other_task(evidence, task)


def other_task(evidence: Evidence, what: str, way: str = NO_WAY) -> InputError:
    """The error for a file that is no detector of upright boxes."""
    message = f"{evidence.path}: is of another task, {what} (outputs: {evidence.described}); {way}"
    return InputError(message, "onnx-task")


def boxes_alone(evidence: Evidence) -> str:
    """The way out for a file that has boxes beside what its task is."""
    way = f"`paretodet inspect {evidence.path}` writes a layout for --layout; what is no box or score is `other` in it"
    return f"to measure its boxes alone: {way} (docs/how-to/own-model.md)"


def _task(evidence: Evidence) -> str | None:
    shapes = list(evidence.shapes.values())
    if any(_prototypes(evidence, shape) for shape in shapes) and any(len(shape) == 3 for shape in shapes):
        return "instance segmentation: one output has prototypes of masks"
    if counts := _row_lengths(shapes):
        return (
            f"classification, embedding or landmarks: one row of {' and '.join(map(str, counts))} numbers for an image"
        )
    if _queries(shapes):
        return "segmentation: a mask and classes for each of its queries, and no box"
    if points := _points(evidence, shapes):
        return f"pose estimation: {points}"
    if len(shapes) > 1 and all(_whole(evidence, shape) for shape in shapes):
        return f"segmentation or another number for every pixel: {len(shapes)} maps as large as the image"
    if len(shapes) != 1:
        return None
    ((name, shape),) = evidence.shapes.items()
    return _of_map(evidence, evidence.outputs[name], shape) or _of_text(evidence, evidence.outputs[name])


def _prototypes(evidence: Evidence, shape: Shape) -> bool:
    """Whether it is that of maps at a quarter of the image's sides; features of a detector have other sides."""
    if len(shape) != 4:
        return False
    sides = (-(-evidence.height // 4), -(-evidence.width // 4))
    return (shape[1], shape[2:]) == (MASKS, sides) or (shape[3], shape[1:3]) == (MASKS, sides)


def _row_lengths(shapes: Sequence[Shape]) -> tuple[int, ...]:
    """How many numbers the one row of every output has, [1, K] or [1, K, 1, 1]; empty if one may be a detection, or if
    they may be the boxes and the scores of many cells one behind the other.
    """
    rows = all(len(shape) in (2, 4) and shape[0] == 1 and shape[1] == max(shape) for shape in shapes)
    alone = rows and all(shape[1] > LEAST or shape[1] < BOX for shape in shapes)
    if alone and max(shape[1] for shape in shapes) > MOST_CLASSES:
        return ()
    lengths = tuple(shape[1] for shape in shapes if set(shape[2:]) <= {1}) if alone else ()
    return lengths if len(lengths) == len(shapes) and max(lengths) > LEAST else ()


def _queries(shapes: Sequence[Shape]) -> bool:
    """Masks [B, Q, H, W] with classes [B, Q, K], and no output of boxes."""
    masks = [shape for shape in shapes if len(shape) == 4 and min(shape[2:]) > 1]
    rows = [shape for shape in shapes if len(shape) == 3]
    boxes = any(shape[-1] in (4, 5, 6) for shape in shapes)
    return len(masks) == len(rows) == 1 and len(shapes) == 2 and masks[0][:2] == rows[0][:2] and not boxes


def _points(evidence: Evidence, shapes: Sequence[Shape]) -> str | None:
    """Points without a box: three numbers for each, or a distribution along each side of the image (SimCC)."""
    if len(shapes) == 1 and len(shapes[0]) in (3, 4) and shapes[0][-1] == 3 and set(shapes[0][:-2]) == {1}:
        return f"{shapes[0][-2]} rows of three numbers, too few for a box"
    if len(shapes) != 2 or any(len(shape) != 3 for shape in shapes) or shapes[0][:2] != shapes[1][:2]:
        return None
    lengths, sides = [shape[2] for shape in shapes], (evidence.width, evidence.height)
    bins = {length / side for length, side in zip(lengths, sides, strict=True)}
    if len(bins) > 1 or not max(bins).is_integer():
        return None
    return f"for {shapes[0][1]} points a distribution along the width and one along the height of the image"


def _whole(evidence: Evidence, shape: Shape) -> bool:
    """Whether it is that of a map with a place for every pixel."""
    return len(shape) == 4 and (evidence.height, evidence.width) in (shape[2:], shape[1:3])


def _of_map(evidence: Evidence, output: Tensor, shape: Shape) -> str | None:
    """What a map as large as the image, or a quarter of its sides, holds."""
    sides = (evidence.height, evidence.width)
    quarter = (-(-sides[0] // 4), -(-sides[1] // 4))
    if len(shape) == 3 and shape[0] == 1 and shape[1:] in (sides, quarter):
        return _of_one_channel(output)
    if len(shape) != 4:
        return None
    places = [shape[2:], shape[1:3]]
    channels = next((shape[1 if at == 0 else 3] for at, part in enumerate(places) if part in (sides, quarter)), None)
    if channels is None:
        return None
    if channels == 1:
        return _of_one_channel(output)
    if channels == 3 and sides in places:
        return "an image in place of boxes"
    if sides in places:
        return f"segmentation: a map of {channels} channels"
    return f"segmentation or heat maps of keypoints: {channels} channels at a quarter of the image's sides"


def _of_one_channel(output: Tensor) -> str:
    """A map of one number for every pixel, by the range of the numbers."""
    if not output.is_floating_point():
        return "segmentation: the number of a class for every pixel"
    low, high = (float(end) for end in output.float().aminmax())
    if low >= 0 and high <= 1:
        return "segmentation: a map of one channel in 0..1, as of text detection, of one class, or of depth as a share"
    return f"a map of one number for every pixel, {low:.3g} to {high:.3g}: depth, or a segmentation of one class"


def _of_text(evidence: Evidence, output: Tensor) -> str | None:
    """Rows that are distributions, and no box among their columns."""
    if output.ndim != 3 or output.shape[2] < SPREAD or not output.is_floating_point():
        return None
    rows = output.float().flatten(0, 1)
    if bool((rows < 0).any()) or not bool(((rows.sum(dim=1) - 1).abs() < CLOSE).all()) or len(rows) < 2:
        return None
    return f"text recognition: each of {len(rows)} rows is a distribution over {rows.shape[1]} classes, and none a box"


def finite(rows: Tensor) -> bool:
    """Whether all are numbers."""
    return bool(torch.isfinite(rows).all())


CONVENTION = Convention(name="other-tasks", readings=_readings)
