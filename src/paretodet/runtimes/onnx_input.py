"""What an ONNX detector reads, recognized by names, types and shapes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from paretodet.errors import ErrorId, InputError
from paretodet.layouts.layout import UNIT_RANGE, Normalization
from paretodet.types import Images

FLOATS: dict[str, Any] = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
TYPES: dict[str, Any] = {"tensor(uint8)": np.uint8, **FLOATS}
WHOLE: dict[str, Any] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
NUMBERS: dict[str, Any] = {**WHOLE, **FLOATS}
FLAGS: dict[str, Any] = {**WHOLE, **TYPES, "tensor(bool)": np.bool_}
SIDE = 640  # where the file leaves the size open
FACTOR = "scale_factor"  # PaddleDetection's: by how much the image was resized, which `fit` undoes
TARGET = "orig_target_sizes"  # of DETR-like detectors as deployed: the canvas's (width, height)
MASK = "pixel_mask"  # of transformers: 1 where the canvas holds the image
KNOWN = (
    f"known is one image, [B, 3, H, W], [B, H, W, 3] or either without B, and beside it {TARGET}, {MASK}, {FACTOR} and "
    "sizes [B, 2]"
)


class OnnxLayoutError(InputError):
    """The inputs of an ONNX file are none of an image detector; the message shows their shapes."""

    def __init__(self, message: str, id: ErrorId = "onnx-layout") -> None:
        super().__init__(message, id)


@dataclass(frozen=True, kw_only=True)
class OtherInput:
    """An input beside the image, and what it is fed.

    "target": the canvas's (width, height), for the one image of a call if `shape` is [2]; "inside": the true (height,
    width) of each image in the canvas, which our exports have; "factor": the factors of resizing, which are 1; "mask":
    1 everywhere, as the canvas is the image.
    """

    name: str
    role: Literal["target", "inside", "factor", "mask"]
    dtype: Any
    shape: tuple[int, ...] = (2,)  # for one image
    batched: bool = True

    def feed(self, sizes: Tensor, canvas: tuple[int, int]) -> np.ndarray:
        """The numbers for images with (height, width) `sizes` [B, 2] in the canvas (height, width)."""
        if self.role == "inside":
            values = sizes.float().numpy()
        elif self.role == "target":
            values = np.tile(np.array([canvas[::-1]]), (len(sizes), 1))
        else:
            values = np.ones((len(sizes), *self.shape))
        return np.ascontiguousarray(values if self.batched else values[0], self.dtype)


@dataclass(frozen=True, kw_only=True)
class Input:
    """One image input, [B, 3, H, W] or [B, H, W, 3], uint8 as it is or floats as `pixels` says."""

    name: str
    dtype: Any
    channels_last: bool
    height: int
    width: int
    batch: int | None  # None: any
    batched: bool = True  # False: one image without the dimension B
    beside: tuple[OtherInput, ...] = ()
    pixels: Normalization = UNIT_RANGE

    @property
    def others(self) -> tuple[str, ...]:
        """The names of the inputs beside the image."""
        return tuple(each.name for each in self.beside)

    @property
    def sized(self) -> bool:
        """Whether it reads how much of its canvas an image fills, and no factor by which it was resized."""
        roles = {each.role for each in self.beside}
        return "inside" in roles and "factor" not in roles

    def feed(self, batch: Images) -> dict[str, np.ndarray]:
        values = self._scaled(batch.pixels)
        values = values.permute(0, 2, 3, 1) if self.channels_last else values
        values = values if self.batched else values[0]
        feed = {self.name: np.ascontiguousarray(values.numpy(), self.dtype)}
        return feed | {each.name: each.feed(batch.sizes, (self.height, self.width)) for each in self.beside}

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
    image = _image(inputs)
    batched, channels_last = len(image.shape) == 4, image.shape[-3] != 3
    height, width = _sides(image.shape[-3:-1] if channels_last else image.shape[-2:], size, usual or (SIDE, SIDE))
    beside = tuple(_others(inputs, image, (height, width)))
    single = not batched or not all(each.batched for each in beside)
    batch = 1 if single else image.shape[0] if isinstance(image.shape[0], int) else None
    return Input(
        name=image.name,
        dtype=TYPES[image.type],
        channels_last=channels_last,
        height=height,
        width=width,
        batch=batch,
        batched=batched,
        beside=beside,
    )


def _image(inputs: Sequence[Any]) -> Any:
    """The only image; one without a batch if none has one."""
    typed = [item for item in inputs if item.type in TYPES and item.name != MASK]
    images = [item for item in typed if len(item.shape) == 4] or [item for item in typed if len(item.shape) == 3]
    if len(images) != 1:
        raise _unknown(inputs, f"{len(images) or 'none'} of them can be images")
    if 3 not in (images[0].shape[-3], images[0].shape[-1]):
        raise _unknown(inputs, f"{images[0].name} is not an image of 3 channels")
    return images[0]


def _others(inputs: Sequence[Any], image: Any, canvas: tuple[int, int]) -> list[OtherInput]:
    """What is read beside the image, each role once."""
    found: list[OtherInput] = []
    for item in (item for item in inputs if item is not image):
        other = _other(item, canvas)
        if other is None or other.role in {each.role for each in found}:
            raise _unknown(inputs, f"{_describe([item])} is not known")
        found.append(other)
    return found


def _other(item: Any, canvas: tuple[int, int]) -> OtherInput | None:
    """None for an input that is not known. Sizes in pairs are known by their type, others by their name too."""
    if item.name == FACTOR:
        return OtherInput(name=item.name, role="factor", dtype=FLOATS.get(item.type, np.float32))
    if item.name == MASK and len(item.shape) == 3 and item.type in FLAGS:
        sides = (side if isinstance(side, int) else whole for side, whole in zip(item.shape[1:], canvas, strict=True))
        return OtherInput(name=item.name, role="mask", dtype=FLAGS[item.type], shape=tuple(sides))
    ranks = (1, 2) if item.name == TARGET else (2,)
    if len(item.shape) not in ranks or item.shape[-1] != 2:
        return None
    if item.type == "tensor(int64)" or (item.name == TARGET and item.type in NUMBERS):
        return OtherInput(name=item.name, role="target", dtype=NUMBERS[item.type], batched=len(item.shape) == 2)
    return OtherInput(name=item.name, role="inside", dtype=FLOATS[item.type]) if item.type in FLOATS else None


def _sides(declared: Sequence[Any], wanted: tuple[int, int] | None, usual: tuple[int, int]) -> tuple[int, int]:
    fixed = tuple(side if isinstance(side, int) else None for side in declared)
    chosen = tuple(side or given for side, given in zip(fixed, wanted or usual, strict=True))
    if wanted and chosen != wanted:
        raise OnnxLayoutError(
            f"size: got {wanted[0]}x{wanted[1]}, this file reads {chosen[0]}x{chosen[1]} only", "size-unsupported"
        )
    return chosen[0], chosen[1]


def _unknown(inputs: Sequence[Any], why: str) -> OnnxLayoutError:
    return OnnxLayoutError(f"inputs: got {_describe(inputs)}; {why}; {KNOWN}")


def _describe(items: Sequence[Any]) -> str:
    return ", ".join(f"{item.name} {item.type} {list(item.shape)}" for item in items)
