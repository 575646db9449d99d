"""Batches of samples: an endless, repeatable stream that resumes from one number.

Batch number `step` depends only on the data, the `Batching`, its seed and the step, not on the number of workers or on
earlier batches. An epoch is a permutation of the images; if its last batch is too short, the first images of the epoch
fill it. If a canvas has the orientation of its image (`ShortSide`), a batch holds images of one orientation, except for
one batch per epoch.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, groupby
from typing import NamedTuple

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as Numbered

from paretodet.errors import InputError
from paretodet.images import ImageError, other_size, read_image
from paretodet.labels.model import MAX_BOXES, Dataset, Labels, Sample
from paretodet.loader.targets import SIDE, Truth, pad, truth
from paretodet.transforms.augment import Augmentation, Chain, generator
from paretodet.transforms.resize_policy import FittedImage, ResizePolicy, ShortSide
from paretodet.transforms.short_side import Size
from paretodet.transforms.view import render, whole
from paretodet.types import Images, Targets

FORK = "fork" if sys.platform == "linux" else None  # workers share the labels' memory; elsewhere each has a copy

UNREADABLE = "images that cannot be read"
OTHER_SIZE = "images of another size than their labels say"
NO_AREA = "boxes that are not finite or have no area inside their image"
TOO_MANY = "boxes beyond the limit per image, the smallest"
UNREADABLE_MASK = "masks that cannot be read, their boxes stay"


class LeftOut(NamedTuple):
    """What was left out of one image."""

    kind: str
    image: str
    number: int = 1
    reason: str = ""


Notes = dict[tuple[str, str], LeftOut]  # by kind and image: an image is counted once


class Batch(NamedTuple):
    """The input and the targets of one update, with the ids of the images in the data set."""

    images: Images  # pixels channels-last
    targets: Targets
    ids: tuple[int | str, ...]
    notes: tuple[LeftOut, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Batching:
    """How samples become batches.

    Args:
        fits: Resize policies; one is drawn at random every `hold` batches. Several make multi-scale training.
        images: Images in a batch, over all processes.
        augmentation: What is done to an image before it is resized.
        masks: Side of a mask's crop in cells; None for no masks.
        most: Boxes per image at most.
        hold: Batches for which a drawn resize policy is kept.
        seed: Of the order of the images, of the policies and of the augmentation.
    """

    fits: tuple[ResizePolicy, ...]
    images: int
    augmentation: Augmentation = Chain()
    masks: int | None = None
    most: int = MAX_BOXES
    hold: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.fits:
            raise ValueError("fits: got none, a batch needs at least one")
        for name in ("images", "most", "hold"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: got {getattr(self, name)}, allowed 1 or more")


class Batches:
    """An endless stream of batches. `position` counts the batches that were produced; `seek` sets it for the next loop.

    `shard` is (rank, processes). `gather` returns the notes of all processes, by rank. What is left out is counted and
    reported to `tell` once, after a whole epoch.
    """

    def __init__(
        self,
        data: Dataset,
        choices: Batching,
        *,
        shard: tuple[int, int] = (0, 1),
        workers: int = 0,
        pin: bool = False,
        tell: Callable[[str], None] = warnings.warn,
        gather: Callable[[Notes], list[Notes]] = lambda notes: [notes],
    ) -> None:
        """Raises ValueError if no image has a usable box, or if the processes cannot share a batch evenly."""
        rank, processes = shard
        if not 0 <= rank < processes:
            raise ValueError(f"shard: got {shard}, allowed a rank below the number of processes")
        if choices.images % processes:
            raise InputError(
                f"processes: got {processes}, allowed a divisor of the {choices.images} images of a batch",
                "batch-unfit",
            )
        if not any(map(usable, (data[index] for index in range(len(data))))):
            raise InputError(
                f"data: got no usable box in {len(data)} images, at least one is needed to learn", "labels-none"
            )
        self.position = 0
        self._maker = _Maker(data, choices, shard)
        self._workers, self._pin, self._tell, self._gather = workers, pin, tell, gather
        self._notes: Notes = {}
        self._reported = False

    def seek(self, position: int) -> None:
        """Start the next loop with batch number `position`."""
        if position < 0:
            raise ValueError(f"position: got {position}, allowed 0 or more")
        self.position = position

    @property
    def epoch_length(self) -> int:
        """Batches per epoch."""
        return self._maker.epoch_length

    @property
    def mixed(self) -> bool:
        """Whether landscape and portrait images may share a batch, which then has the largest canvas."""
        return self._maker.mixed

    def __iter__(self) -> Iterator[Batch]:
        loader = DataLoader(
            self._maker,
            batch_size=None,
            sampler=count(self.position),
            num_workers=self._workers,
            pin_memory=self._pin,
            multiprocessing_context=FORK if self._workers else None,
            generator=torch.Generator().manual_seed(0),  # without it, creating the loader advances torch's generator
        )
        first = self.position
        for batch in loader:
            if isinstance(batch, ImageError):
                raise batch
            self.position += 1
            self._notes |= {(note.kind, note.image): note for note in batch.notes}
            if self.position - first >= self.epoch_length:
                self.tell_left_out()
            yield batch

    def report(self) -> tuple[str, ...]:
        """One sentence per kind of what was left out so far. After `tell_left_out` it covers all processes, and the
        sentences do not depend on their number.
        """
        notes = [self._notes[key] for key in sorted(self._notes)]
        return tuple(_sentence(list(same)) for _, same in groupby(notes, key=lambda note: note.kind))

    def tell_left_out(self) -> None:
        """Report what all processes left out, once. Every process must call it, because it gathers."""
        if self._reported:
            return
        self._reported = True
        for notes in self._gather(self._notes):
            self._notes |= notes
        for sentence in self.report():
            self._tell(sentence)


def canvases(fit: ResizePolicy, canvas: Size) -> tuple[Size, ...]:
    """The canvases that a batch may have, the smallest first, if one of its images needs `canvas`."""
    if not isinstance(fit, ShortSide):
        return (canvas,)
    short, long = (-(-side // fit.multiple) * fit.multiple for side in (fit.short, fit.long))
    return (short, long), (long, short), (long, long)


def usable(sample: Sample) -> bool:
    """Whether a detector can learn from the sample: it has a box with an area inside the image that is no crowd."""
    height, width = sample.size
    boxes = sample.boxes.clip(0, np.array([width, height] * 2, np.float32))
    return bool((np.all(boxes[:, 2:] > boxes[:, :2], axis=1) & ~sample.crowd).any())


class _Item(NamedTuple):
    fitted: FittedImage
    truth: Truth
    id: int | str
    notes: tuple[LeftOut, ...]


class _Maker(Numbered[Batch | ImageError]):
    """step -> batch. It returns an error instead of raising it, because torch adds a traceback to a worker's error."""

    def __init__(self, data: Dataset, choices: Batching, shard: tuple[int, int]) -> None:
        self._data, self._choices, self._shard = data, choices, shard
        self.epoch_length = -(-len(data) // choices.images)
        grouped = any(isinstance(fit, ShortSide) for fit in choices.fits)
        self._tall = _tall(data) if grouped else np.zeros(len(data), bool)
        self.mixed = _mixed(self._tall)
        self._order: tuple[int, np.ndarray] | None = None

    def __getitem__(self, step: int) -> Batch | ImageError:
        try:
            return self._batch(step)
        except ImageError as error:
            return error

    def _batch(self, step: int) -> Batch:
        epoch, number = divmod(step, self.epoch_length)
        rank, processes = self._shard
        fit, row = self._fit(step), self._epoch(epoch)[number]
        items = [self._readable(int(index), epoch, fit) for index in row[rank::processes]]
        return Batch(
            images=_images([item.fitted for item in items], fit, mixed=_mixed(self._tall[row])),
            targets=pad([item.truth for item in items], self._choices.most),
            ids=tuple(item.id for item in items),
            notes=tuple(note for item in items for note in item.notes),
        )

    def _fit(self, step: int) -> ResizePolicy:
        fits = self._choices.fits
        drawn = generator(self._choices.seed, 0, step // self._choices.hold, "canvas").integers(len(fits))
        return fits[int(drawn)]

    def _epoch(self, epoch: int) -> np.ndarray:
        """Numbers of the images, [batches, images of a batch]."""
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._shuffled(epoch)
        return self._order[1]

    def _shuffled(self, epoch: int) -> np.ndarray:
        noise = generator(self._choices.seed, epoch, "", "order")
        shape = (self.epoch_length, self._choices.images)
        order = np.resize(noise.permutation(len(self._data)), shape[0] * shape[1])
        order = order[np.argsort(self._tall[order], kind="stable")]
        return noise.permutation(order.reshape(shape)) if self._tall.any() else order.reshape(shape)

    def _readable(self, index: int, epoch: int, fit: ResizePolicy) -> _Item:
        """The image, or the next one that can be read. Raises ImageError if none can be read."""
        skipped: list[LeftOut] = []
        for number in range(len(self._data)):
            sample = self._data[(index + number) % len(self._data)]
            pixels = _pixels(sample)
            if not isinstance(pixels, LeftOut):
                return self._item(sample, pixels, epoch, fit, tuple(skipped))
            skipped.append(pixels)
        raise ImageError(f"data: none of {len(self._data)} images can be used; {skipped[0].reason}", "images-none")

    def _item(
        self, sample: Sample, pixels: np.ndarray, epoch: int, fit: ResizePolicy, notes: tuple[LeftOut, ...]
    ) -> _Item:
        choices = self._choices
        view = whole(pixels, sample)
        usable = len(view.boxes)
        noise = generator(choices.seed, epoch, sample.id)
        view = choices.augmentation(view, noise)
        masks = sample.masks if choices.masks else None
        target = truth(view, fit, masks=masks, most=choices.most, side=choices.masks or SIDE)
        lost = (
            (NO_AREA, len(sample.boxes) - usable),
            (TOO_MANY, target.dropped),
            (UNREADABLE_MASK, target.unreadable_masks),
        )
        notes += tuple(LeftOut(kind, str(sample.image), number) for kind, number in lost if number)
        return _Item(render(view, fit), target, sample.id, notes)


def _tall(data: Dataset) -> np.ndarray:
    """bool [N]: which images are higher than wide."""
    if isinstance(data, Labels):  # without unpacking a million outlines
        return data.sizes[:, 0] > data.sizes[:, 1]
    return np.array([height > width for height, width in (data[index].size for index in range(len(data)))])


def _mixed(tall: np.ndarray) -> bool:
    return bool(tall.any() and not tall.all())


def _pixels(sample: Sample) -> np.ndarray | LeftOut:
    try:
        pixels = read_image(sample.image)
    except ImageError as error:
        return LeftOut(UNREADABLE, str(sample.image), reason=error.message)
    if reason := other_size(sample.image, pixels, sample.size):
        return LeftOut(OTHER_SIZE, str(sample.image), reason=reason)
    return pixels


def _images(fitted: Sequence[FittedImage], fit: ResizePolicy, *, mixed: bool) -> Images:
    """The images on the smallest canvas that holds all of them, channels-last in memory. A batch with landscape and
    portrait images is `mixed`: every process uses the largest canvas, whatever images it has itself.
    """
    needed = np.max([item.canvas.shape[:2] for item in fitted], axis=0)
    options = canvases(fit, (int(needed[0]), int(needed[1])))
    enough = [size for size in options if size[0] >= needed[0] and size[1] >= needed[1]]
    height, width = enough[-1 if mixed else 0]
    pixels = np.full((len(fitted), height, width, 3), fit.background, np.uint8)
    for row, item in zip(pixels, fitted, strict=True):
        row[: item.canvas.shape[0], : item.canvas.shape[1]] = item.canvas
    sizes = torch.tensor([[item.height, item.width] for item in fitted], dtype=torch.float32)
    return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2), sizes)


def _sentence(notes: list[LeftOut]) -> str:
    number, first = sum(note.number for note in notes), notes[0]
    return f"left out {number} {first.kind}, in {len(notes)} files, the first {first.reason or first.image}"
