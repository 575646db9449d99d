"""The wire format of protocol buffers, read from a file field by field: only what is asked for comes into memory.

Source: "Encoding" of the protocol buffers documentation. Messages lie inside of each other without gaps, so no two
fields overlap. A field that leaves its message, a group, or more fields than the limit is an error.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from paretodet.weights.safe import WeightsError

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # wire types
SIZES = {EIGHT_BYTES: 8, FOUR_BYTES: 4}
MAX_VARINT = 10  # bytes
MAX_FIELDS = 100_000  # of a file: the deepest published networks have about 20,000
MAX_BYTES = 2**31 - 1  # of a message, a limit of the format


class Field(NamedTuple):
    """A field of a message: its number and wire type, and the place of its content in the file."""

    number: int
    wire: int
    start: int
    end: int
    value: int  # of a varint


class WireFile:
    """An open file of one message. Every method raises WeightsError, naming the file, where it is none."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.size, self._file, self._fields = path, os.fstat(file.fileno()).st_size, file, 0
        if self.size > MAX_BYTES:
            raise self.error(f"it has {self.size:,} bytes, a message at most {MAX_BYTES:,}")

    def field(self, place: int, end: int) -> Field:
        """The field at a place of the message that ends at `end`."""
        self._fields += 1
        if self._fields > MAX_FIELDS:
            raise self.error(f"it has more than {MAX_FIELDS:,} fields")
        head = self.read(place, min(place + 2 * MAX_VARINT, end))
        tag, used = self._varint(head, 0)
        number, wire, start, value = tag >> 3, tag & 7, place + used, 0
        if wire == VARINT:
            value, used = self._varint(head, used)
            stop = place + used
        elif wire == BYTES:
            length, used = self._varint(head, used)
            start = place + used
            stop = start + length
        else:
            stop = start + SIZES.get(wire, end)
        if number == 0 or stop > end:
            raise self.error(f"the field at byte {place:,} ends outside of its message")
        return Field(number, wire, start, stop, value)

    def fields(self, start: int, end: int) -> Iterator[Field]:
        """The fields of the message between two places."""
        while start < end:
            field = self.field(start, end)
            yield field
            start = field.end

    def varints(self, field: Field, limit: int) -> list[int]:
        """The numbers of a repeated field, packed or single. Raises WeightsError if there are more than `limit`."""
        if field.wire == VARINT:
            return [field.value]
        content, numbers, place = self._limited(field, limit * MAX_VARINT), [], 0
        while place < len(content):
            number, place = self._varint(content, place)
            numbers.append(number)
        if len(numbers) > limit:
            raise self.error(f"the field at byte {field.start:,} has {len(numbers)} numbers, allowed {limit}")
        return numbers

    def text(self, field: Field, limit: int) -> str:
        """The text of a field of at most `limit` bytes."""
        try:
            return self._limited(field, limit).decode()
        except UnicodeDecodeError:
            raise self.error(f"the text at byte {field.start:,} is no UTF-8") from None

    def read(self, start: int, end: int) -> bytes:
        """The bytes between two places."""
        self._file.seek(start)
        content = self._file.read(end - start)
        if len(content) != end - start:
            raise self.error("it is truncated")
        return content

    def read_into(self, start: int, buffer: "memoryview[int]") -> None:
        """Fill a buffer of bytes with those from a place on."""
        self._file.seek(start)
        if self._file.readinto(buffer) != len(buffer):  # type: ignore[attr-defined]
            raise self.error("it is truncated")

    def error(self, reason: str) -> WeightsError:
        return WeightsError(f"{self.path}: not a readable protocol buffer, {reason}", "weights-format")

    def _limited(self, field: Field, limit: int) -> bytes:
        if field.wire != BYTES or field.end - field.start > limit:
            raise self.error(f"the field at byte {field.start:,} has another type or more than {limit:,} bytes")
        return self.read(field.start, field.end)

    def _varint(self, content: bytes, place: int) -> tuple[int, int]:
        """A number of seven bits a byte, and the place after it."""
        number = 0
        for index, byte in enumerate(content[place : place + MAX_VARINT]):
            number |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                return number, place + index + 1
        raise self.error("a number does not end")
