"""Tensors in TensorFlow's protocol buffers: TensorProto of graphs and of old checkpoints, shapes and types."""

from collections.abc import Iterable, Sequence
from math import prod

import torch
from torch import Tensor

from paretodet.weights.wire import Value, WireReader, content, integer, malformed

# tensorflow/core/framework/types.proto; texts, resources, complex and quantized types are not weights
DTYPES = {
    1: torch.float32, 2: torch.float64, 3: torch.int32, 4: torch.uint8, 5: torch.int16, 6: torch.int8,
    9: torch.int64, 10: torch.bool, 14: torch.bfloat16, 19: torch.float16,
}  # fmt: skip
DTYPE, SHAPE, CONTENT = 1, 2, 4  # fields of TensorProto
FIXED = {torch.float32: 5, torch.float64: 6}  # repeated fields of the values
HALVES = 13  # bits of float16 and bfloat16, as integers
VARINTS = {torch.int32: 7, torch.uint8: 7, torch.int16: 7, torch.int8: 7, torch.int64: 10, torch.bool: 11}
MAX_RANK = 254  # TensorFlow's
MAX_VALUES = 2**40  # of a shape
MAX_NAME = 2**10  # characters: patterns are looked for in names
AVERAGE = "ExponentialMovingAverage"  # behind the name of a variable: that of its moving average

Shape = tuple[int, ...]


def by_name(pairs: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors by name. Raises InputError if two have the same, or if one is too long."""
    found: dict[str, Tensor] = {}
    for name, tensor in pairs:
        if len(name) > MAX_NAME:
            raise malformed(f"a name of {len(name):,} characters, allowed {MAX_NAME:,}")
        if name in found:
            raise malformed(f"{name} is there twice")
        found[name] = tensor
    return found


def read_shape(reader: WireReader, message: memoryview) -> Shape:
    """A TensorShapeProto. Raises InputError for sides that are unknown or too large."""
    shape = []
    for dimension in reader.messages(message, 2):
        side = integer(reader.last(dimension).get(1))
        shape.append(side)
        _check_shape(shape)
    return tuple(shape)


def _check_shape(shape: Sequence[int]) -> None:
    """Raises InputError for negative sides, and for shapes that torch cannot have, also where a side is 0."""
    if min(shape, default=0) < 0 or len(shape) > MAX_RANK or prod(max(side, 1) for side in shape) > MAX_VALUES:
        raise malformed(f"a tensor of shape {tuple(shape)}")


def from_bytes(data: memoryview, dtype: torch.dtype, shape: Shape) -> Tensor:
    """A tensor on the bytes themselves, without a copy. Raises InputError unless they are as many as the shape's."""
    _check_shape(shape)
    if len(data) != prod(shape) * dtype.itemsize:
        raise malformed(f"{len(data)} bytes for a tensor of shape {shape} and type {dtype}")
    return torch.frombuffer(data, dtype=dtype).view(shape) if len(data) else torch.empty(shape, dtype=dtype)


def read_tensor(reader: WireReader, message: memoryview, name: str) -> Tensor | None:
    """A TensorProto; None for a type that cannot be weights. Raises InputError naming the tensor."""
    fields = reader.last(message)
    if (dtype := DTYPES.get(integer(fields.get(DTYPE)))) is None:
        return None
    return read_values(reader, message, name, dtype=dtype, shape=read_shape(reader, content(fields.get(SHAPE))))


def read_values(reader: WireReader, message: memoryview, name: str, *, dtype: torch.dtype, shape: Shape) -> Tensor:
    """The values of a TensorProto whose type and shape are known. Raises InputError naming the tensor."""
    fields = list(reader.fields(message))
    if len(stored := content(dict(fields).get(CONTENT))):
        return from_bytes(stored, dtype, shape)
    return _filled(_values(reader, fields, dtype), shape, name)


def _values(reader: WireReader, fields: list[tuple[int, Value]], dtype: torch.dtype) -> Tensor:
    """The values of the repeated field of a type: packed in one field, or one field each."""
    wanted = FIXED.get(dtype) or VARINTS.get(dtype, HALVES)
    parts = [value for number, value in fields if number == wanted]
    if dtype not in FIXED:
        stored = torch.int32 if wanted == HALVES else dtype
        numbers = _integers(reader, parts, stored)
        return numbers.to(torch.int16).view(dtype) if wanted == HALVES else numbers
    joined = content(parts[0]) if len(parts) == 1 else memoryview(bytearray().join(map(content, parts)))
    if len(joined) % dtype.itemsize:
        raise malformed(f"{len(joined)} bytes for values of type {dtype}")
    return torch.frombuffer(joined, dtype=dtype) if len(joined) else torch.empty(0, dtype=dtype)


def _integers(reader: WireReader, values: list[Value], dtype: torch.dtype) -> Tensor:
    numbers = [n for value in values for n in ([value] if isinstance(value, int) else reader.varints(value))]
    try:
        return torch.tensor([integer(number) for number in numbers], dtype=dtype)
    except (RuntimeError, OverflowError, ValueError):
        raise malformed(f"a number out of the range of {dtype}") from None


def _filled(values: Tensor, shape: Shape, name: str) -> Tensor:
    """`values` in a shape; a single value, or none for 0, stands for all of them and takes no memory."""
    if len(values) == prod(shape):
        return values.view(shape)
    if len(values) > 1:
        raise malformed(f"{name} has {len(values)} values, its shape {shape} needs {prod(shape)}")
    return (values if len(values) else values.new_zeros(1)).view((1,) * len(shape)).expand(shape)
