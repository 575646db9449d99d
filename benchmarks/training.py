"""Times our training beside torchvision's, block by block: `python benchmarks/training.py`.

Needs an environment with torchvision. The same model with the same drawn weights learns from the same pictures, drawn
shapes in a folder, flipped at random, with SGD, in float32: ours through `Batches` and `Learner`, torchvision's model
in a loop as its reference has it (a `DataLoader` of Pillow pictures, the loss read at every update, nothing else).
Norms are frozen and every convolution learns on both sides. Pictures nearly fill the canvas, so that both pad to the
same one. Both sides must say the same losses of one batch before they are timed; then blocks of updates alternate. The
loader's share is the time a loop waits for its next batch; without workers that is all of reading and fitting.
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
from torch.utils.data import Dataset as Numbered

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))
from rows import add_out, keep

import record_torchvision_golden as dense
import record_torchvision_rcnn_golden as regions
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.labels.read import read_labels
from paretodet.loader.batches import Batch, Batches, Batching
from paretodet.loader.shapes import Shapes
from paretodet.training.feed import Noise
from paretodet.training.optimizers import Sgd
from paretodet.training.recipe import Recipe
from paretodet.training.step import Learner
from paretodet.transforms.published import REGIONS

RATE = 1e-6  # weights are drawn: they shall stay where both sides agree
MOMENTUM, DECAY = 0.9, 1e-4
LONG_SIDE = 1333 / 800


class Case(NamedTuple):
    name: str  # ours
    model: str  # torchvision's
    first: int  # torchvision's number of our label 0
    close: float  # how near the losses of one batch must be; SSD's differ by torchvision's rules at the canvas' edge


CASES = (
    Case("faster_rcnn_tv-resnet50-800x1344", "fasterrcnn_resnet50_fpn", 1, 0.02),
    Case("retinanet_tv-resnet50-800", "retinanet_resnet50_fpn", 0, 0.02),
    Case("ssd_liu-vgg16-300", "ssd300_vgg16", 1, 0.1),
)


class Block(NamedTuple):
    """Some updates of one side."""

    seconds: float
    waited: float  # for batches, s
    images: int

    @property
    def rate(self) -> float:
        return self.images / self.seconds


def is_ssd(case: Case) -> bool:
    return case.model.startswith("ssd")


def ours(case: Case, side: int) -> Detector:
    """Ours with drawn weights; Faster R-CNN has those of Mask R-CNN."""
    if is_ssd(case):
        return dense.ours(case.name)
    whole = regions.ours() if case.model.startswith("faster") else dense.ours(case.name)
    detector = Detector(spec(case.name, Override(height=side, width=side)))
    detector.load_state_dict({k: v for k, v in whole.state_dict().items() if not k.startswith("mask_head.")})
    return detector


def theirs(case: Case, detector: Detector, side: int) -> Any:
    """torchvision's model at our canvas, with our weights, our norms' epsilon and these frozen."""
    from torchvision.models import detection

    sizes = {"num_classes": 81} if is_ssd(case) else {"min_size": side, "max_size": int(side * LONG_SIDE)}
    model: Any = getattr(detection, case.model)(weights=None, weights_backbone=None, **sizes)
    if case.model.startswith("faster"):
        state = {regions.torchvision_name(key): value for key, value in detector.state_dict().items()}
    else:
        state = dense.state_for_torchvision(case.name, detector)
    lost, more = model.load_state_dict(state, strict=False)
    assert not more and all(key.endswith("num_batches_tracked") for key in lost), (lost, more)
    freeze_norms(model)
    return model.train()


def freeze_norms(part: nn.Module) -> None:
    """As torchvision's models have them that start from a classifier."""
    from torchvision.ops import FrozenBatchNorm2d

    for name, child in part.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, eps=0.0)
            frozen.load_state_dict(child.state_dict(), strict=False)
            setattr(part, name, frozen)
        else:
            freeze_norms(child)


class Pictures(Numbered[tuple[Tensor, dict[str, Tensor]]]):
    """The folder as torchvision's reference reads it, flipped at random: pictures in 0..1 with boxes and labels."""

    def __init__(self, labels: Path, first: int):
        truth = json.loads(labels.read_text())
        self.files = [labels.parent / "images" / image["file_name"] for image in truth["images"]]
        self.truths: list[list[tuple[list[float], int]]] = [[] for _ in self.files]
        for each in truth["annotations"]:
            self.truths[each["image_id"] - 1].append((each["bbox"], each["category_id"] - 1 + first))

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


def together(samples: list[Any]) -> tuple[Any, ...]:
    return tuple(zip(*samples, strict=True))


class Ours:
    """Our loop: batches of our own and an update of theirs."""

    def __init__(self, case: Case, detector: Detector, labels: Path, asked: argparse.Namespace):
        flips = Batching(fits=(detector.spec.fit,), images=asked.images, augmentation=REGIONS)
        self.batches = iter(Batches(read_labels(labels), flips, workers=asked.workers, tell=print))
        optimizer = Sgd(rate=RATE, momentum=MOMENTUM, decay=DECAY)
        self.learner = Learner(
            detector, Recipe(optimizer=optimizer, steps=10**6, batch=asked.images), torch.device("cpu")
        )

    def update(self, batch: Batch) -> int:
        self.learner.update((batch,))
        return len(batch.ids)


