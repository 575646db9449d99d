"""Outlines as COCO's files have them, polygons and run lengths: checked, packed into bytes, drawn, written.

https://cocodataset.org/#format-data. The only decoder of run lengths.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hotcoco import mask as runs

from paretodet.errors import InputError
from paretodet.images import MAX_PIXELS

Size = tuple[int, int]  # (height, width), px
MAX_OUTLINE = 2**22  # px: drawing takes memory by an outline's length
Rle = dict[str, Any]  # COCO's: "size" [height, width] and "counts", compressed text
Rings = Sequence[Sequence[float]]  # x, y, x, y, ... px each
_ONE_RING = struct.Struct("<II")
_NUMBERS = {int, float}
NOTHING: tuple[Any, ...] = (None, "", [], {})
FEW = 3  # elements of a list that may all be empty
THOUSANDTHS, EXACT, RUNS = b"T", b"D", b"R"


@dataclass(frozen=True, eq=False)
class Polygons:
    """Rings of x, y, x, y, ... in pixels, at least one."""

    rings: tuple[np.ndarray, ...]

    def decode(self, size: Size) -> np.ndarray:
        """bool [H, W]: the union of the rings, drawn as COCO draws them."""
        return draw([ring.tolist() for ring in self.rings], size)

    def area(self, size: Size) -> int:
        """px of what `decode` draws."""
        return area([ring.tolist() for ring in self.rings], size)

    def to_json(self) -> list[list[float]]:
        """As a COCO annotation's `segmentation`."""
        return [ring.tolist() for ring in self.rings]


@dataclass(frozen=True)
class Runs:
    """Lengths of zeros, ones, zeros, ... down the columns of an image of (height, width) `size`, as COCO's text."""

    size: Size
    text: bytes

    def decode(self, size: Size) -> np.ndarray:
        """bool [H, W]. Raises ValueError if `size` is another one."""
        if tuple(size) != self.size:
            raise InputError(
                f"segmentation: drawn for an image of {self.size} px (height, width), got {tuple(size)}",
                "mask-of-another-size",
            )
        lengths = run_lengths(self.text)
        return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(self.size[::-1]).T

    def area(self, size: Size) -> int:
        """px of what is drawn, in an image of any `size`."""
        return int(run_lengths(self.text)[1::2].sum())

    def to_json(self) -> Rle:
        """As a COCO annotation's `segmentation`."""
        return {"size": list(self.size), "counts": self.text.decode("ascii")}


def is_empty(outline: Any) -> bool:
    """Whether nothing is in it, nor in the lists in it."""
    if isinstance(outline, list):
        return len(outline) <= FEW and all(map(is_empty, outline))
    return outline in NOTHING or isinstance(outline, dict) and "counts" in outline and outline["counts"] in NOTHING


def pack(segmentation: Any) -> tuple[bytes, Size]:
    """A COCO annotation's `segmentation` -> bytes for `unpack`, and the size it was drawn for, (0, 0) for polygons.

    No bytes for what is empty. Raises ValueError that begins with "segmentation:".
    """
    if not segmentation or is_empty(segmentation):
        return b"", (0, 0)
    if isinstance(segmentation, dict):
        return _pack_runs(segmentation)
    if not isinstance(segmentation, list):
        raise InputError(
            f"segmentation: got {type(segmentation).__name__}, polygons or run lengths are needed", "mask-malformed"
        )
    return pack_rings([_ring(ring) for ring in segmentation]), (0, 0)


def pack_rings(rings: list[np.ndarray]) -> bytes:
    """float64 rings -> bytes. They take half of the memory if no coordinate is finer than a thousandth of a pixel.

    Raises ValueError for an outline that is longer than `MAX_OUTLINE` or not finite.
    """
    values = rings[0] if len(rings) == 1 else np.concatenate(rings)
    reach = float(np.maximum.reduce(np.abs(values)))  # numpy warns if the product is infinite
    if not 2 * len(values) * reach <= MAX_OUTLINE:  # never longer than that; not finite, too
        _check_outline(rings, reach)
    small = values.astype("<f4")
    short = _thousandths(small).tobytes() == values.tobytes()
    packed = small if short else values.astype("<f8")
    head = _ONE_RING.pack(1, len(values)) if len(rings) == 1 else _lengths(rings)
    return (THOUSANDTHS if short else EXACT) + head + packed.tobytes()


def unpack(packed: bytes) -> Polygons | Runs:
    """The inverse of `pack`, for at least one byte."""
    if packed[:1] == RUNS:
        return Runs(struct.unpack_from("<II", packed, 1), packed[9:])
    (count,) = struct.unpack_from("<I", packed, 1)
    lengths, start = struct.unpack_from(f"<{count}I", packed, 5), 5 + 4 * count
    exact = packed[:1] == EXACT
    values = np.frombuffer(packed, "<f8" if exact else "<f4", offset=start)
    rings = np.split(values if exact else _thousandths(values), np.cumsum(lengths)[:-1])
    return Polygons(tuple(rings))


