"""What a LiteRT file refers to, read from its bytes before any library opens it: files of weights, custom operators.

The file is a FlatBuffer with the tables of `schema.fbs` of LiteRT.
"""

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from paretodet.errors import InputError

IDENTIFIER = b"TFL3"
OPERATORS, GROUPS = 1, 8  # fields of the table Model: operator codes, and groups of buffers in other files
CUSTOM, NAME = 1, 0  # fields of OperatorCode and of ExternalBufferGroup, both texts


class TfliteReferences(NamedTuple):
    """`files` are as the file names them; `operators` are those that it expects the program to bring."""

    files: frozenset[str]
    operators: frozenset[str]


def references(path: Path) -> TfliteReferences:
    """The files with weights that a LiteRT file names, and its custom operators.

    Raises OSError, or InputError if the bytes are not those of a LiteRT file.
    """
    with path.open("rb") as file:
        try:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            if content[4:8] != IDENTIFIER:
                raise ValueError
            files, operators = (_names(content, field, name) for field, name in ((GROUPS, NAME), (OPERATORS, CUSTOM)))
        except (struct.error, ValueError):
            raise InputError("it is not a LiteRT file", "bundle-altered") from None
    return TfliteReferences(files, operators)


def _names(content: memoryview, field: int, name: int) -> frozenset[str]:
    """The texts in field `name` of the tables that field `field` of the model lists."""
    found = (_field(content, table, name) for table in _tables(content, _field(content, _target(content, 0), field)))
    return frozenset(_text(content, place) for place in found if place is not None) - {""}


def _number(content: memoryview, place: int, kind: str = "<I") -> int:
    if place < 0:
        raise ValueError
    (number,) = struct.unpack_from(kind, content, place)
    return int(number)


def _target(content: memoryview, place: int) -> int:
    """Where the offset at `place` leads."""
    return place + _number(content, place)


def _field(content: memoryview, table: int, number: int) -> int | None:
    """The place of a field of a table; None if the table does not have it."""
    layout = table - _number(content, table, "<i")
    if 4 + 2 * number >= _number(content, layout, "<H"):
        return None
    offset = _number(content, layout + 4 + 2 * number, "<H")
    return table + offset if offset else None


def _tables(content: memoryview, place: int | None) -> Iterator[int]:
    """The tables of a list."""
    if place is None:
        return
    first = _target(content, place)
    for index in range(_number(content, first)):
        yield _target(content, first + 4 + 4 * index)


def _text(content: memoryview, place: int) -> str:
    first = _target(content, place)
    length = _number(content, first)
    if first + 4 + length > len(content):
        raise ValueError
    return bytes(content[first + 4 : first + 4 + length]).decode(errors="replace")
