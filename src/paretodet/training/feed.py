"""What training asks of data, and the noise of its random samples."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.types import Images, References, Targets


class LabeledBatch(Protocol):
    """What data gives: canvases, their ground truth, and what the data set calls each image."""

    @property
    def images(self) -> Images: ...

    @property
    def targets(self) -> Targets: ...

    @property
    def ids(self) -> tuple[int | str, ...]: ...


class TrainingBatch(NamedTuple):
    """What training works with."""

    images: Images
    targets: Targets
    ids: tuple[int | str, ...]


class BatchStream(Protocol):
    """Batches without end, one an update. `position` is where the next begins, as JSON can hold it; `seek` goes there.

    The same position gives the same batch, whoever asks; where processes share it, each its share. `mixed`: some may
    hold images that lie and images that stand.
    """

    position: Any

    @property
    def mixed(self) -> bool: ...

    def seek(self, position: Any) -> None: ...

    def __iter__(self) -> Iterator[LabeledBatch]: ...


class Noise:
    """Uniform numbers [B, N] in 0..1, keyed by seed, step and image: the same whichever batch an image is in.

    N is the largest number of references of a stage of `detector` on this canvas, with ground truth that joins.
    """

    def __init__(self, detector: Detector, seed: int):
        with torch.device("meta"):
            self.shape = Detector(detector.spec).eval()  # norms in training refuse maps of one cell
        self.seed = seed
        self.anchors: dict[tuple[int, ...], int] = {}

    def __call__(self, step: int, batch: LabeledBatch) -> Tensor:
        """On the CPU, float32."""
        count = max(self._anchors(batch.images), self._later(batch.targets))
        return torch.stack([uniform(self.seed, step, image, count) for image in batch.ids])

    def _anchors(self, images: Images) -> int:
        height, width = images.pixels.shape[-2:]
        if (height, width) not in self.anchors:
            self.anchors[height, width] = sum(self._references(height, width).counts)
        return self.anchors[height, width]

    def _references(self, height: int, width: int) -> References:
        """Shapes alone: nothing is computed."""
        with torch.device("meta"):
            maps = self.shape.features(Images(torch.empty(1, 3, height, width), torch.empty(1, 2)))
            return self.shape.spec.anchors(maps, (height, width))

    def _later(self, targets: Targets) -> int:
        earlier = self.shape.spec.stages[:-1]
        keeps = [(stage.train_select or stage.select).keep or 0 for stage in earlier]
        return max(keeps, default=0) + max(len(earlier), 1) * targets.boxes.shape[1]


def uniform(seed: int, step: int, image: int | str, count: int) -> Tensor:
    """`count` numbers in 0..1 that only these three decide."""
    key = hashlib.sha256(repr((seed, step, image)).encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(key[:8], "big", signed=True))
    return torch.rand(count, generator=generator)


def to_device(batch: LabeledBatch, device: torch.device) -> TrainingBatch:
    """The batch's tensors on `device`."""
    return TrainingBatch(*_each(batch, lambda tensor: tensor.to(device, non_blocking=True)), batch.ids)


def one_image(batch: LabeledBatch, index: int) -> TrainingBatch:
    """The batch of image `index` alone."""
    return _rows(batch, [index])


def turns(batch: LabeledBatch, count: int) -> TrainingBatch:
    """The batch's first `count` images, beginning again where there are fewer."""
    return _rows(batch, [index % len(batch.ids) for index in range(count)])


def parts(batch: LabeledBatch, count: int) -> tuple[TrainingBatch, ...]:
    """The batch in `count` parts of equal size, in order."""
    each = len(batch.ids) // count
    return tuple(_rows(batch, range(start, start + each)) for start in range(0, count * each, each))


def _rows(batch: LabeledBatch, rows: Sequence[int]) -> TrainingBatch:
    return TrainingBatch(*_each(batch, lambda tensor: tensor[list(rows)]), tuple(batch.ids[row] for row in rows))


def _each(batch: LabeledBatch, change: Callable[[Tensor], Tensor]) -> tuple[Images, Targets]:
    boxes, labels, valid, crowd, *shapes = batch.targets
    known = (None if each is None else change(each) for each in shapes)
    return Images(*map(change, batch.images)), Targets(*map(change, (boxes, labels, valid, crowd)), *known)


def joined(ids: Sequence[int | str], most: int = 8) -> str:
    """Image names for a sentence."""
    more = f" and {len(ids) - most} more" if len(ids) > most else ""
    return ", ".join(str(image) for image in ids[:most]) + more
