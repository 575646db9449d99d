"""FlexBuffers, the form of the options of LiteRT's custom operators, read without a library.

Source: "FlexBuffers" and its internals in the documentation of FlatBuffers. A buffer ends in its root's place, the type
of the root and the number of bytes of the place.
"""

import struct
from collections.abc import Iterator

INT, UINT, FLOAT, MAP, BOOL = 1, 2, 3, 9, 26
FORMS = {INT: "bhiq", UINT: "BHIQ", FLOAT: " efd", BOOL: "BHIQ"}  # by the power of two of their bytes
MOST = 2**10  # entries


def numbers(data: "memoryview[int]") -> dict[str, float]:
    """The numbers in a map, by key; values of other types are left out. Empty if it is no map.

    Raises struct.error where an offset leads out of the bytes, or the map has too many entries.
    """
    if len(data) < 3:
        raise struct.error("the options of an operator end too early")
    if data[-2] >> 2 != MAP:
        return {}
    place = len(data) - 2 - data[-1]
    power = data[-2] & 3
    values = place - _size(data, place, data[-1])
    width = 1 << power
    count = _size(data, values - width, width)
    if count > MOST or values + count * (width + 1) > len(data):
        raise struct.error("the options of an operator end outside of the file")
    names = _keys(data, values - 3 * width, width, count)
    kinds = (data[values + count * width + i] >> 2 for i in range(count))
    return {
        name: float(_number(data, FORMS[kind][power], values + i * width))
        for i, (name, kind) in enumerate(zip(names, kinds, strict=True))
        if kind in FORMS
    }


def _keys(data: "memoryview[int]", place: int, width: int, count: int) -> Iterator[str]:
    """The keys of a map of `count` entries. Their vector is at the offset in `place`, its width behind that."""
    vector, size = place - _size(data, place, width), _size(data, place + width, width)
    for number in range(count):
        entry = vector + number * size
        start = entry - _size(data, entry, size)
        end = bytes(data[max(start, 0) : max(start, 0) + 256]).find(0)
        if start < 0 or end < 0:
            raise struct.error("a key leads out of the options")
        yield bytes(data[start : start + end]).decode()


def _size(data: "memoryview[int]", place: int, width: int) -> int:
    if width not in (1, 2, 4, 8):
        raise struct.error(f"a number of {width} bytes")
    return int(_number(data, FORMS[UINT][width.bit_length() - 1], place))


def _number(data: "memoryview[int]", form: str, place: int) -> float:
    if place < 0 or form == " ":
        raise struct.error("a number leads out of the options")
    number: float = struct.unpack_from(f"<{form}", data, place)[0]
    return number
