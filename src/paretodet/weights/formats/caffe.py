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

from paretodet.errors import InputError, words
from paretodet.weights.file_format import FileFormat
from paretodet.weights.safe import WeightsError
from paretodet.weights.wire import BYTES, FIXED, FOUR_BYTES, Field, Value, WireReader, content, malformed, mapped, text

MAX_BYTES = 2**31 - 1  # of a file: a limit of protocol buffers
MAX_FIELDS = 100_000  # of a file: the deepest published networks have about 20,000
MAX_LAYERS, MAX_BLOBS, MAX_RUNS, MAX_AXES, MAX_NAME = 10_000, 64, 64, 32, 200  # 32 axes: Caffe's own limit
MAX_SIDE = 2**31 - 1  # of a shape, as in Caffe
PIECE = 2**20  # numbers that are looked at at once


class LayerFields(NamedTuple):
    """The numbers of the fields of a layer's message that are read."""

    name: int
    blobs: int
    prior_box: int | None


LAYERS = {100: LayerFields(name=1, blobs=7, prior_box=203), 2: LayerFields(name=4, blobs=6, prior_box=None)}  # V1 is 2
LEGACY_SIDES = (1, 2, 3, 4)  # num, channels, height, width
DATA, SHAPE, DOUBLE_DATA = 5, 7, 8
FLOAT = np.dtype("<f4")
NUMBERS: dict[int, "np.dtype[Any]"] = {DATA: FLOAT, DOUBLE_DATA: np.dtype("<f8")}
PRIOR_BOX = {
    1: "min_size", 2: "max_size", 3: "aspect_ratio", 4: "flip", 5: "clip", 6: "variance", 7: "img_size", 8: "img_h",
    9: "img_w", 10: "step", 11: "step_h", 12: "step_w", 13: "offset",
}  # fmt: skip


class Run(NamedTuple):
    """Numbers of a blob one after another in the file, and the place behind them."""

    values: np.ndarray
    end: int


def read(path: Path) -> dict[str, Tensor]:
    """The blobs of all layers as float32, and the numbers of the layers PriorBox.

    Raises WeightsError for a file that is truncated or no NetParameter, a blob whose shape does not match its values,
    two layers of one name, or no blob at all.
    """
    try:
        return _net(WireReader(left=MAX_FIELDS), mapped(path))
    except InputError as error:
        raise WeightsError(f"{path}: not a readable protocol buffer: {words(error)}", "weights-format") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror or error})", "file-unreadable") from None


def _matches(path: Path) -> bool:
    return path.suffix == ".caffemodel"  # protocol buffers have no signature


def _net(reader: WireReader, data: memoryview) -> dict[str, Tensor]:
    _check(len(data) <= MAX_BYTES, f"it has {len(data):,} bytes, allowed {MAX_BYTES:,}")
    tensors: dict[str, Tensor] = {}
    layers = [(number, content(value)) for number, value in reader.fields(data) if number in LAYERS]
    _check(len(layers) <= MAX_LAYERS, f"it has {len(layers):,} layers, allowed {MAX_LAYERS:,}")
    for number, layer in layers:
        found = dict(_layer(reader, layer, LAYERS[number]))
        if repeated := tensors.keys() & found.keys():
            raise malformed(f"{min(repeated)} is there twice")
        tensors |= found
    _check(bool(tensors), "it has no layer with weights")
    return tensors


def _layer(reader: WireReader, layer: memoryview, kind: LayerFields) -> Iterator[tuple[str, Tensor]]:
    name, blobs = "", list[memoryview]()
    priors: memoryview | None = None
    for number, value in reader.fields(layer):
        if number == kind.name:
            name = _name(value)
        elif number == kind.blobs:
            blobs.append(content(value))
        elif number == kind.prior_box:
            priors = content(value)
    _check(len(blobs) <= MAX_BLOBS, f"layer {name!r} has {len(blobs)} blobs, allowed {MAX_BLOBS}")
    for index, blob in enumerate(blobs):
        yield f"{name}.{index}", _blob(reader, blob, f"{name}.{index}")
    if priors is not None:
        yield from ((f"{name}.{key}", values) for key, values in _prior_box(reader, priors).items())


def _name(value: Value) -> str:
    _check(len(content(value)) <= MAX_NAME, f"a name of more than {MAX_NAME} bytes")
    name = text(value)
    _check(name.isprintable(), "a name with control characters")
    return name


