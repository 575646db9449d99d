"""Caffe's `.caffemodel`: a protocol buffer `NetParameter` of layers with their blobs, read without Caffe.

A tensor is named after its layer and its place in it: `conv1_1.0` (weights), `conv1_1.1` (biases). The numbers of a
layer PriorBox, which are no blobs, are tensors too: `fc7_mbox_priorbox.min_size`. Field numbers: caffe.proto of Caffe
1.0 and of Liu et al.'s branch. Files with layers of 2013 (V0), which hold their blobs deeper, are not read.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from paretodet.weights.file_format import FileFormat
from paretodet.weights.safe import WeightsError
from paretodet.weights.wire_format import BYTES, FOUR_BYTES, SIZES, VARINT, Field, WireFile

MAX_LAYERS, MAX_BLOBS, MAX_AXES, MAX_NAME = 10_000, 64, 32, 200  # 32 axes: Caffe's own limit
MAX_SIDE = 2**31 - 1  # of a shape, as in Caffe
PIECE = 2**20  # numbers that are converted at once


class LayerFields(NamedTuple):
    """The numbers of the fields of a layer's message that are read."""

    name: int
    blobs: int
    prior_box: int | None


LAYERS = {100: LayerFields(name=1, blobs=7, prior_box=203), 2: LayerFields(name=4, blobs=6, prior_box=None)}  # V1 is 2
LEGACY_SIDES = (1, 2, 3, 4)  # num, channels, height, width
DATA, SHAPE, DOUBLE_DATA = 5, 7, 8
NUMBERS: dict[int, "np.dtype[Any]"] = {DATA: np.dtype("<f4"), DOUBLE_DATA: np.dtype("<f8")}
PRIOR_BOX = {
    1: "min_size", 2: "max_size", 3: "aspect_ratio", 4: "flip", 5: "clip", 6: "variance", 7: "img_size", 8: "img_h",
    9: "img_w", 10: "step", 11: "step_h", 12: "step_w", 13: "offset",
}  # fmt: skip


class Run(NamedTuple):
    """Numbers one after another in the file: packed, or each after a tag of one byte."""

    start: int
    values: int
    number: "np.dtype[Any]"
    tagged: bool

    @property
    def record(self) -> "np.dtype[Any]":
        fields: list[tuple[str, Any]] = [("tag", "u1"), ("value", self.number)]
        return np.dtype(fields if self.tagged else fields[1:])


def read(path: Path) -> dict[str, Tensor]:
    """The blobs of all layers as float32, and the numbers of the layers PriorBox.

    Raises WeightsError for a file that is truncated or no NetParameter, a blob whose shape does not match its values,
    two layers of one name, or no blob at all.
    """
    try:
        with path.open("rb") as file:
            return _net(WireFile(path, file))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})", "file-unreadable") from None


def _matches(path: Path) -> bool:
    return path.suffix == ".caffemodel"  # protocol buffers have no signature


def _net(wire: WireFile) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {}
    layers = [field for field in wire.fields(0, wire.size) if field.number in LAYERS]
    _check(wire, len(layers) <= MAX_LAYERS, f"it has {len(layers):,} layers, allowed {MAX_LAYERS:,}")
    for layer in layers:
        _check(wire, layer.wire == BYTES, f"the layer at byte {layer.start:,} is no message")
        found = dict(_layer(wire, layer, LAYERS[layer.number]))
        if repeated := tensors.keys() & found.keys():
            raise wire.error(f"{min(repeated)} is there twice")
        tensors |= found
    _check(wire, bool(tensors), "it has no layer with weights")
    return tensors


def _layer(wire: WireFile, layer: Field, kind: LayerFields) -> Iterator[tuple[str, Tensor]]:
    name, blobs = "", list[Field]()
    priors: Field | None = None
    for field in wire.fields(layer.start, layer.end):
        if field.number == kind.name:
            name = wire.text(field, MAX_NAME)
            _check(wire, name.isprintable(), f"the name at byte {field.start:,} has control characters")
        elif field.number == kind.blobs:
            blobs.append(field)
        elif field.number == kind.prior_box:
            priors = field
    _check(wire, len(blobs) <= MAX_BLOBS, f"layer {name!r} has {len(blobs)} blobs, allowed {MAX_BLOBS}")
    for index, blob in enumerate(blobs):
        yield f"{name}.{index}", _blob(wire, blob, f"{name}.{index}")
    if priors is not None:
        yield from ((f"{name}.{key}", values) for key, values in _prior_box(wire, priors).items())


