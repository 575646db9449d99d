"""Labels of many images in a few flat arrays, and one labeled image of them.

A million Python objects would take gigabytes, and every worker would copy them when it counts references; arrays stay
shared between forked workers and are as large as the numbers in them.
"""

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

import numpy as np

from paretodet.errors import ErrorId
from paretodet.labels.misread import Misreading
from paretodet.labels.rle import Polygons, Runs, Size, unpack

MAX_BOXES = 128  # of an image: training takes the largest
ABSENT, PARTIAL = "neg_category_ids", "not_exhaustive_category_ids"  # LVIS's fields of an image
NO_ID = -(2**63)  # in place of an annotation's id that is missing or not a whole number


class Purpose(Enum):
    """What labels are read for, which decides what they must hold."""

    TRAIN = "train"  # every image has a file and a size; boxes end at the image's border and have an area
    PREDICT = "predict"  # images have files that are opened; boxes are scored as they are written
    SCORE = "score"  # finished detections are scored: no file is opened, sizes are optional


class SkipKind(Enum):
    """What a reader left out; the value follows its number in a sentence."""

    IMAGE = "images of {} cannot be used"
    ANNOTATION = "annotations of {} cannot be used"
    OUTLINE = "outlines of {} cannot be used, their boxes stay"
    SPLIT = "splits of {} are not there"


class Skipped(NamedTuple):
    """One thing that a reader left out."""

    file: Path
    place: str  # which annotation or image of the file; empty for the whole file
    reason: str
    kind: SkipKind = SkipKind.ANNOTATION
    id: ErrorId = "entry-unusable"

    def __str__(self) -> str:
        return f"{self.file}{self.place and ' ' + self.place}: {self.reason}"


class Mask(Protocol):
    """The outline of one object in pixels of its image, as its file has it."""

    def decode(self, size: Size) -> np.ndarray:
        """bool [H, W]. Raises ValueError if the mask was drawn for another size."""


class Sample(NamedTuple):
    """One image, not decoded, and what is in it. The arrays are read-only: samples share them."""

    image: Path
    id: int | str  # as the labels call the image
    size: Size  # as the labels state it
    boxes: np.ndarray  # [G, 4] float32 xyxy, half-open, in pixels of the image
    labels: np.ndarray  # [G] int64, 0..K-1
    crowd: np.ndarray  # [G] bool: not learned, not required to be detected, and no mistake if it is
    masks: tuple[Mask | None, ...] | None = None  # one a box, None for a box without one; None: no labels hold any


class ImageEntry(NamedTuple):
    """One image of the labels, without its boxes."""

    key: int  # COCO's id; else its number in the whole set, independent of the split that is read
    name: str  # its file, from the labels' folder; empty if the labels state none
    file: Path
    size: Size  # as the labels state it; a side that they do not state is 0


class Dataset(Protocol):
    """Samples by number."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the K classes."""

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The id of each class in the labels' file: COCO's sparse ids; 0..K-1 if the format has none."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample:
        """Raises IndexError outside of 0..len-1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Federated:
    """Which classes were looked for in which images (LVIS); the labels say nothing about the others.

    A class of an image that has no box there and is not in `absent` was not looked for.
    """

    absent: np.ndarray  # [P, 2] int64 image, class, by rising image: it is verified that the image has none of it
    partial: np.ndarray  # [Q, 2] int64 image, class, by rising image: some of its objects have no box
    frequency: tuple[str, ...]  # of each class: "r" rare, "c" common, "f" frequent; empty if the file states none

    def to_json(self, image: int, ids: Sequence[int]) -> dict[str, list[int]]:
        """LVIS's fields of an image; `ids` of the classes."""
        fields = {}
        for name, pairs in ((ABSENT, self.absent), (PARTIAL, self.partial)):
            start, end = np.searchsorted(pairs[:, 0], [image, image + 1]).tolist()
            fields[name] = [ids[label] for label in pairs[start:end, 1].tolist()]
        return fields


