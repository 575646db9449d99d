"""Reads pickles of arrays, numbers, strings, lists and dictionaries. Nothing that a file names is imported or called.

A pickle is a program for a stack machine. The machine here knows the opcodes that build such data, and a table of the
few callables that numpy's pickles name, each with a function of this file that does its work. Any other opcode or name
is an error. The data of arrays are views of the mapped file; sizes are checked against it before anything is built.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paretodet.reading import memory_map
from paretodet.weights.safe import WeightsError

PROTOCOLS = (2, 3, 4, 5)
MAX_OPCODES = 200_000  # a file of 1,000 arrays has about 40,000
MAX_NAME = 1 << 10  # bytes of a name: it is decoded again wherever the file uses it
MAX_DIMENSIONS = 8
DTYPES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "b1")
MARK = object()


def _malformed(reason: str) -> WeightsError:
    """What is wrong with the pickle, to which `read` adds the path."""
    return WeightsError(reason, "weights-format")


@dataclass
class NumberType:
    """numpy.dtype, to which a state gives its byte order."""

    code: str
    order: Any = "="  # or "<" or ">"

    def build(self, state: Any) -> None:
        _, order, *rest = state
        self.order = _text(order).replace("|", "=")
        if self.order not in ("<", ">", "=") or any(rest[:3]):
            raise _malformed("a type of arrays that is not a number")

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(f"{self.order}{self.code}")


@dataclass
class _Array:
    """numpy.ndarray, to which a state gives its numbers."""

    values: np.ndarray | None = None

    def build(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        self.values = _numbers(data, kind, shape, "F" if fortran else "C")


def _numbers(data: Any, kind: Any, shape: Any, order: str) -> np.ndarray:
    if not isinstance(kind, NumberType) or not isinstance(data, memoryview | bytearray) or not isinstance(shape, tuple):
        raise _malformed("an array that is not of numbers")
    if len(shape) > MAX_DIMENSIONS or not all(type(side) is int and side >= 0 for side in shape):
        raise _malformed("an array of an impossible shape")
    dtype = kind.numpy()
    if math.prod(shape) * dtype.itemsize != len(data):
        raise _malformed(f"an array of shape {shape} with {len(data)} bytes")
    values = np.frombuffer(data, dtype).reshape(shape, order=order)  # type: ignore[call-overload]
    return values if dtype.isnative else values.astype(dtype.newbyteorder("="))


def _text(value: Any) -> str:
    """A name; those of Python 2 are bytes in latin1."""
    if isinstance(value, memoryview | bytearray) and len(value) <= MAX_NAME:
        return bytes(value).decode("latin1")
    if not isinstance(value, str):
        raise _malformed("a name that is not a string")
    return value


def array(value: Any) -> np.ndarray | None:
    """The numbers of an array in the data that `read` returns; None for anything else."""
    return value.values if isinstance(value, _Array) else None


def _array(kind: Any, shape: Any, code: Any) -> _Array:
    return _Array()


def _array_of_buffer(data: Any, kind: Any, shape: Any, order: Any, axes: None = None) -> _Array:
    if axes is not None or _text(order) not in ("C", "F"):
        raise _malformed("an array in an unusual order")
    return _Array(_numbers(data, kind, shape, "F" if _text(order) == "F" else "C"))


def number_type(code: Any, align: Any = 0, copy: Any = 0) -> NumberType:
    if (name := _text(code)) not in DTYPES:
        raise _malformed(f"an array of type {name[:20]!r}")
    return NumberType(name)


def scalar(kind: Any, data: Any) -> int | float:
    number: int | float = _numbers(data, kind, (), "C").item()
    return number


def _bytes(text: Any, encoding: Any) -> bytearray:
    """How Python 3 writes bytes in Python 2's protocol; an array of them can be written to, as others."""
    if not isinstance(text, str) or _text(encoding) != "latin1":
        raise _malformed("bytes in another encoding than latin1")
    return bytearray(text.encode("latin1"))


