"""The labels of many images in a few flat arrays.

A million Python objects would take gigabytes and be copied into every worker when their reference counts are
touched; arrays stay shared between forked workers and are not larger than the numbers in them.
"""

import os
import shlex
import unicodedata
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from paretodet.labels.model import Mask, Sample, Size
from paretodet.labels.rle import unpack

KEPT_SKIPS = 1000
MAX_SIDE = 2**20  # px


def is_name(text: str) -> bool:
    """Whether it can be a name: not empty, and without characters that control a terminal or that no file holds."""
    return bool(text) and not any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


class Skipped(NamedTuple):
    """What a reader left out."""

    file: Path
    place: str  # which annotation or image of the file; empty for the whole file
    reason: str

    def __str__(self) -> str:
        return f"{self.file}{self.place and ' ' + self.place}: {self.reason}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """A `Dataset`: `annotations[index]` is a Sample. N images, M boxes."""

    labels: tuple[str, ...]
    category_ids: tuple[int, ...]
    folder: Path  # that the images' names start from
    names: bytes  # as the file system writes them, one after another
    name_ends: np.ndarray  # [N] int64
    keys: np.ndarray  # [N] int64; COCO's ids, else the images' places in the whole set, whichever split is read
    named: bool  # an image is called as its file, without the suffix, and not by its key
    sizes: np.ndarray  # [N, 2] int32 height, width
    offsets: np.ndarray  # [N + 1] int64: boxes offsets[i]:offsets[i + 1] are those of image i
    boxes: np.ndarray  # [M, 4] float32 xyxy px, inside of the image
    classes: np.ndarray  # [M] int32
    crowd: np.ndarray  # [M] bool
    numbers: np.ndarray  # [M] int32: where a box stands in its file, as `Skipped.place` counts
    outside: np.ndarray  # [M] float32 px: how far the box reached out of its image before it was cut
    outlines: bytearray | None  # as `masks.pack` packs, one after another, in the file's order; None: no box has one
    outline_spans: np.ndarray  # [M, 2] int64 start and end, the same where a box has none
    skips: int  # annotations and images left out
    skipped: tuple[Skipped, ...]  # the first of them

    def __len__(self) -> int:
        return len(self.name_ends)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index: got {index}, the set has {len(self)} images")
        name, (height, width) = self.name(index), self.sizes[index].tolist()
        rows = slice(*self.offsets[index : index + 2].tolist())
        return Sample(
            image=self.folder / name,
            id=str(PurePosixPath(name).with_suffix("")) if self.named else int(self.keys[index]),
            size=(height, width),
            boxes=self.boxes[rows],
            labels=self.classes[rows].astype(np.int64),
            crowd=self.crowd[rows],
            masks=self._masks(rows),
        )

    def name(self, index: int) -> str:
        """The image's file, from `folder`."""
        start = int(self.name_ends[index - 1]) if index else 0
        return os.fsdecode(self.names[start : int(self.name_ends[index])])

    def left_out(self, labels: Path, images: Path | None = None) -> tuple[str, ...]:
        """What was skipped of the `labels`, in one sentence; none where nothing was. `images` as in `left_out`."""
        kind = f"labels, outlines or images of {labels} cannot be used"
        return (left_out(self.skips, kind, str(self.skipped[0]), labels, images),) if self.skips else ()

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        arrays = [value for value in vars(self).values() if isinstance(value, np.ndarray)]
        return sum(each.nbytes for each in arrays) + len(self.names) + len(self.outlines or b"")

    def _masks(self, rows: slice) -> tuple[Mask | None, ...] | None:
        if (held := self.outlines) is None:
            return None
        spans = self.outline_spans[rows].tolist()
        return tuple(unpack(bytes(held[start:end])) if end > start else None for start, end in spans)


