"""Times training against torchvision's, in alternating blocks: `python benchmarks/training.py`.

Needs torchvision. The same model with the same random weights is trained on the same images (drawn shapes in a folder,
flipped at random) with SGD in float32: by `Batches` and `Trainer` of this project, and by a loop like torchvision's
reference (a `DataLoader` of Pillow images; the loss is read at every update). Norms are frozen, and all convolutions
are trained, in both. The images nearly fill the canvas, so that both pad to the same size. The losses of one batch must
be equal before blocks of updates are timed. The loader's share is the time that a loop waits for its next batch:
without workers, all of reading and resizing.
"""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler
from torch.utils.data import Dataset as TorchDataset

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from rows import add_out, append

import record_torchvision_golden as dense
import record_torchvision_rcnn_golden as regions
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.labels.read import read_labels
from paretodet.loader.batches import Batch, Batches, Batching
from paretodet.loader.shapes import Shapes
from paretodet.training.inputs import Noise
from paretodet.training.optimizers import Sgd
from paretodet.training.recipe import Recipe
from paretodet.training.step import Trainer
from paretodet.transforms.published import REGIONS

RATE = 1e-6  # so small that the random weights hardly change and both losses stay equal
MOMENTUM, DECAY = 0.9, 1e-4
LONG_SIDE = 1333 / 800


class Case(NamedTuple):
    """A detector of this project and torchvision's equivalent."""

    name: str
    model: str
    first: int  # torchvision's number of label 0
    close: float  # relative tolerance of the losses


CASES = (
    Case("faster_rcnn_tv-resnet50-800x1344", "fasterrcnn_resnet50_fpn", 1, 0.02),
    Case("retinanet_tv-resnet50-800", "retinanet_resnet50_fpn", 0, 0.02),
    Case("ssd_tv-vgg16-300", "ssd300_vgg16", 1, 0.1),
)


class Block(NamedTuple):
    """Timing of some updates of one library."""

    seconds: float
    waited: float  # s spent waiting for batches
    images: int

    @property
    def rate(self) -> float:
        return self.images / self.seconds


def is_ssd(case: Case) -> bool:
    return case.model.startswith("ssd")


def ours(case: Case, side: int) -> Detector:
    """The detector with random weights; Faster R-CNN gets those of Mask R-CNN."""
    if is_ssd(case):
        return dense.ours(case.name)
    whole = regions.ours() if case.model.startswith("faster") else dense.ours(case.name)
    detector = Detector(spec(case.name, Override(height=side, width=side)))
    detector.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("mask_head.")})
    return detector


def theirs(case: Case, detector: Detector, side: int) -> Any:
    """torchvision's model with the detector's canvas, weights and frozen norms of the same epsilon."""
    from torchvision.models import detection

    sizes = {} if is_ssd(case) else {"min_size": side, "max_size": int(side * LONG_SIDE)}
    model: Any = getattr(detection, case.model)(weights=None, weights_backbone=None, **sizes)
    dense.load_torchvision(model, detector)
    freeze_norms(model)
    return model.train()


def freeze_norms(part: nn.Module) -> None:
    """Replace batch norms by frozen ones, as in torchvision's models with a pretrained backbone."""
    from torchvision.ops import FrozenBatchNorm2d

    for name, child in part.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, eps=0.0)
            frozen.load_state_dict(child.state_dict(), strict=False)
            setattr(part, name, frozen)
        else:
            freeze_norms(child)