@dataclass(frozen=True, kw_only=True, eq=False)
class Labels:
    """A `Dataset`: `labels[index]` is a Sample. N images, M boxes, K classes. Boxes lie by image, in the file's order.

    `boxes` are inside of their image. Read for another purpose than training, they are not cut: `written` holds the
    file's numbers, and an image may have no name or no size.
    """

    labels: tuple[str, ...]
    category_ids: tuple[int, ...]
    folder: Path  # that the images' names start from
    names: bytes  # as the file system writes them, one after another
    name_ends: np.ndarray  # [N] int64
    keys: np.ndarray  # [N] int64; COCO's ids, else the images' numbers in the whole set, independent of the split
    text_ids: Mapping[int, str] = field(default_factory=dict)  # by key, where the file's ids of images are texts
    named: bool  # an image's id is its file's name without the suffix, and not its key
    sizes: np.ndarray  # [N, 2] int32 height, width; 0: not stated
    offsets: np.ndarray  # [N + 1] int64: boxes offsets[i]:offsets[i + 1] are those of image i
    boxes: np.ndarray  # [M, 4] float32 xyxy px
    classes: np.ndarray  # [M] int32
    crowd: np.ndarray  # [M] bool
    numbers: np.ndarray  # [M] int32: number of the box in its file, as `Skipped.place` counts
    outside: np.ndarray  # [M] float32 px: how far the box reached out of its image before it was cut
    written: np.ndarray | None = None  # [M, 4] float64 x, y, width, height px as in the file
    areas: np.ndarray | None = None  # [M] float64 px² as in the file, NaN if missing; None: the format has none
    ids: np.ndarray | None = None  # [M] int64 of the annotations, NO_ID if missing; None: the format has none
    ignored: np.ndarray | None = None  # [M] bool: marked `ignore`, and not obeyed; None: the format has no mark
    turned: np.ndarray | None = None  # [M] bool: the upright box around one that is drawn turned; None: none is
    outlines: bytearray | None  # as `rle.pack` packs, one after another, in the file's order; None: no box has one
    outline_spans: np.ndarray  # [M, 2] int64 start and end, equal for a box that has none
    federated: Federated | None = None
    misreading: Misreading | None = None  # if most boxes of the file are in another unit or form
    skip_counts: Mapping[SkipKind, int]  # of what was left out
    skipped: tuple[Skipped, ...]  # the first of each kind

    def __len__(self) -> int:
        return len(self.name_ends)

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"index: got {index}, the set has {len(self)} images")
        name, (height, width) = self.name(index), self.sizes[index].tolist()
        rows = slice(*self.offsets[index : index + 2].tolist())
        return Sample(
            image=self.folder / name,
            id=str(PurePosixPath(name).with_suffix("")) if self.named else self.image_id(int(self.keys[index])),
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

    def image(self, index: int) -> ImageEntry:
        """The image without its boxes."""
        name, (height, width) = self.name(index), self.sizes[index].tolist()
        return ImageEntry(int(self.keys[index]), name, self.folder / name, (height, width))

    def image_id(self, key: int) -> int | str:
        """The id that the file has for the image of this key."""
        return self.text_ids.get(key, key)

    def mask(self, row: int) -> Polygons | Runs | None:
        """The outline of box `row` of all."""
        masks = self._masks(slice(row, row + 1))
        return masks[0] if masks else None

    @property
    def categories(self) -> dict[int, str]:
        """Name by id."""
        return dict(zip(self.category_ids, self.labels, strict=True))

    @property
    def owners(self) -> np.ndarray:
        """[M] int64 each box's image."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    @property
    def xywh(self) -> np.ndarray:
        """[M, 4] float64 x, y, width, height px: as written, else of `boxes`."""
        if self.written is not None:
            return self.written
        boxes = self.boxes.astype(np.float64)
        return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])

    @property
    def outlined(self) -> np.ndarray:
        """[M] bool: which boxes have an outline."""
        return self.outline_spans[:, 1] > self.outline_spans[:, 0]

    def without_outlines(self) -> "Labels":
        return replace(self, outlines=None, outline_spans=np.zeros_like(self.outline_spans))

    def select(self, kept: np.ndarray) -> "Labels":
        """The images of `kept`, bool [N], with their boxes."""
        names = [os.fsencode(self.name(index)) for index in np.flatnonzero(kept).tolist()]
        counts = np.diff(self.offsets)
        rows = np.repeat(kept, counts)
        columns = (
            "boxes", "classes", "crowd", "numbers", "outside", "written", "areas", "ids", "ignored", "turned",
            "outline_spans",
        )  # fmt: skip
        held = {name: value for name in columns if (value := getattr(self, name)) is not None}
        return replace(
            self,
            names=b"".join(names),
            name_ends=np.cumsum([len(name) for name in names], dtype=np.int64),
            keys=self.keys[kept],
            sizes=self.sizes[kept],
            offsets=np.append(0, np.cumsum(counts[kept])),
            federated=self.federated and _of_images(self.federated, kept),
            **{name: value[rows] for name, value in held.items()},
        )

    @property
    def skips(self) -> int:
        """How many images, annotations and outlines were left out."""
        return sum(self.skip_counts.values())

    def left_out(self, labels: Path, images: Path | None = None) -> tuple[str, ...]:
        """One sentence for what is wrong with all boxes, one for those that are drawn turned, and one for each kind of
        what was left out of `labels`. `images` as in `left_out`.
        """
        first = {each.kind: str(each).removeprefix(f"{labels} ") for each in reversed(self.skipped)}
        misread = () if self.misreading is None else (f"{labels}: {self.misreading} (`{doctor(labels, images)}`)",)
        turned = (f"{labels}: {self.turning} (`{doctor(labels, images)}`)",) if self.turning else ()
        return (*misread, *turned) + tuple(
            left_out(number, kind.value.format(labels), first[kind], labels, images)
            for kind in SkipKind
            if (number := self.skip_counts.get(kind, 0))
        )

    @property
    def turning(self) -> str:
        """How many boxes are drawn turned, and what that means; empty if none is."""
        if self.turned is None or not (count := int(self.turned.sum())):
            return ""
        return (
            f"{count} of {len(self.boxes)} boxes are turned, and their angles are left out: the upright boxes around "
            "them are learned and scored"
        )

    @property
    def nbytes(self) -> int:
        """Memory of the arrays."""
        arrays = [value for value in vars(self).values() if isinstance(value, np.ndarray)]
        return sum(each.nbytes for each in arrays) + len(self.names) + len(self.outlines or b"")

    def _masks(self, rows: slice) -> tuple[Polygons | Runs | None, ...] | None:
        if (held := self.outlines) is None:
            return None
        spans = self.outline_spans[rows].tolist()
        return tuple(unpack(bytes(held[start:end])) if end > start else None for start, end in spans)


def left_out(number: int, kind: str, first: str, labels: Path, images: Path | None = None) -> str:
    """One sentence about many, with the command that lists all; `images` is the folder given beside the labels."""
    return f"{number} {kind}, the first: {first} (`{doctor(labels, images)}` lists all)"


def doctor(labels: Path, images: Path | None = None) -> str:
    """The command that examines them."""
    return shlex.join(["paretodet", "doctor", str(labels), *(["--image-root", str(images)] if images else [])])


def _of_images(known: Federated, kept: np.ndarray) -> Federated:
    places = np.cumsum(kept) - 1

    def pairs(values: np.ndarray) -> np.ndarray:
        mine = values[kept[values[:, 0]]]
        return np.stack([places[mine[:, 0]], mine[:, 1]], 1)

    return replace(known, absent=pairs(known.absent), partial=pairs(known.partial))