class LabelsBuilder:
    """Annotations as they are read, in any order: images and boxes find each other by the images' keys.

    `place(name, number)` says where box `number` stands; `name` is its image's, None where there is no such image.
    """

    def __init__(self, folder: Path, place: Callable[[str | None, int], tuple[Path, str]]):
        self.folder, self.skips, self.skipped = folder, 0, list[Skipped]()
        self._place = place
        self._names, self._name_ends = bytearray(), array("q")
        self._keys, self._sizes = array("q"), array("i")
        self._owners, self._classes, self._numbers = array("q"), array("q"), array("q")
        self._boxes, self._crowd = array("d"), array("b")
        self._outlines, self._outline_ends, self._outline_sizes = bytearray(), array("q"), array("i")

    def image(self, name: str, key: int, size: Size) -> None:
        """Raises ValueError where the name leaves its folder or the size is none."""
        check_inside(name)
        self.listed_image(name, key, size)

    def listed_image(self, name: str, key: int, size: Size) -> None:
        """An image that the user's own list names, wherever it lies."""
        if not all(1 <= side <= MAX_SIDE for side in size):
            raise ValueError(f"height, width {tuple(size)}: each is 1 to {MAX_SIDE} px")
        self._names += os.fsencode(name)
        self._name_ends.append(len(self._names))
        self._keys.append(key)
        self._sizes.extend(size)

    def box(
        self,
        owner: int,
        category: int,
        corners: Sequence[float],
        *,
        number: int,
        crowd: bool = False,
        outline: tuple[bytes, Size] = (b"", (0, 0)),
    ) -> None:
        """One box of the image of key `owner`, of the category with this key, and its packed mask."""
        self._owners.append(owner)
        self._classes.append(category)
        self._boxes.extend(corners)
        self._numbers.append(number)
        self._crowd.append(crowd)
        self._outlines += outline[0]
        self._outline_ends.append(len(self._outlines))
        self._outline_sizes.extend(outline[1])

    def skip(self, file: Path, place: str, reason: str) -> None:
        self.skips += 1
        if len(self.skipped) < KEPT_SKIPS:
            self.skipped.append(Skipped(file, place, reason))

    def build(self, categories: dict[int, str], *, source: Path, named: bool = False) -> Labels:
        """Labels are numbered in the order of `categories` (key -> name). `named`: images are called as their files,
        not by their keys.

        Raises ValueError where nothing is left, naming `source` and the first reasons.
        """
        if not self._name_ends:
            raise ValueError(
                f"labels: {source} has no usable image" + "".join(f"; {each}" for each in self.skipped[:3])
            )
        keys, sizes = _flat(self._keys), _flat(self._sizes).reshape(-1, 2)
        owners, known_image = _positions(keys, _flat(self._owners))
        classes, known_class = _positions(np.array(list(categories), np.int64), _flat(self._classes))
        boxes = _flat(self._boxes).reshape(-1, 4)
        clipped = _clipped(boxes, sizes[owners]) if len(boxes) else boxes
        good = self._sift(boxes, clipped, owners, sizes, known_image, known_class)
        order = good[np.argsort(owners[good], kind="stable")]
        spans = self._spans(order, sizes[owners[order]], owners[order])
        return Labels(
            labels=tuple(categories.values()),
            category_ids=tuple(range(len(categories))) if named else tuple(categories),
            folder=self.folder,
            names=bytes(self._names),
            name_ends=_fixed(_flat(self._name_ends)),
            keys=_fixed(keys),
            named=named,
            sizes=_fixed(sizes.astype(np.int32)),
            offsets=_fixed(np.searchsorted(owners[order], np.arange(len(keys) + 1))),
            boxes=_fixed(clipped[order].astype(np.float32)),
            classes=_fixed(classes[order].astype(np.int32)),
            crowd=_fixed(_flat(self._crowd).astype(bool)[order]),
            numbers=_fixed(_flat(self._numbers)[order].astype(np.int32)),
            outside=_fixed(np.abs(boxes[order] - clipped[order]).max(1, initial=0).astype(np.float32)),
            outlines=self._outlines if spans.any() else None,
            outline_spans=_fixed(spans),
            skips=self.skips,
            skipped=tuple(self.skipped),
        )

    def _sift(
        self,
        boxes: np.ndarray,
        clipped: np.ndarray,
        owners: np.ndarray,
        sizes: np.ndarray,
        known_image: np.ndarray,
        known_class: np.ndarray,
    ) -> np.ndarray:
        """The numbers of the good rows; the others are skipped with the first reason that fits."""
        faults = (
            (~known_image, "its image is not among the images"),
            (~known_class, "its category is not among the categories"),
            (~np.isfinite(boxes).all(1), "the box holds a number that is not finite"),
            ((boxes[:, 2:] < boxes[:, :2]).any(1), "the box has swapped corners or a negative side"),
            ((boxes[:, 2:] == boxes[:, :2]).any(1), "the box has no area"),
            ((clipped[:, 2:] <= clipped[:, :2]).any(1), "no part of the box is inside of its image"),
        )
        bad = np.zeros(len(boxes), bool)
        for fault, reason in faults:
            for row in np.flatnonzero(fault & ~bad).tolist():
                self._skip_row(row, self._name(owners[row]) if known_image[row] else None, reason)
            bad |= fault
        return np.flatnonzero(~bad)

    def _spans(self, rows: np.ndarray, sizes: np.ndarray, owners: np.ndarray) -> np.ndarray:
        """[len(rows), 2] where each row's outline lies. One of another size is left out, its box stays."""
        drawn, ends = _flat(self._outline_sizes).reshape(-1, 2)[rows], _flat(self._outline_ends)
        spans = np.stack([np.append(0, ends)[:-1], ends], 1)[rows]
        torn = (drawn > 0).any(1) & (drawn != sizes).any(1)
        for row, owner in zip(rows[torn].tolist(), owners[torn].tolist(), strict=True):
            self._skip_row(row, self._name(owner), "the mask was drawn for another size than its image's")
        spans[torn] = 0
        return spans

    def _skip_row(self, row: int, name: str | None, reason: str) -> None:
        self.skip(*self._place(name, self._numbers[row]), reason)

    def _name(self, index: int) -> str:
        start = self._name_ends[index - 1] if index else 0
        return os.fsdecode(bytes(self._names[start : self._name_ends[index]]))