def _blob(wire: WireFile, blob: Field, name: str) -> Tensor:
    _check(wire, blob.wire == BYTES, f"{name} is no blob")
    sides: dict[int, int] = {}
    shape: list[int] | None = None
    runs: list[Run] = []
    place = blob.start
    while place < blob.end:
        field = wire.field(place, blob.end)
        place = field.end
        if field.number in NUMBERS:
            runs.append(_run(wire, field, blob.end))
            place = max(place, runs[-1].start + runs[-1].values * runs[-1].record.itemsize)
        elif field.number == SHAPE:
            shape = _shape(wire, field)
        elif field.number in LEGACY_SIDES and field.wire == VARINT:
            sides[field.number] = field.value
    legacy = [sides.get(side, 0) for side in LEGACY_SIDES] if sides else []
    return _values(wire, runs, legacy or shape or [], name)


def _shape(wire: WireFile, message: Field) -> list[int]:
    _check(wire, message.wire == BYTES, f"the field at byte {message.start:,} is no message")
    shape: list[int] = []
    for field in wire.fields(message.start, message.end):
        shape += wire.varints(field, MAX_AXES) if field.number == 1 else []
        _check(wire, len(shape) <= MAX_AXES, f"the shape at byte {message.start:,} has too many axes")
    return shape


def _run(wire: WireFile, field: Field, end: int) -> Run:
    """The numbers of a packed field, or those of the single fields from this one on."""
    number = NUMBERS[field.number]
    if field.wire == BYTES:
        count, rest = divmod(field.end - field.start, number.itemsize)
        _check(wire, rest == 0, f"the numbers at byte {field.start:,} end within one")
        return Run(field.start, count, number, tagged=False)
    _check(wire, SIZES.get(field.wire) == number.itemsize, f"the field at byte {field.start:,} is no number")
    run = Run(field.start - 1, 0, number, tagged=True)
    return run._replace(values=_tagged(wire, run, field, end))


def _tagged(wire: WireFile, run: Run, first: Field, end: int) -> int:
    """How many fields of one kind follow one another from the first one on."""
    tag, size, count = first.number << 3 | first.wire, run.record.itemsize, 0
    while (most := min((end - run.start) // size - count, max(count, 64), PIECE)) > 0:
        place = run.start + count * size
        other = np.frombuffer(wire.read(place, place + most * size), run.record)["tag"] != tag
        count += int(other.argmax()) if other.any() else most
        if other.any():
            break
    return count


def _values(wire: WireFile, runs: list[Run], shape: list[int], name: str) -> Tensor:
    """The numbers of a blob. Memory is taken after their count is known to lie in the file and to match the shape."""
    count = sum(run.values for run in runs)
    given = ", ".join(map(str, shape))
    _check(wire, all(0 < side <= MAX_SIDE for side in shape), f"{name} has the shape ({given})")
    _check(wire, math.prod(shape) == count, f"{name} has the shape ({given}) and {count:,} values")
    values, place = np.empty(count, "<f4"), 0
    for run in runs:
        _fill(wire, run, values[place : place + run.values])
        place += run.values
    return torch.from_numpy(values.astype(np.float32, copy=False)).view(shape)


def _fill(wire: WireFile, run: Run, values: "np.ndarray[Any, np.dtype[np.float32]]") -> None:
    if run.number == values.dtype and not run.tagged:
        wire.read_into(run.start, values.view(np.uint8).data)
        return
    for done in range(0, run.values, PIECE):
        part = values[done : done + PIECE]
        place = run.start + done * run.record.itemsize
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is refused with its name
            part[:] = np.frombuffer(wire.read(place, place + len(part) * run.record.itemsize), run.record)["value"]


def _prior_box(wire: WireFile, message: Field) -> dict[str, Tensor]:
    """The numbers of a message PriorBoxParameter by their names."""
    _check(wire, message.wire == BYTES, f"the field at byte {message.start:,} is no message")
    found: dict[str, list[float]] = {}
    for field in wire.fields(message.start, message.end):
        if field.number in PRIOR_BOX:
            numbers = found.setdefault(PRIOR_BOX[field.number], [])
            numbers += [field.value] if field.wire == VARINT else _floats(wire, field)
            _check(wire, len(numbers) <= MAX_AXES, f"the message at byte {message.start:,} has too many numbers")
    return {key: torch.tensor(numbers, dtype=torch.float32) for key, numbers in found.items() if numbers}


def _floats(wire: WireFile, field: Field) -> list[float]:
    _check(wire, field.wire in (BYTES, FOUR_BYTES), f"the field at byte {field.start:,} is no number")
    count, rest = divmod(field.end - field.start, 4)
    _check(wire, rest == 0 and count <= MAX_AXES, f"the field at byte {field.start:,} has {count} numbers")
    return [float(number) for number in np.frombuffer(wire.read(field.start, field.end), "<f4")]


def _check(wire: WireFile, holds: bool, otherwise: str) -> None:
    if not holds:
        raise wire.error(otherwise)


FORMAT = FileFormat(name="caffe", title="a Caffe model (.caffemodel)", matches=_matches, read=read)
