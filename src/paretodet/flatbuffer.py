"""FlatBuffers, the format of LiteRT's and ExecuTorch's files, read without a library or generated code.

Source: "FlatBuffer Internals" of its documentation. Fields keep their numbers in later versions of a schema.
"""

import struct

MOST = 2**17  # elements of a vector that is read as numbers or tables; a vector of bytes may have any length
ALL = 2**20  # elements of all vectors of a file, or as many as it has bytes: tables may share their vectors
LONGEST = 2**10  # bytes of a text: tables may share their bytes, so that a small file could have very many long ones


class FlatTable:
    """A table at a place of the bytes. Fields have the numbers of the schema; those that are not stored are 0 or empty.

    Every method raises struct.error where an offset leads out of the bytes, or vectors have too many elements. `left`,
    which the tables of a file share, is how many may still be read.
    """

    def __init__(self, data: "memoryview[int]", place: int, left: list[int]) -> None:
        self.data, self.place, self.left = data, place, left

    @classmethod
    def root(cls, data: "memoryview[int]", left: list[int] | None = None) -> "FlatTable":
        """The first table of the data, or of a part of a file, of which `left` elements may be read."""
        return cls(data, read(data, "<I", 0), [max(len(data), ALL)] if left is None else left)

    def number(self, field: int, form: str) -> int:
        place = self._place(field)
        return read(self.data, form, place) if place else 0

    def has(self, field: int) -> bool:
        return bool(self._place(field))

    def table(self, field: int) -> "FlatTable":
        place = self._place(field)
        if not place:
            raise struct.error(f"a table has no field {field}")
        return self._at(place)

    def tables(self, field: int) -> list["FlatTable"]:
        return [self._at(place) for place in self._places(field, 4, MOST)]

    def numbers(self, field: int, form: str, most: int = MOST) -> list[int]:
        return [read(self.data, form, place) for place in self._places(field, struct.calcsize(form), most)]

    def floats(self, field: int, most: int = MOST) -> list[float]:
        return [struct.unpack_from("<f", self.data, place)[0] for place in self._places(field, 4, most)]

    def raw(self, field: int) -> "memoryview[int]":
        """A vector of bytes, or a string."""
        return self._slice(field, len(self.data))

    def text(self, field: int) -> str:
        return bytes(self._slice(field, LONGEST)).decode()

    def _slice(self, field: int, most: int) -> "memoryview[int]":
        places = self._places(field, 1, most)
        return self.data[places.start : places.stop]

    def _at(self, place: int) -> "FlatTable":
        return FlatTable(self.data, place + read(self.data, "<I", place), self.left)

    def _place(self, field: int) -> int:
        """0 if the field is not stored."""
        fields = self.place - read(self.data, "<i", self.place)
        stored = 4 + 2 * field < read(self.data, "<H", fields)
        offset = read(self.data, "<H", fields + 4 + 2 * field) if stored else 0
        return self.place + offset if offset else 0

    def _places(self, field: int, size: int, most: int) -> range:
        """Of the elements of a vector. Those of more than one byte are counted."""
        place = self._place(field)
        if not place:
            return range(0)
        vector = place + read(self.data, "<I", place)
        count = read(self.data, "<I", vector)
        if count > most:
            raise struct.error(f"a vector has {count:,} elements, allowed {most:,}")
        if vector + 4 + size * count > len(self.data):
            raise struct.error("a vector ends outside of the file")
        self.left[0] -= count if size > 1 else 0
        if self.left[0] < 0:
            raise struct.error("its vectors have more elements than the file has bytes")
        return range(vector + 4, vector + 4 + size * count, size)


def read(data: "memoryview[int]", form: str, place: int) -> int:
    """The number at a place. Raises struct.error if it is not inside of the data."""
    if place < 0:
        raise struct.error("an offset leads before the file")
    return int(struct.unpack_from(form, data, place)[0])
