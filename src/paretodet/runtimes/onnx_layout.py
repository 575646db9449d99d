"""What an ONNX detector reads and returns, recognized by type and shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from paretodet.errors import ErrorId, InputError
from paretodet.network import Triple
from paretodet.ops.nms import nms
from paretodet.types import Images

TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}
SIDE = 640  # where the file leaves the size open
CAPACITY = 300  # where the file leaves the number of detections open


class OnnxLayoutError(InputError):
    """The inputs or outputs of an ONNX file have none of the layouts below; the message shows their shapes."""

    def __init__(self, message: str, id: ErrorId = "onnx-layout") -> None:
        super().__init__(message, id)


@dataclass(frozen=True, kw_only=True)
class Input:
    """One image input, [B, 3, H, W] or [B, H, W, 3], uint8 as it is or floats in 0..1."""

    name: str
    dtype: Any
    channels_last: bool
    height: int
    width: int
    batch: int | None  # None: any
    sizes: str | None  # a second input, the canvas's (width, height): exports of DETR-like detectors have it
    inside: str | None = None  # one for the true (height, width) of each image in the canvas: our exports have it

    def feed(self, batch: Images) -> dict[str, np.ndarray]:
        pixels = batch.pixels.permute(0, 2, 3, 1) if self.channels_last else batch.pixels
        values = pixels if self.dtype is np.uint8 else pixels.float() / 255
        feed = {self.name: np.ascontiguousarray(values.numpy(), self.dtype)}
        if self.sizes:
            feed[self.sizes] = np.tile(np.array([[self.width, self.height]], np.int64), (len(pixels), 1))
        if self.inside:
            feed[self.inside] = batch.sizes.float().numpy()
        return feed


class Output(Protocol):
    """Reads the outputs of one call. `letterboxed`: such files expect the image letterboxed."""

    letterboxed: bool

    def __call__(self, outputs: Sequence[Tensor]) -> Triple: ...


@dataclass(frozen=True, kw_only=True)
class Separate:
    """Boxes [B, N, 4], scores [B, N] and labels [B, N] as three outputs, in pixels of the input; B may be left out."""

    boxes: int
    scores: int
    labels: int
    capacity: int
    letterboxed = False

    def __call__(self, outputs: Sequence[Tensor]) -> Triple:
        boxes, scores, labels = outputs[self.boxes], outputs[self.scores], outputs[self.labels]
        if scores.ndim == 1:
            boxes, scores, labels = boxes[None], scores[None], labels[None]
        return _pad(boxes, self.capacity), _pad(scores, self.capacity), _pad(labels, self.capacity)


@dataclass(frozen=True, kw_only=True)
class DetectionRows:
    """One output [B, N, 6]: x1, y1, x2, y2, score, label."""

    letterboxed = True

    def __repr__(self) -> str:
        return "Rows()"  # its first name, which is part of the `artefact` of rows

    def __call__(self, outputs: Sequence[Tensor]) -> Triple:
        rows = outputs[0]
        return rows[..., :4], rows[..., 4], rows[..., 5]


@dataclass(frozen=True, kw_only=True)
class Raw:
    """One output [B, 4 + K, N]: center, size and K scores of every anchor; suppression is ours."""

    threshold: float = 0.001
    overlap: float = 0.7
    keep: int = CAPACITY
    letterboxed = True

    def __call__(self, outputs: Sequence[Tensor]) -> Triple:
        anchors = outputs[0].float().transpose(1, 2)
        center, half, scores = anchors[..., :2], anchors[..., 2:4] / 2, anchors[..., 4:].contiguous()
        boxes = torch.cat((center - half, center + half), dim=-1)
        index = nms(boxes, scores, overlap=self.overlap, keep=self.keep, threshold=self.threshold)
        empty, index = index < 0, index.clamp(min=0)
        classes = scores.shape[2]
        boxes = boxes.gather(1, (index // classes)[..., None].expand(-1, -1, 4))
        scores = scores.flatten(1).gather(1, index).masked_fill(empty, 0)
        return boxes.masked_fill(empty[..., None], 0), scores, (index % classes).masked_fill(empty, 0)


def recognize_input(inputs: Sequence[Any], size: tuple[int, int] | None = None) -> Input:
    """From a session's inputs; `size` (height, width) where the file leaves it open. Raises OnnxLayoutError."""
    images = [item for item in inputs if len(item.shape) == 4 and item.type in TYPES]
    others = [item for item in inputs if item not in images]
    pairs = {item.type: item.name for item in others if len(item.shape) == 2 and item.shape[1] == 2}
    sizes, inside = pairs.get("tensor(int64)"), pairs.get("tensor(float)")
    recognized = [name for name in (sizes, inside) if name]
    if len(images) != 1 or len(recognized) != len(others) or 3 not in (images[0].shape[1], images[0].shape[3]):
        raise OnnxLayoutError(f"inputs: got {_describe(inputs)}; known is one image, [B, 3, H, W] or [B, H, W, 3]")
    (image,) = images
    channels_last = image.shape[1] != 3
    height, width = _sides(image.shape[1:3] if channels_last else image.shape[2:4], size)
    batch = image.shape[0] if isinstance(image.shape[0], int) else None
    return Input(
        name=image.name,
        dtype=TYPES[image.type],
        channels_last=channels_last,
        height=height,
        width=width,
        batch=batch,
        sizes=sizes,
        inside=inside,
    )