class Theirs:
    """torchvision's reference loop."""

    def __init__(self, case: Case, model: Any, labels: Path, asked: argparse.Namespace):
        pictures = Pictures(labels, case.first)
        self.batches = self._endless(pictures, asked)
        self.model = model
        learned = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(learned, lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def _endless(self, pictures: Pictures, asked: argparse.Namespace) -> Iterator[Any]:
        sampler = BatchSampler(RandomSampler(pictures), asked.images, drop_last=True)
        loader = DataLoader(pictures, batch_sampler=sampler, num_workers=asked.workers, collate_fn=together)
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
        asked = perf_counter()
        batch = next(loop.batches)
        waited += perf_counter() - asked
        images += loop.update(batch)
    return Block(perf_counter() - start, waited, images)


@torch.no_grad()
def check(case: Case, detector: Detector, model: Any, batch: Batch) -> None:
    """The same losses of one batch, where both sides sample everything."""
    pixels, sizes = batch.images.pixels, batch.images.sizes.tolist()
    pictures = [p[:, : int(h), : int(w)] / 255 for p, (h, w) in zip(pixels, sizes, strict=True)]
    truths = [
        {"boxes": boxes[valid], "labels": labels[valid] + case.first}
        for boxes, labels, valid in zip(*batch.targets[:3], strict=True)
    ]
    with everything_sampled(detector, model):
        mine = detector.train().loss(batch.images, batch.targets, noise=Noise(detector, 0)(0, batch))
        other = model(pictures, truths)
    found, wanted = (sorted(float(term) for term in terms.values()) for terms in (mine, other))
    assert np.allclose(found, wanted, rtol=case.close), (case.name, mine, other)


@contextmanager
def everything_sampled(detector: Detector, model: Any) -> Iterator[None]:
    """Two stages sample at random: not here."""
    made, parts = detector.spec, [getattr(model, name) for name in ("rpn", "roi_heads") if hasattr(model, name)]
    samplers = [part.fg_bg_sampler for part in parts]
    before = [dict(vars(sampler)) for sampler in samplers]
    if samplers:
        detector.spec = replace(made, stages=tuple(replace(s, sampler=regions.EVERYTHING) for s in made.stages))
    for sampler in samplers:
        sampler.batch_size_per_image, sampler.positive_fraction = 10**6, 0.5
    yield
    detector.spec = made
    for sampler, fields in zip(samplers, before, strict=True):
        vars(sampler).update(fields)


def measure(case: Case, labels: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Blocks of both sides in turn, who begins alternating, after a warm-up; a ratio is of neighboring blocks."""
    detector = ours(case, asked.side)
    model = theirs(case, detector, asked.side)
    mine, other = Ours(case, detector, labels, asked), Theirs(case, model, labels, asked)
    check(case, detector, model, next(mine.batches))
    sides: dict[str, Ours | Theirs] = {"ours": mine, "torchvision": other}
    found: dict[str, list[Block]] = {name: [] for name in sides}
    for loop in sides.values():
        block(loop, asked.warm)
    for turn in range(asked.blocks):
        for name in list(sides)[:: 1 - 2 * (turn % 2)]:
            found[name].append(block(sides[name], asked.updates))
    return row(case, found, asked)


def row(case: Case, found: dict[str, list[Block]], asked: argparse.Namespace) -> dict[str, Any]:
    ratios = [a.rate / b.rate for a, b in zip(found["ours"], found["torchvision"], strict=True)]
    made: dict[str, Any] = {"name": case.name, "torchvision_model": case.model}
    for name, blocks in found.items():
        made[f"{name}_images_per_s_p50"] = median(each.rate for each in blocks)
        made[f"{name}_loader_share"] = sum(b.waited for b in blocks) / sum(b.seconds for b in blocks)
    made |= {"ratio_p50": median(ratios), "ratio_min": min(ratios), "ratio_max": max(ratios)}
    return made | {
        "side": 300 if is_ssd(case) else asked.side,
        "images": asked.images,
        "updates_per_block": asked.updates,
        "blocks": asked.blocks,
        "workers": asked.workers,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def pictures(folder: str, case: Case, asked: argparse.Namespace) -> Path:
    """Drawn shapes a quarter larger than the canvas, of its aspect, so that both sides shrink them."""
    side = 300 if is_ssd(case) else asked.side
    height, width = side * 5 // 4, side * 5 // 4 if is_ssd(case) else int(side * 5 / 4 * LONG_SIDE)
    return Shapes(count=asked.pictures, height=height, width=width).write(Path(folder) / case.model)


def told(row: dict[str, Any]) -> str:
    sides = "".join(
        f"{row[f'{name}_images_per_s_p50']:9.3f}{row[f'{name}_loader_share']:8.1%}" for name in ("ours", "torchvision")
    )
    return f"{row['name']:34}{sides}{row['ratio_p50']:8.2f}  {row['ratio_min']:.2f}..{row['ratio_max']:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    argument = parser.add_argument
    argument("--side", type=int, default=256, help="the shorter side of the pyramids' canvas, px; SSD has its 300")
    argument("--images", type=int, default=2, help="a batch")
    argument("--updates", type=int, default=2, help="a block")
    argument("--blocks", type=int, default=5, help="of each side")
    argument("--warm", type=int, default=1, help="updates before the first block")
    argument("--workers", type=int, default=0)
    argument("--pictures", type=int, default=32, help="in the folder")
    argument("--only", default="", help="a part of the names to time")
    add_out(parser)
    asked = parser.parse_args()
    torch.set_num_threads(min(2, os.cpu_count() or 1))
    torch.manual_seed(0)
    print(f"{'':34}{'ours/s':>9}{'loader':>8}{'theirs/s':>9}{'loader':>8}{'ratio':>8}  min..max")
    with TemporaryDirectory() as folder:
        for case in CASES:
            if asked.only in case.name:
                made = measure(case, pictures(folder, case, asked), asked)
                print(told(made), flush=True)
                keep(made, asked.out)


if __name__ == "__main__":
    main()
