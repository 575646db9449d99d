"""Reads sorted tables of LevelDB's form, in which TensorFlow stores checkpoints: no compression, keys in order.

A table is blocks of entries, then a block with the places of these blocks, and 48 bytes that say where that is.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from paretodet.weights.wire import malformed, varint

MAGIC = bytes.fromhex("57fb808b247547db")  # the last bytes of a table
FOOTER = 48
TRAILER = 5  # behind a block: its compression and a checksum
MAX_KEY = 2**12
MAX_ENTRIES = 2**18


class TableEntry(NamedTuple):
    key: bytes
    value: memoryview


def is_table(tail: bytes) -> bool:
    """Whether a file that ends in `tail` is a table."""
    return len(tail) >= FOOTER and tail.endswith(MAGIC)


def entries(table: memoryview) -> Iterator[TableEntry]:
    """All entries in the order of their keys. Raises InputError for a table that is damaged, compressed or not
    sorted.
    """
    if not is_table(bytes(table[-FOOTER:])):
        raise malformed("it does not end as a table does")
    _, place = _handle(table[-FOOTER:], 0)
    index, _ = _handle(table[-FOOTER:], place)
    last, count = None, 0
    for pointer in _block(table, index):
        handle, _ = _handle(pointer.value, 0)
        for entry in _block(table, handle):
            count += 1
            if (last is not None and entry.key <= last) or count > MAX_ENTRIES:
                raise malformed(f"its keys are not sorted, or more than {MAX_ENTRIES:,}")
            last = entry.key
            yield entry


class BlockPlace(NamedTuple):
    """Where a block is in the table."""

    offset: int
    size: int


def _handle(data: memoryview, place: int) -> tuple[BlockPlace, int]:
    offset, place = varint(data, place)
    size, place = varint(data, place)
    return BlockPlace(offset, size), place


def _block(table: memoryview, handle: BlockPlace) -> Iterator[TableEntry]:
    """The entries of a block; each key is stored as what it does not share with the one before it."""
    end = handle.offset + handle.size
    if end + TRAILER > len(table) or handle.size < 4:
        raise malformed("a block that is not inside of the file")
    if table[end] != 0:
        raise malformed("a compressed block; save the checkpoint again without compression")
    data = table[handle.offset : end]
    (restarts,) = struct.unpack("<I", data[-4:])
    stop = len(data) - 4 - 4 * restarts
    if stop < 0:
        raise malformed("a block with more restart points than bytes")
    place, key = 0, b""
    while place < stop:
        shared, place = varint(data, place)
        rest, place = varint(data, place)
        size, place = varint(data, place)
        middle, after = place + rest, place + rest + size
        if shared > len(key) or shared + rest > MAX_KEY or after > stop:
            raise malformed("an entry that is not inside of its block")
        key = key[:shared] + bytes(data[place:middle])
        yield TableEntry(key, data[middle:after])
        place = after
