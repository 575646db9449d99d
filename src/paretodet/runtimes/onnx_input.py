"""What an ONNX detector reads, recognized by type and shape."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretodet.errors import ErrorId, InputError
from paretodet.layouts.layout import UNIT_RANGE, Normalization
from paretodet.types import Images

TYPES = {"tensor(uint8)": np.uint8, "tensor(float)": np.float32, "tensor(float16)": np.float16}
SIDE = 640  # where the file leaves the size open
FACTOR = "scale_factor"  # PaddleDetection's: by how much the image was resized, which `fit` undoes


class OnnxLayoutError(InputError):
    """The inputs of an ONNX file are none of an image detector; the message shows their shapes."""

    def __init__(self, message: str, id: ErrorId = "onnx-layout") -> None:
        super().__init__(message, id)


@dataclass(frozen=True, kw_only=True)
class Input:
    """One image input, [B, 3, H, W] or [B, H, W, 3], uint8 as it is or floats as `pixels` says."""

    name: str
    dtype: Any
    channels_last: bool
    height: int
    width: int
    batch: int | None  # None: any
    sizes: str | None  # a second input, the canvas's (width, height): exports of DETR-like detectors have it
    inside: str | None = None  # one for the true (height, width) of each image in the canvas: our exports have it
    factor: str | None = None  # one for the factors of resizing, which are 1
    pixels: Normalization = UNIT_RANGE

    @property
    def others(self) -> tuple[str, ...]:
        """The names of the inputs beside the image."""
        return tuple(name for name in (self.sizes, self.inside, self.factor) if name)

    def feed(self, batch: Images) -> dict[str, np.ndarray]:
        values = self._scaled(batch.pixels)
        values = values.permute(0, 2, 3, 1) if self.channels_last else values
        feed = {self.name: np.ascontiguousarray(values.numpy(), self.dtype)}
        if self.sizes:
            feed[self.sizes] = np.tile(np.array([[self.width, self.height]], np.int64), (len(values), 1))
        if self.inside:
            feed[self.inside] = batch.sizes.float().numpy()
        if self.factor:
            feed[self.factor] = np.ones((len(values), 2), np.float32)
        return feed

    def _scaled(self, pixels: Tensor) -> Tensor:
        pixels = pixels.flip(1) if self.pixels.channels == "bgr" else pixels
        if self.dtype is np.uint8:
            return pixels
        mean, std = self.pixels.mean, self.pixels.std
        if any(mean) or len(set(std)) > 1:
            shift, scale = (torch.tensor(values).view(1, 3, 1, 1) for values in (mean, std))
            return (pixels.float() - shift) / scale
        return pixels.float() / std[0] if std[0] != 1 else pixels.float()


def recognize_input(
    inputs: Sequence[Any], size: tuple[int, int] | None = None, *, usual: tuple[int, int] | None = None
) -> Input:
    """From a session's inputs; `size` (height, width) where the file leaves it open, else `usual`.

    Raises OnnxLayoutError.
    """
    images = [item for item in inputs if len(item.shape) == 4 and item.type in TYPES]
    others = [item for item in inputs if item not in images]
    factor = next((item.name for item in others if item.name == FACTOR), None)
    pairs = {item.type: item.name for item in others if _is_pair(item) and item.name != factor}
    sizes, inside = pairs.get("tensor(int64)"), pairs.get("tensor(float)")
    recognized = [name for name in (sizes, inside, factor) if name]
    if len(images) != 1 or len(recognized) != len(others) or 3 not in (images[0].shape[1], images[0].shape[3]):
        raise OnnxLayoutError(f"inputs: got {_describe(inputs)}; known is one image, [B, 3, H, W] or [B, H, W, 3]")
    (image,) = images
    channels_last = image.shape[1] != 3
    height, width = _sides(image.shape[1:3] if channels_last else image.shape[2:4], size, usual or (SIDE, SIDE))
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
        factor=factor,
    )


def _is_pair(item: Any) -> bool:
    return len(item.shape) == 2 and item.shape[1] == 2


def _sides(declared: Sequence[Any], wanted: tuple[int, int] | None, usual: tuple[int, int]) -> tuple[int, int]:
    fixed = tuple(side if isinstance(side, int) else None for side in declared)
    chosen = tuple(side or given for side, given in zip(fixed, wanted or usual, strict=True))
    if wanted and chosen != wanted:
        raise OnnxLayoutError(
            f"size: got {wanted[0]}x{wanted[1]}, this file reads {chosen[0]}x{chosen[1]} only", "size-unsupported"
        )
    return chosen[0], chosen[1]


def _describe(items: Sequence[Any]) -> str:
    return ", ".join(f"{item.name} {item.type} {list(item.shape)}" for item in items)
