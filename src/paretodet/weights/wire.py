"""Reads protocol buffers by their wire format: no schema compiler, no library, nothing executed.

Source: "Encoding" of the protocol buffers documentation. Messages lie inside of each other without gaps, so no two
fields overlap. A field that leaves its message, a group, or more fields than the limit is an error.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from paretodet.errors import InputError
from paretodet.reading import memory_map

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # wire types
FIXED = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
MAX_VARINT = 10  # bytes
MAX_FIELDS = 2**20  # in a file; the largest graphs of detectors have 300,000

Value = int | memoryview  # of a varint, or the bytes of any other field


class Field(NamedTuple):
    """A field of a message, and the place behind it in the message."""

    number: int
    wire: int
    value: Value
    end: int


def mapped(path: Path) -> memoryview:
    """The content of a file, also of an empty one, as `reading.memory_map` has it."""
    with path.open("rb") as file:
        return memoryview(memory_map(file) if file.seek(0, 2) else b"")


def malformed(reason: str) -> InputError:
    """What is wrong with the bytes of a file; a format adds the file's name."""
    return InputError(reason, "weights-format")


@dataclass(kw_only=True)
class WireReader:
    """Reads the messages of one file; `left` limits their fields, so that a hostile file takes a second."""

    left: int = MAX_FIELDS

    def field(self, message: memoryview, place: int) -> Field:
        """The field at a place of a message. Raises InputError where the bytes are none."""
        self._count()
        tag, place = varint(message, place)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise malformed("a field of number 0")
        if wire == VARINT:
            return Field(number, wire, *varint(message, place))
        size, place = varint(message, place) if wire == BYTES else (FIXED.get(wire, -1), place)
        if not 0 <= size <= len(message) - place:
            raise malformed(f"a field of wire type {wire} and {size} bytes, with {len(message) - place} left")
        return Field(number, wire, message[place : place + size], place + size)

    def each(self, message: memoryview) -> Iterator[Field]:
        """Every field of a message. Raises InputError where the bytes are not fields."""
        place = 0
        while place < len(message):
            field = self.field(message, place)
            yield field
            place = field.end

    def fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        """The number and value of every field of a message. Raises InputError where the bytes are not fields."""
        return ((field.number, field.value) for field in self.each(message))

    def messages(self, message: memoryview, number: int) -> Iterator[memoryview]:
        """The messages in the field `number`."""
        return (value for found, value in self.fields(message) if found == number and isinstance(value, memoryview))

    def last(self, message: memoryview) -> dict[int, Value]:
        """The fields of a message by number: of a repeated one the last, which is protobuf's rule."""
        return dict(self.fields(message))

    def varints(self, packed: memoryview) -> list[int]:
        """The numbers of a packed field."""
        found, place = [], 0
        while place < len(packed):
            self._count()
            value, place = varint(packed, place)
            found.append(value)
        return found

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise malformed("more fields than any network has")


def varint(data: memoryview, place: int) -> tuple[int, int]:
    """The number at `place`, and the place behind it. Raises InputError where it does not end."""
    if place < len(data) and (byte := data[place]) < 128:  # most are that short
        return byte, place + 1
    value = 0
    for index, byte in enumerate(data[place : place + MAX_VARINT]):
        value |= (byte & 127) << 7 * index
        if byte < 128:
            return value, place + index + 1
    raise malformed("a number that does not end")


def integer(value: Value | None, default: int = 0) -> int:
    """A varint field as a signed 64-bit number; `default` if it is absent. Raises InputError for another field."""
    if value is None:
        return default
    if not isinstance(value, int):
        raise malformed("bytes in place of a number")
    return value - 2**64 if value >= 2**63 else value


def content(value: Value | None) -> memoryview:
    """The bytes of a field, none if it is absent. Raises InputError for a number."""
    if value is None:
        return memoryview(b"")
    if isinstance(value, int):
        raise malformed("a number in place of bytes")
    return value


def text(value: Value | None) -> str:
    """The text of a field, empty if it is absent. Raises InputError unless it is UTF-8."""
    try:
        return str(content(value), "utf-8")
    except UnicodeDecodeError:
        raise malformed("a name that is not UTF-8") from None