class ImageFolder(TorchDataset[tuple[Tensor, dict[str, Tensor]]]):
    """The folder as torchvision's reference reads it, flipped at random: images in 0..1 with boxes and labels."""

    def __init__(self, labels: Path, first: int):
        truth = json.loads(labels.read_text())
        self.files = [labels.parent / "images" / image["file_name"] for image in truth["images"]]
        self.truths: list[list[tuple[list[float], int]]] = [[] for _ in self.files]
        for annotation in truth["annotations"]:
            label = annotation["category_id"] - 1 + first
            self.truths[annotation["image_id"] - 1].append((annotation["bbox"], label))

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, Tensor]]:
        with Image.open(self.files[index]) as file:
            pixels = torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1)
        boxes = torch.tensor([box for box, _ in self.truths[index]])
        boxes[:, 2:] += boxes[:, :2]
        if torch.rand(()) < 0.5:
            pixels = pixels.flip(-1)
            boxes[:, [0, 2]] = pixels.shape[-1] - boxes[:, [2, 0]]
        return pixels / 255, {"boxes": boxes, "labels": torch.tensor([label for _, label in self.truths[index]])}


def collate(samples: list[Any]) -> tuple[Any, ...]:
    return tuple(zip(*samples, strict=True))


class Ours:
    """The training loop of this project."""

    def __init__(self, case: Case, detector: Detector, labels: Path, options: argparse.Namespace):
        flips = Batching(fits=(detector.spec.fit,), images=options.images, augmentation=REGIONS)
        self.batches = iter(Batches(read_labels(labels), flips, workers=options.workers, tell=print))
        optimizer = Sgd(lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)
        self.trainer = Trainer(
            detector, Recipe(optimizer=optimizer, steps=10**6, batch=options.images), torch.device("cpu")
        )

    def update(self, batch: Batch) -> int:
        self.trainer.update((batch,))
        return len(batch.ids)


