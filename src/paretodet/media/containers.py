"""The length in bytes that a video file states in its headers."""

from pathlib import Path
from typing import BinaryIO

MATROSKA, SEGMENT = bytes.fromhex("1a45dfa3"), bytes.fromhex("18538067")


def missing(path: Path) -> int:
    """How many bytes an MP4, MOV, AVI, Matroska or WebM file is shorter than its headers state.

    0 for other files, and for files that state no length, such as live recordings. Raises OSError.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            stated = 8 + int.from_bytes(head[4:8], "little")
        elif head[:4] == MATROSKA:
            stated = _segment(head)
        else:
            stated = _boxes(file, size)
    return max(stated - size, 0)


def _boxes(file: BinaryIO, size: int) -> int:
    """The stated end of the frames or of their index, if it is beyond the end of the file; else no more than `size`.

    Other boxes are not counted: cameras append bytes that are no boxes.
    """
    at = 0
    while at < size:
        file.seek(at)
        head = file.read(16)
        length = int.from_bytes(head[8:16] if head[:4] == b"\0\0\0\1" else head[:4], "big")
        if length < 8 or at + length > size:
            return at + length if head[4:8] in (b"mdat", b"moov") else 0
        at += length
    return at


def _segment(head: bytes) -> int:
    """The end of Matroska's segment, which holds all but the header; 0 if its length is unknown."""
    at = 4 + sum(_number(head[4:]))
    if head[at : at + 4] != SEGMENT:
        return 0
    width, length = _number(head[at + 4 :])
    return 0 if length == (1 << 7 * width) - 1 else at + 4 + width + length


def _number(data: bytes) -> tuple[int, int]:
    """An EBML number: its width in bytes, which is one more than the leading zeros of the first byte, and its value."""
    width = 9 - data[0].bit_length() if data else 1
    return width, int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
