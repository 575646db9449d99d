"""What the training loop needs of its data, and the random numbers that its samplers use."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.types import Images, References, Targets


class LabeledBatch(Protocol):
    """Images, their ground truth, and the id of each image in its data set."""

    @property
    def images(self) -> Images: ...

    @property
    def targets(self) -> Targets: ...

    @property
    def ids(self) -> tuple[int | str, ...]: ...


class TrainingBatch(NamedTuple):
    """A `LabeledBatch` of the training loop."""

    images: Images
    targets: Targets
    ids: tuple[int | str, ...]


class BatchStream(Protocol):
    """Endless batches, one for each update.

    `position` is where the next batch starts, as JSON data; `seek` moves there. The same position always gives the same
    batch, or in a process group this process's share of it. `mixed`: a batch may hold landscape and portrait images.
    """

    position: Any

    @property
    def mixed(self) -> bool: ...

    def seek(self, position: Any) -> None: ...

    def __iter__(self) -> Iterator[LabeledBatch]: ...


class Noise:
    """Uniform numbers [B, N] in 0..1, determined by seed, update and image, but not by the batch that an image is in.

    N is the largest number of references that any stage of `detector` has on this canvas, including ground truth that
    is appended to proposals.
    """

    def __init__(self, detector: Detector, seed: int):
        with torch.device("meta"):
            self.meta_detector = Detector(detector.spec).eval()  # trainable norms refuse maps of one cell
        self.seed = seed
        self.anchors: dict[tuple[int, ...], int] = {}

    def __call__(self, step: int, batch: LabeledBatch) -> Tensor:
        """Float32, on the CPU."""
        count = max(self._anchors(batch.images), self._proposals(batch.targets))
        return torch.stack([uniform(self.seed, step, image, count) for image in batch.ids])

    def _anchors(self, images: Images) -> int:
        height, width = images.pixels.shape[-2:]
        if (height, width) not in self.anchors:
            self.anchors[height, width] = sum(self._references(height, width).counts)
        return self.anchors[height, width]

    def _references(self, height: int, width: int) -> References:
        """On the meta device: only shapes, no computation."""
        with torch.device("meta"):
            maps = self.meta_detector.features(Images(torch.empty(1, 3, height, width), torch.empty(1, 2)))
            return self.meta_detector.spec.anchors(maps, (height, width))

    def _proposals(self, targets: Targets) -> int:
        earlier = self.meta_detector.spec.stages[:-1]
        keeps = [(stage.train_select or stage.select).keep or 0 for stage in earlier]
        return max(keeps, default=0) + max(len(earlier), 1) * targets.boxes.shape[1]


def uniform(seed: int, step: int, image: int | str, count: int) -> Tensor:
    """`count` numbers in 0..1 that depend only on seed, update and image."""
    key = hashlib.sha256(repr((seed, step, image)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big", signed=True))
    return torch.rand(count, generator=generator)


def to_device(batch: LabeledBatch, device: torch.device) -> TrainingBatch:
    """The batch with its tensors on `device`."""
    return TrainingBatch(*_map_tensors(batch, lambda tensor: tensor.to(device, non_blocking=True)), batch.ids)


def one_image(batch: LabeledBatch, index: int) -> TrainingBatch:
    """The batch of image `index` alone."""
    return select_images(batch, [index])


def cycle_images(batch: LabeledBatch, count: int) -> TrainingBatch:
    """The first `count` images of the batch, starting again from the first if it has fewer."""
    return select_images(batch, [index % len(batch.ids) for index in range(count)])


def split_batch(batch: LabeledBatch, count: int) -> tuple[TrainingBatch, ...]:
    """The batch in `count` parts of equal size, in order."""
    size = len(batch.ids) // count
    return tuple(select_images(batch, range(start, start + size)) for start in range(0, count * size, size))


def select_images(batch: LabeledBatch, indices: Sequence[int]) -> TrainingBatch:
    """The batch of the images at `indices`."""
    ids = tuple(batch.ids[index] for index in indices)
    return TrainingBatch(*_map_tensors(batch, lambda tensor: tensor[list(indices)]), ids)


def list_names(names: Sequence[int | str], max_names: int = 8) -> str:
    """The first names for a message, and how many more there are."""
    more = f" and {len(names) - max_names} more" if len(names) > max_names else ""
    return ", ".join(map(str, names[:max_names])) + more


def _map_tensors(batch: LabeledBatch, change: Callable[[Tensor], Tensor]) -> tuple[Images, Targets]:
    boxes, labels, valid, crowd, *masks = batch.targets
    changed = (None if each is None else change(each) for each in masks)
    return Images(*map(change, batch.images)), Targets(*map(change, (boxes, labels, valid, crowd)), *changed)