def recognize_output(declared: Sequence[Any], outputs: Sequence[Tensor]) -> Output:
    """From what a session declares and what one call returned. Raises OnnxLayoutError."""
    shapes = [tuple(output.shape) for output in outputs]
    if len(shapes) == 1 and len(shapes[0]) == 3:
        if shapes[0][2] == 6:
            return DetectionRows()
        if 4 < shapes[0][1] < shapes[0][2]:
            return Raw()
    boxes = [i for i, shape in enumerate(shapes) if len(shape) in (2, 3) and shape[-1] == 4]
    flat = [i for i, shape in enumerate(shapes) if len(boxes) == 1 and shape == shapes[boxes[0]][:-1]]
    labels = [i for i in flat if not outputs[i].is_floating_point() or _names_labels(declared[i].name)]
    scores = [i for i in flat if i not in labels]
    if not len(boxes) == len(labels) == len(scores) == 1:
        found = ", ".join(f"{item.name} {list(shape)}" for item, shape in zip(declared, shapes, strict=True))
        known = "boxes [B, N, 4] with scores and labels [B, N]; one [B, N, 6]; one [B, 4 + K, N]"
        raise OnnxLayoutError(f"outputs: got {found}; known are {known}")
    count = declared[boxes[0]].shape[-2]
    capacity = count if isinstance(count, int) else CAPACITY
    return Separate(boxes=boxes[0], scores=scores[0], labels=labels[0], capacity=capacity)


def _sides(declared: Sequence[Any], wanted: tuple[int, int] | None) -> tuple[int, int]:
    fixed = tuple(side if isinstance(side, int) else None for side in declared)
    chosen = tuple(side or given for side, given in zip(fixed, wanted or (SIDE, SIDE), strict=True))
    if wanted and chosen != wanted:
        raise OnnxLayoutError(
            f"size: got {wanted[0]}x{wanted[1]}, this file reads {chosen[0]}x{chosen[1]} only", "size-unsupported"
        )
    return chosen[0], chosen[1]


def _names_labels(name: str) -> bool:
    return "label" in name.lower() or "class" in name.lower()


def _pad(values: Tensor, capacity: int) -> Tensor:
    """[B, N, ...] -> [B, capacity, ...]: cut, or filled with zeros, which are empty slots."""
    values = values[:, :capacity]
    missing = capacity - values.shape[1]
    return torch.cat((values, values.new_zeros(len(values), missing, *values.shape[2:])), dim=1) if missing else values


def _describe(items: Sequence[Any]) -> str:
    return ", ".join(f"{item.name} {item.type} {list(item.shape)}" for item in items)