def left_out(number: int, kind: str, first: str, labels: Path, images: Path | None = None) -> str:
    """One sentence about many, and who lists them; `images` is the folder that was given beside the labels."""
    return f"{number} {kind}, the first: {first} (`{doctor(labels, images)}` lists all)"


def doctor(labels: Path, images: Path | None = None) -> str:
    """The command that examines them."""
    return shlex.join(["paretodet", "doctor", str(labels), *(["--images", str(images)] if images else [])])


def check_inside(name: str) -> None:
    """Raises ValueError where an image's file name leaves the folder that it starts from."""
    if not name or name.startswith(("/", "\\")) or ".." in PurePosixPath(name.replace("\\", "/")).parts:
        raise ValueError(f"file name {name!r} leaves the folder of the images")


def _positions(keys: np.ndarray, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each of `wanted` stands in `keys`, 0 where it does not, and whether it does."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    order = np.argsort(keys, kind="stable")
    near = np.searchsorted(keys[order], wanted).clip(max=len(keys) - 1)
    known = keys[order][near] == wanted
    return np.where(known, order[near], 0), known


def _clipped(boxes: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """boxes [M, 4] into their images of sizes [M, 2]."""
    return np.clip(boxes, 0, np.tile(sizes[:, ::-1], 2)).astype(np.float32)


def _flat(column: "array[Any]") -> np.ndarray:
    """The column's own memory."""
    return np.frombuffer(column, column.typecode)


def _fixed(values: np.ndarray) -> np.ndarray:
    values = values if values.flags.writeable and values.base is None else values.copy()
    values.flags.writeable = False
    return values