class Theirs:
    """torchvision's reference loop."""

    def __init__(self, case: Case, model: Any, labels: Path, options: argparse.Namespace):
        self.batches = self._endless(ImageFolder(labels, case.first), options)
        self.model = model
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(parameters, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def _endless(self, images: ImageFolder, options: argparse.Namespace) -> Iterator[Any]:
        sampler = BatchSampler(RandomSampler(images), options.images, drop_last=True)
        loader = DataLoader(images, batch_sampler=sampler, num_workers=options.workers, collate_fn=collate)
        for epoch in repeat(loader):
            yield from epoch

    def update(self, batch: Any) -> int:
        images, targets = batch
        losses = sum(self.model(list(images), [dict(t) for t in targets]).values())
        if not math.isfinite(losses.item()):
            raise RuntimeError(f"torchvision's loss is {losses.item()}")
        self.optimizer.zero_grad()
        losses.backward()
        self.optimizer.step()
        return len(images)


def block(loop: Ours | Theirs, updates: int) -> Block:
    start, waited, images = perf_counter(), 0.0, 0
    for _ in range(updates):
        requested = perf_counter()
        batch = next(loop.batches)
        waited += perf_counter() - requested
        images += loop.update(batch)
    return Block(perf_counter() - start, waited, images)


@torch.no_grad()
def check(case: Case, detector: Detector, model: Any, batch: Batch) -> None:
    """Check that the losses of one batch are equal if everything is sampled."""
    pixels, sizes = batch.images.pixels, batch.images.sizes.tolist()
    images = [p[:, : int(h), : int(w)] / 255 for p, (h, w) in zip(pixels, sizes, strict=True)]
    truths = [
        {"boxes": boxes[valid], "labels": labels[valid] + case.first}
        for boxes, labels, valid in zip(*batch.targets[:3], strict=True)
    ]
    with everything_sampled(detector, model):
        mine = detector.train().loss(batch.images, batch.targets, noise=Noise(detector, 0)(0, batch))
        other = model(images, truths)
    ours_, theirs_ = (sorted(float(term) for term in terms.values()) for terms in (mine, other))
    assert np.allclose(ours_, theirs_, rtol=case.close), (case.name, mine, other)


@contextmanager
def everything_sampled(detector: Detector, model: Any) -> Iterator[None]:
    """Replace the random samplers of two-stage detectors by ones that take everything."""
    original, parts = detector.spec, [getattr(model, name) for name in ("rpn", "roi_heads") if hasattr(model, name)]
    samplers = [part.fg_bg_sampler for part in parts]
    before = [dict(vars(sampler)) for sampler in samplers]
    if samplers:
        detector.spec = replace(original, stages=tuple(replace(s, sampler=regions.EVERYTHING) for s in original.stages))
    for sampler in samplers:
        sampler.batch_size_per_image, sampler.positive_fraction = 10**6, 0.5
    yield
    detector.spec = original
    for sampler, fields in zip(samplers, before, strict=True):
        vars(sampler).update(fields)


def measure(case: Case, labels: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Time blocks of both in turns, alternating the first, after a warm-up; a ratio is of adjacent blocks."""
    detector = ours(case, options.side)
    model = theirs(case, detector, options.side)
    mine, other = Ours(case, detector, labels, options), Theirs(case, model, labels, options)
    check(case, detector, model, next(mine.batches))
    sides: dict[str, Ours | Theirs] = {"ours": mine, "torchvision": other}
    blocks: dict[str, list[Block]] = {name: [] for name in sides}
    for loop in sides.values():
        block(loop, options.warm)
    for turn in range(options.blocks):
        for name in list(sides)[:: 1 - 2 * (turn % 2)]:
            blocks[name].append(block(sides[name], options.updates))
    return row(case, blocks, options)


def row(case: Case, blocks: dict[str, list[Block]], options: argparse.Namespace) -> dict[str, Any]:
    ratios = [a.rate / b.rate for a, b in zip(blocks["ours"], blocks["torchvision"], strict=True)]
    values: dict[str, Any] = {"name": case.name, "torchvision_model": case.model}
    for name, timed in blocks.items():
        values[f"{name}_images_per_s_p50"] = median(block.rate for block in timed)
        values[f"{name}_loader_share"] = sum(b.waited for b in timed) / sum(b.seconds for b in timed)
    values |= {"ratio_p50": median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}
    return values | {
        "side": 300 if is_ssd(case) else options.side,
        "images": options.images,
        "updates_per_block": options.updates,
        "blocks": options.blocks,
        "workers": options.workers,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def drawn_shapes(folder: str, case: Case, options: argparse.Namespace) -> Path:
    """Images of drawn shapes with the canvas's aspect, a quarter larger, so that both libraries shrink them."""
    side = 300 if is_ssd(case) else options.side
    height, width = side * 5 // 4, side * 5 // 4 if is_ssd(case) else int(side * 5 / 4 * LONG_SIDE)
    return Shapes(count=options.pictures, height=height, width=width).write(Path(folder) / case.model)


def text(row: dict[str, Any]) -> str:
    sides = "".join(
        f"{row[f'{name}_images_per_s_p50']:9.3f}{row[f'{name}_loader_share']:8.1%}" for name in ("ours", "torchvision")
    )
    return f"{row['name']:34}{sides}{row['ratio_p50']:8.2f}  {row['ratio_min']:.2f}..{row['ratio_max']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    argument = parser.add_argument
    argument("--side", type=int, default=256, help="short side of the canvas, px; SSD always has 300")
    argument("--images", type=int, default=2, help="images per batch")
    argument("--updates", type=int, default=2, help="updates per block")
    argument("--blocks", type=int, default=5, help="blocks per library")
    argument("--warm", type=int, default=1, help="updates before the first block")
    argument("--workers", type=int, default=0)
    argument("--pictures", type=int, default=32, help="images in the folder")
    argument("--only", default="", help="time only names that contain this text")
    add_out(parser)
    options = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    torch.manual_seed(0)
    print(f"{'':34}{'ours/s':>9}{'loader':>8}{'theirs/s':>9}{'loader':>8}{'ratio':>8}  min..max")
    with TemporaryDirectory() as folder:
        for case in CASES:
            if options.only in case.name:
                measured = measure(case, drawn_shapes(folder, case, options), options)
                print(text(measured), flush=True)
                append(measured, options.out)


if __name__ == "__main__":
    main()