def _no_bytes() -> bytearray:
    """And how it writes none."""
    return bytearray()


def _mapping(pairs: Any = ()) -> dict[str, Any]:
    return {_text(name): value for name, value in pairs}


def _nothing() -> None:
    raise _malformed("an array that is built in another way than numpy's")


_MULTIARRAY: dict[str, Callable[..., Any]] = {"_reconstruct": _array, "scalar": scalar}
CALLABLES: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _nothing,
    ("numpy", "dtype"): number_type,
    ("_codecs", "encode"): _bytes,
    ("__builtin__", "bytes"): _no_bytes,
    ("collections", "OrderedDict"): _mapping,
    **{(f"numpy.{core}.multiarray", name): made for core in ("core", "_core") for name, made in _MULTIARRAY.items()},
    **{(f"numpy.{core}.numeric", "_frombuffer"): _array_of_buffer for core in ("core", "_core")},
}


@dataclass
class _Machine:
    """The bytes of a pickle, the place in them, and what the opcodes so far have built."""

    data: memoryview
    place: int = 0
    stack: list[Any] = field(default_factory=list)
    memo: dict[int, Any] = field(default_factory=dict)
    built: int = 0  # bytes of arrays and copied strings, items of calls: no honest file uses one for several

    def run(self) -> Any:
        for _ in range(MAX_OPCODES):
            code = self.take(1)[0]
            if code == STOP:
                return self.stack.pop()
            if code not in OPCODES:
                raise _malformed(f"opcode {bytes([code])!r}, which arrays do not need")
            OPCODES[code](self)
        raise _malformed(f"more than {MAX_OPCODES:,} opcodes")

    def take(self, count: int) -> memoryview:
        end = self.place + count
        if not 0 <= count <= len(self.data) - self.place:
            raise _malformed(f"{count:,} bytes where {len(self.data) - self.place:,} are left")
        taken, self.place = self.data[self.place : end], end
        return taken

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def sized(self, form: str) -> memoryview:
        """Bytes after their count."""
        return self.take(self.number(form))

    def line(self) -> str:
        text = bytes(self.data[self.place : self.place + 100])
        end = text.find(b"\n")
        if end < 0:
            raise _malformed("a line without an end")
        self.place += end + 1
        return text[:end].decode("ascii")

    def marked(self) -> list[Any]:
        """What was pushed since the last mark."""
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is MARK:
                found = self.stack[start + 1 :]
                del self.stack[start:]
                return found
        raise _malformed("a list without a start")

    def append(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], list):
            raise _malformed("an item of something that is not a list")
        self.stack[-1].extend(values)

    def set(self, values: list[Any]) -> None:
        if not isinstance(self.stack[-1], dict) or len(values) % 2:
            raise _malformed("an item of something that is not a dictionary")
        self.stack[-1].update({_text(name): value for name, value in zip(values[::2], values[1::2], strict=True)})

    def last(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise _malformed("an opcode without its operands")
        found = self.stack[-count:]
        del self.stack[-count:]
        return found

    def text(self, form: str) -> str:
        encoded = self.sized(form)
        return bytes(encoded).decode("utf-8", "surrogatepass")

    def name(self, module: str, name: str) -> Callable[..., Any]:
        if (module, name) not in CALLABLES:
            raise _malformed(f"the name {f'{module}.{name}'[:80]!r}, which arrays do not need")
        return CALLABLES[module, name]

    def call(self) -> Any:
        function, arguments = self.last(2)
        if function not in CALLABLES.values() or not isinstance(arguments, tuple):
            raise _malformed("a call of something else than numpy's callables")
        self.charge(sum(len(each) for each in arguments if isinstance(each, list | tuple | dict)))
        made = function(*arguments)
        self.count(made)
        return made

    def count(self, made: Any) -> None:
        values = array(made)
        size = len(made) if isinstance(made, bytearray) else 0
        self.charge(size if values is None else values.nbytes)

    def charge(self, size: int) -> None:
        self.built += size
        if self.built > len(self.data):
            raise _malformed("more in arrays and mappings than in the file")

    def build(self) -> None:
        (state,) = self.last(1)
        if not isinstance(self.stack[-1], _Array | NumberType) or not isinstance(state, tuple):
            raise _malformed("a state of something that is not an array")
        self.stack[-1].build(state)
        self.count(self.stack[-1])


def _push(make: Callable[[_Machine], Any]) -> Callable[[_Machine], None]:
    return lambda machine: machine.stack.append(make(machine))


def _remember(place: Callable[[_Machine], int]) -> Callable[[_Machine], None]:
    return lambda machine: machine.memo.update({place(machine): machine.stack[-1]})


STOP = ord(".")
OPCODES: Mapping[int, Callable[[_Machine], Any]] = {
    0x80: lambda m: m.take(1),  # protocol
    0x95: lambda m: m.take(8),  # frame
    ord("("): _push(lambda m: MARK),
    ord("N"): _push(lambda m: None),
    0x88: _push(lambda m: True),
    0x89: _push(lambda m: False),
    ord("J"): _push(lambda m: m.number("<i")),
    ord("K"): _push(lambda m: m.number("B")),
    ord("M"): _push(lambda m: m.number("<H")),
    ord("I"): _push(lambda m: int(m.line())),
    0x8A: _push(lambda m: int.from_bytes(m.sized("B"), "little", signed=True)),
    ord("G"): _push(lambda m: m.number(">d")),
    ord("U"): _push(lambda m: m.sized("B")),
    ord("T"): _push(lambda m: m.sized("<i")),
    ord("C"): _push(lambda m: m.sized("B")),
    ord("B"): _push(lambda m: m.sized("<I")),
    0x8E: _push(lambda m: m.sized("<Q")),
    0x96: _push(lambda m: m.sized("<Q")),
    0x8C: _push(lambda m: m.text("B")),
    ord("X"): _push(lambda m: m.text("<I")),
    0x8D: _push(lambda m: m.text("<Q")),
    ord("]"): _push(lambda m: []),
    ord("}"): _push(lambda m: {}),
    ord(")"): _push(lambda m: ()),
    ord("t"): _push(lambda m: tuple(m.marked())),
    0x85: _push(lambda m: tuple(m.last(1))),
    0x86: _push(lambda m: tuple(m.last(2))),
    0x87: _push(lambda m: tuple(m.last(3))),
    ord("a"): lambda m: m.append(m.last(1)),
    ord("e"): lambda m: m.append(m.marked()),
    ord("s"): lambda m: m.set(m.last(2)),
    ord("u"): lambda m: m.set(m.marked()),
    ord("q"): _remember(lambda m: m.number("B")),
    ord("r"): _remember(lambda m: m.number("<I")),
    0x94: _remember(lambda m: len(m.memo)),
    ord("h"): _push(lambda m: m.memo[m.number("B")]),
    ord("j"): _push(lambda m: m.memo[m.number("<I")]),
    ord("c"): _push(lambda m: m.name(m.line(), m.line())),
    0x93: _push(lambda m: m.name(*(_text(part) for part in m.last(2)))),
    ord("R"): _push(lambda m: m.call()),
    ord("b"): lambda m: m.build(),
}


def is_pickle(path: Path) -> bool:
    """Whether the file starts as a pickle of a known protocol."""
    with path.open("rb") as file:
        head = file.read(2)
    return len(head) == 2 and head[0] == 0x80 and head[1] in PROTOCOLS


def read(path: Path) -> Any:
    """The data of a pickle: None, bool, int, float, str, bytes (memoryview), list, tuple, dict by str, and arrays.

    Raises WeightsError naming the file and what does not belong to such data.
    """
    with path.open("rb") as file:
        try:
            data = memoryview(memory_map(file))
            return _Machine(data).run()
        except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as error:
            reason = error.message if isinstance(error, WeightsError) else type(error).__name__
            raise WeightsError(f"{path}: not a pickle of arrays only ({reason})", "weights-format") from None