def run_lengths(text: bytes) -> np.ndarray:
    """COCO's text -> int64 lengths: five bits a character, lowest first, the sixth bit is set if more follow; from the
    fourth length on the text holds the difference to the length two before.

    Raises ValueError for characters outside of the code, a text that ends within a number, and negative lengths.
    """
    digits = np.frombuffer(text, np.uint8).astype(np.int64) - 48
    if not len(digits) or digits.min() < 0 or digits.max() > 63:
        raise InputError("segmentation: counts holds characters that no run lengths have", "mask-malformed")
    last = np.flatnonzero(digits < 32)
    if not len(last) or last[-1] != len(digits) - 1:
        raise InputError("segmentation: counts is truncated, it ends within a number", "mask-malformed")
    first = np.concatenate([[0], last[:-1] + 1])
    if (last - first).max() > 6:
        raise InputError("segmentation: counts holds a number of more than seven characters", "mask-malformed")
    places = 5 * (np.arange(len(digits)) - np.repeat(first, last - first + 1))
    lengths = np.add.reduceat((digits & 31) << places, first)
    lengths -= np.where(digits[last] & 16, 1 << (5 * (last - first + 1)), 0)
    lengths[1::2], lengths[2::2] = lengths[1::2].cumsum(), lengths[2::2].cumsum()
    if lengths.min() < 0:
        raise InputError("segmentation: counts holds a negative run length", "mask-malformed")
    return lengths


def encode(mask: np.ndarray) -> Rle:
    """bool [H, W] -> run lengths that pycocotools reads, ready for JSON."""
    packed = runs.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": [int(side) for side in packed["size"]], "counts": packed["counts"].decode("ascii")}


def decode(rle: Rle) -> np.ndarray:
    """Run lengths -> bool [H, W]. Raises ValueError as `pack` does."""
    packed, size = pack(rle)
    return unpack(packed).decode(size)


def draw(rings: Rings, size: tuple[int, int]) -> np.ndarray:
    """bool [H, W]: the union of the rings, at least one, in an image of (height, width) `size`."""
    return np.asarray(runs.decode(_merged(rings, size))).astype(bool)


def area(rings: Rings, size: tuple[int, int]) -> int:
    """px of what `draw` draws."""
    return int(runs.area(_merged(rings, size)))


def bounds(rle: Rle) -> list[float]:
    """x, y, w, h px of the box around run lengths."""
    return [float(side) for side in runs.to_bbox(rle)]


def box_around(packed: bytes) -> list[float]:
    """x, y, w, h px of the box around an outline, of which there is at least one byte."""
    outline = unpack(packed)
    if isinstance(outline, Runs):
        return bounds(outline.to_json())
    points = np.concatenate(outline.rings).reshape(-1, 2)
    return [*points.min(0).tolist(), *np.ptp(points, 0).tolist()]


def compress(counts: list[int], size: tuple[int, int]) -> bytes:
    """Lengths of zeros, ones, zeros, ... that fill an image of (height, width) `size` -> COCO's text."""
    return bytes(runs.fr_py_objects({"size": list(size), "counts": counts}, *size)["counts"])


def _merged(rings: Rings, size: tuple[int, int]) -> Rle:
    return dict(runs.merge(runs.fr_py_objects([list(map(float, ring)) for ring in rings], *size)))


def _thousandths(values: np.ndarray) -> np.ndarray:
    """float64 of float32: the decimals that were written, up to three behind the point."""
    exact = values.astype(np.float64)
    exact *= 1000.0
    np.rint(exact, exact)
    exact /= 1000.0
    return exact


def _lengths(rings: list[np.ndarray]) -> bytes:
    return struct.pack(f"<{1 + len(rings)}I", len(rings), *map(len, rings))


def _check_outline(rings: list[np.ndarray], reach: float) -> None:
    length = reach
    if reach <= MAX_OUTLINE:
        length = sum(float(np.abs(np.diff(ring.reshape(-1, 2), axis=0)).sum()) for ring in rings)
    if not length <= MAX_OUTLINE:
        raise InputError(
            f"segmentation: an outline of {length:.0f} px; it must be finite and at most {MAX_OUTLINE} px",
            "mask-malformed",
        )


def _ring(ring: Any) -> np.ndarray:
    numbers = isinstance(ring, list) and set(map(type, ring)) <= _NUMBERS
    try:
        values = np.array(ring if numbers else (), np.float64)
    except OverflowError:
        values = np.zeros(0)
    if len(values) < 6 or len(values) % 2:
        raise InputError("segmentation: a polygon is a list of at least three x, y pairs of numbers", "mask-malformed")
    return values


def _pack_runs(segmentation: dict[Any, Any]) -> tuple[bytes, Size]:
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if not isinstance(size, list) or len(size) != 2 or not all(type(side) is int and side > 0 for side in size):
        raise InputError(f"segmentation: size is {size!r:.80}, height and width in pixels are needed", "mask-malformed")
    if (pixels := size[0] * size[1]) > MAX_PIXELS:
        raise InputError(f"segmentation: size is {size}, more than {MAX_PIXELS} pixels", "mask-malformed")
    text = counts.encode("utf-8", "surrogatepass") if isinstance(counts, str) else _text(counts, size)
    lengths = run_lengths(text)
    if lengths.max() > MAX_PIXELS:  # and no sum of what a file can hold passes 64 bits
        raise InputError("segmentation: counts holds a run longer than any image", "mask-malformed")
    if (covered := int(lengths.sum())) != pixels:
        raise InputError(f"segmentation: counts cover {covered} pixels, size {size} has {pixels}", "mask-malformed")
    return RUNS + struct.pack("<II", *size) + text, (size[0], size[1])


def _text(counts: Any, size: list[int]) -> bytes:
    """A list of lengths, or COCO's text as bytes, as COCO's text."""
    if isinstance(counts, bytes):
        return counts
    good = isinstance(counts, list) and all(type(each) is int and 0 <= each <= MAX_PIXELS for each in counts)
    if not good or sum(counts) != size[0] * size[1]:
        raise InputError(
            f"segmentation: counts are lengths that sum to the {size[0] * size[1]} pixels of size {size}",
            "mask-malformed",
        )
    return compress(counts, (size[0], size[1]))
