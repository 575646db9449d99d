"""Writes `tests/detectors/golden/*-torchvision.npz`: outputs of torchvision's detectors for random weights and images.

    python scripts/record_torchvision_golden.py        # needs torchvision

Weights are made from a seed for this project's detector and copied to torchvision's names, so they need not be stored.
The files have random positions of the codes and logits, and all detections.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.layers.frozen import FrozenNorm2d
from paretodet.types import Images, Targets
from paretodet.weights.namings.torchvision import our_names

FOLDER = Path(__file__).resolve().parents[1] / "tests/detectors/golden"
SEED = 20170807
PLACES = 2000  # codes and logits in a golden file
RETINANET, SSD = "retinanet_tv-resnet50-800", "ssd_tv-vgg16-300"
SIZES = {RETINANET: ((150, 224), (150, 200)), SSD: ((300, 300), (300, 300))}  # of the two images, px
CANVAS = {RETINANET: (160, 224), SSD: (300, 300)}


class Found(NamedTuple):
    """The outputs of one library for the scene; boxes in pixels of the canvas, labels numbered as in this project."""

    codes: Tensor  # [B, N, 4]
    logits: Tensor  # [B, N, S]
    anchors: Tensor  # [N, 4]
    decoded: Tensor  # [B, N, 4]
    boxes: tuple[Tensor, ...]  # of the detections of each image [D, 4]
    scores: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    losses: Tensor  # box, score


@torch.no_grad()
def draw(detector: Detector, seed: int = SEED) -> Detector:
    """Fill random weights that keep every map near unit scale and spread the scores; evaluation mode."""
    noise = np.random.default_rng(seed)

    def fill(tensor: Tensor, low: float, high: float) -> None:
        drawn = noise.random(tuple(tensor.shape), np.float32)
        tensor.copy_(torch.from_numpy(drawn).mul_(high - low).add_(low))

    for name, part in detector.named_modules():
        if isinstance(part, nn.Conv2d):
            bound = (6 / part.weight[0].numel()) ** 0.5
            fill(part.weight, -bound, bound)
            if part.bias is not None:
                fill(part.bias, -0.3, 0.3)
        elif isinstance(part, FrozenNorm2d):
            low, high = (0.1, 0.3) if ".expand." in name else (0.7, 1.3)  # shortcuts add up
            fill(part.weight, low, high)
            fill(part.bias, -0.3, 0.3)
            fill(part.running_mean, -0.3, 0.3)
            fill(part.running_var, 0.7, 1.3)
    return detector.eval()


@torch.no_grad()
def ours(name: str, seed: int = SEED) -> Detector:
    """This project's detector with random weights; codes and logits are spread by about one.

    RetinaNet's class biases are -4, so that few scores of its last level pass the threshold. SSD does not scale pixels,
    so its first convolution is scaled.
    """
    detector = draw(Detector(spec(name)), seed)
    head: Any = detector.heads[0]
    if name == RETINANET:
        head.scores.out.weight.div_(8)
        head.scores.out.bias.fill_(-4)
        head.boxes.out.weight.div_(16)
    else:
        next(detector.backbone.parameters()).div_(64)
    return detector


def scene(name: str, seed: int = SEED) -> tuple[Images, Targets]:
    """Two images on one canvas, with five and two objects; one object is small, one nearly fills its image."""
    noise, (height, width) = np.random.default_rng(seed), CANVAS[name]
    pixels = torch.zeros(2, 3, height, width, dtype=torch.uint8)
    for canvas, (h, w) in zip(pixels, SIZES[name], strict=True):
        coarse = torch.from_numpy(noise.random((1, 3, h // 10, w // 10), np.float32))
        smooth = nn.functional.interpolate(coarse, (h, w), mode="bilinear")[0]
        canvas[:, :h, :w] = (smooth * 255).to(torch.uint8)
    shares = [[0.1, 0.2, 0.5, 0.6], [0.55, 0.1, 0.9, 0.45], [0.3, 0.7, 0.36, 0.78], [0.02, 0.03, 0.98, 0.97]]
    boxes = torch.tensor([[*shares, [0.6, 0.5, 0.8, 0.9]]] * 2)
    sizes = torch.tensor(SIZES[name], dtype=torch.float32)
    boxes = boxes * sizes.flip(1).repeat(1, 2)[:, None]
    valid = torch.tensor([[True] * 5, [True, True, False, False, False]])
    labels = torch.tensor([[3, 17, 1, 40, 62]] * 2)
    return Images(pixels, sizes), Targets(boxes, labels, valid, torch.zeros(2, 5, dtype=torch.bool))


def load_torchvision(model: nn.Module, detector: Detector) -> None:
    """Copy the detector's weights, and the epsilon of its frozen norms, to torchvision's `model`."""
    named, wanted = (
        detector.state_dict(),
        [key for key in model.state_dict() if not key.endswith("num_batches_tracked")],
    )
    places = our_names(wanted)
    assert sorted(places.values()) == sorted(named)
    model.load_state_dict({key: named[places[key]] for key in wanted}, strict=False)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = next(m.eps for m in detector.modules() if isinstance(m, FrozenNorm2d))


def theirs(name: str, detector: Detector) -> Any:
    """torchvision's detector with the weights and the norm epsilon of `detector`; needs torchvision."""
    from torchvision.models import detection

    short = min(SIZES[name][0])
    built: Any = (
        detection.retinanet_resnet50_fpn(weights=None, weights_backbone=None, min_size=short)
        if name == RETINANET
        else detection.ssd300_vgg16(weights=None, weights_backbone=None)
    )
    load_torchvision(built, detector)
    return built.eval()