def _blob(reader: WireReader, blob: memoryview, name: str) -> Tensor:
    sides: dict[int, int] = {}
    shape: list[int] = []
    runs: list[np.ndarray] = []
    place = 0
    while place < len(blob):
        field = reader.field(blob, place)
        place = field.end
        if field.number in NUMBERS:
            values, place = _run(blob, field)
            runs.append(values)
            _check(len(runs) <= MAX_RUNS, f"{name} has its values in more than {MAX_RUNS} places")
        elif field.number == SHAPE:
            shape = _shape(reader, content(field.value))
        elif field.number in LEGACY_SIDES and isinstance(field.value, int):
            sides[field.number] = field.value
    legacy = [sides.get(side, 0) for side in LEGACY_SIDES] if sides else []
    return _values(runs, legacy or shape, name)


def _shape(reader: WireReader, message: memoryview) -> list[int]:
    shape: list[int] = []
    for number, value in reader.fields(message):
        if number == 1:
            shape += [value] if isinstance(value, int) else reader.varints(value)
        _check(len(shape) <= MAX_AXES, "a shape with too many axes")
    return shape


def _run(blob: memoryview, field: Field) -> Run:
    """The numbers of a packed field, or those of the single fields from this one on, each after a tag of one byte."""
    number, value = NUMBERS[field.number], content(field.value)
    if field.wire == BYTES:
        return Run(_numbers(value, number), field.end)
    _check(FIXED[field.wire] == number.itemsize, "a number of another size than its type")
    record = np.dtype([("tag", "u1"), ("value", number)])
    start = field.end - record.itemsize
    stop = start + _tagged(blob[start:], record, field.number << 3 | field.wire) * record.itemsize
    return Run(np.frombuffer(blob[start:stop], record)["value"], max(stop, field.end))


def _tagged(data: memoryview, record: "np.dtype[Any]", tag: int) -> int:
    """How many records at the start of the data have the tag."""
    count = 0
    while (most := min(len(data) // record.itemsize - count, max(count, 64), PIECE)) > 0:
        other = np.frombuffer(data, record, most, count * record.itemsize)["tag"] != tag
        count += int(other.argmax()) if other.any() else most
        if other.any():
            break
    return count


def _numbers(packed: memoryview, number: "np.dtype[Any]") -> np.ndarray:
    _check(len(packed) % number.itemsize == 0, f"{len(packed)} bytes for numbers of {number.itemsize}")
    return np.frombuffer(packed, number)


def _values(runs: list[np.ndarray], shape: list[int], name: str) -> Tensor:
    """The numbers of a blob, in the file itself if they are together and float32.

    Memory is taken after their count is known to lie in the file and to match the shape.
    """
    count = sum(map(len, runs))
    given = ", ".join(map(str, shape))
    _check(all(0 < side <= MAX_SIDE for side in shape), f"{name} has the shape ({given})")
    _check(math.prod(shape) == count, f"{name} has the shape ({given}) and {count:,} values")
    values, *rest = runs
    if rest or values.dtype != FLOAT or values.strides != (FLOAT.itemsize,):  # one number alone may be strided too
        values = np.empty(count, np.float32)
        with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is refused with its name
            np.concatenate(runs, out=values, casting="same_kind")
    return torch.from_numpy(values).view(shape)


def _prior_box(reader: WireReader, message: memoryview) -> dict[str, Tensor]:
    """The numbers of a message PriorBoxParameter by their names."""
    found: dict[str, list[float]] = {}
    for field in reader.each(message):
        if field.number in PRIOR_BOX:
            numbers = found.setdefault(PRIOR_BOX[field.number], [])
            numbers += [field.value] if isinstance(field.value, int) else _floats(field.wire, field.value)
            _check(len(numbers) <= MAX_AXES, "a PriorBox with too many numbers")
    return {key: torch.tensor(numbers, dtype=torch.float32) for key, numbers in found.items() if numbers}


def _floats(wire: int, packed: memoryview) -> list[float]:
    few = wire in (BYTES, FOUR_BYTES) and len(packed) <= MAX_AXES * FLOAT.itemsize
    _check(few, f"a field of wire type {wire} and {len(packed)} bytes for a few numbers")
    return [float(number) for number in _numbers(packed, FLOAT)]


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise malformed(otherwise)


FORMAT = FileFormat(name="caffe", title="a Caffe model (.caffemodel)", matches=_matches, read=read)