@torch.no_grad()
def torchvisions(name: str, model: Any, images: Images, targets: Targets) -> Found:
    """All outputs of torchvision's detector for the scene, from images in 0..1 on."""
    first = 0 if name == RETINANET else 1  # torchvision's number of label 0
    unpadded = [p[:, : int(h), : int(w)] / 255 for p, (h, w) in zip(images.pixels, images.sizes.tolist(), strict=True)]
    truths = [
        {"boxes": boxes[valid], "labels": labels[valid] + first}
        for boxes, labels, valid in zip(targets.boxes, targets.labels, targets.valid, strict=True)
    ]
    batch, _ = model.transform(unpadded)
    maps = list(model.backbone(batch.tensors).values())
    outputs, anchors = model.head(maps), model.anchor_generator(batch, maps)
    losses = _losses(model, truths, outputs, anchors)
    detections = model(unpadded)
    return Found(
        codes=outputs["bbox_regression"],
        logits=outputs["cls_logits"],
        anchors=anchors[0],
        decoded=torch.stack([model.box_coder.decode_single(c, anchors[0]) for c in outputs["bbox_regression"]]),
        boxes=tuple(image["boxes"] for image in detections),
        scores=tuple(image["scores"] for image in detections),
        labels=tuple(image["labels"] - first for image in detections),
        losses=torch.stack([losses["bbox_regression"], losses["classification"]]),
    )


def _losses(model: Any, truths: list[dict[str, Tensor]], outputs: Any, anchors: list[Tensor]) -> dict[str, Tensor]:
    if not hasattr(model, "neg_to_pos_ratio"):
        return model.compute_loss(truths, outputs, anchors)
    from torchvision.ops import box_iou

    matched = [model.proposal_matcher(box_iou(t["boxes"], a)) for t, a in zip(truths, anchors, strict=True)]
    return model.compute_loss(truths, outputs, anchors, matched)


def places(outputs: Found, seed: int = SEED) -> dict[str, np.ndarray]:
    """The arrays of the golden file."""
    noise = np.random.default_rng(seed)
    kept: dict[str, Tensor] = {
        "losses": outputs.losses,
        "anchors": outputs.anchors[:: len(outputs.anchors) // PLACES + 1],
    }
    for field in ("codes", "logits", "decoded"):
        flat = getattr(outputs, field).flatten()
        kept[field] = flat[torch.from_numpy(noise.integers(0, len(flat), PLACES))]
        kept[f"{field}_largest"] = flat.abs().max()
    for image in range(2):
        for field in ("boxes", "scores", "labels"):
            value = getattr(outputs, field)[image]
            kept[f"{field}_{image}"] = value.to(torch.int16) if field == "labels" else value
    return {key: value.numpy() for key, value in kept.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for system in (RETINANET, SSD):
        detector = ours(system)
        outputs = torchvisions(system, theirs(system, detector), *scene(system))
        kept: dict[str, Any] = places(outputs)
        np.savez_compressed(FOLDER / f"{system}-torchvision.npz", **kept)
