"""Writes `tests/detectors/golden/mask_rcnn_tv-resnet50-torchvision.npz`: outputs of torchvision's Mask R-CNN for random
weights and images.

    python scripts/record_torchvision_rcnn_golden.py        # needs torchvision

Weights are made from a seed for this project's detector and copied to torchvision's names, so they need not be stored.
Both libraries sample everything in training, so that the losses are not random.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.detectors.spec import DetectorSpec
from paretodet.rules.samplers import BalancedSampler
from paretodet.types import Images, Targets
from record_torchvision_golden import FOLDER, SEED, draw, load_torchvision
from record_torchvision_golden import scene as scene_of

NAME = "mask_rcnn_tv-resnet50-800x1344"
FILE = FOLDER / "mask_rcnn_tv-resnet50-torchvision.npz"
SIZES = ((160, 224), (150, 200))  # of the two images, px
PLACES = 2000  # codes and logits in the file
MASKS = 12  # of each image
EVERYTHING = BalancedSampler(size=10**6, positive_fraction=0.5)


class Found(NamedTuple):
    """The outputs of one library for the scene; boxes in pixels of the canvas, labels numbered as in this project."""

    codes: Tensor  # of the anchors [B, N, 4]
    logits: Tensor  # [B, N, 1]
    anchors: Tensor  # [N, 4]
    proposals: tuple[Tensor, ...]  # of each image [R, 4], by falling score
    box_codes: Tensor  # of drawn proposals [B, R, K, 4]
    box_logits: Tensor  # [B, R, K + 1]
    mask_logits: Tensor  # of the drawn proposals, each for its drawn label [B, R, 28, 28]
    boxes: tuple[Tensor, ...]  # of the detections of each image [D, 4]
    scores: tuple[Tensor, ...]
    labels: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]  # [D, 28, 28] in 0..1
    losses: Tensor  # proposals' box and score, boxes' box and score, masks


def whole(made: DetectorSpec) -> DetectorSpec:
    """The spec that samples everything."""
    stages = tuple(replace(stage, sampler=EVERYTHING) for stage in made.stages)
    assert made.masks is not None and made.masks.loss is not None
    return replace(
        made, stages=stages, masks=replace(made.masks, loss=replace(made.masks.loss, max_boxes=64))
    )  # 48 are positive


@torch.no_grad()
def ours(seed: int = SEED) -> Detector:
    """This project's detector with random weights; codes and logits are spread by about one."""
    detector = draw(Detector(whole(spec(NAME))), seed)
    noise = np.random.default_rng(seed + 1)
    for part in detector.modules():
        if isinstance(part, nn.Linear | nn.ConvTranspose2d):
            bound = (6 / (part.weight[0].numel() if isinstance(part, nn.Linear) else part.weight.shape[0])) ** 0.5
            for tensor, limit in zip(part.parameters(), (bound, 0.3), strict=True):
                tensor.copy_(torch.from_numpy(noise.random(tuple(tensor.shape), np.float32)).sub_(0.5).mul_(2 * limit))
    heads: Any = detector.heads
    for layer, share in _shares(heads[0], heads[1], detector.mask_head):
        layer.weight.mul_(share)
    return detector


def _shares(first: Any, second: Any, masks: Any) -> tuple[tuple[Any, float], ...]:
    """Layers whose outputs would be too large or small, and the factors for their weights."""
    return (
        (first.scores, 0.1),
        (first.boxes, 0.03),
        (second.head.scores, 0.2),
        (second.head.boxes, 0.08),
        (masks.layers.masks, 0.15),
    )


def scene() -> tuple[Images, Targets]:
    """Two images on one canvas with five and two objects that fill their boxes; corners are whole pixels."""
    images, targets = scene_of("retinanet_tv-resnet50-800")
    pixels = torch.zeros(2, 3, 160, 224, dtype=torch.uint8)
    for canvas, source, (h, w) in zip(pixels, images.pixels, SIZES, strict=True):
        canvas[:, :h, :w] = nn.functional.interpolate(source[None, :, :150, :200].float(), (h, w), mode="bilinear")[0]
    boxes = targets.boxes.round()
    masks = torch.ones(2, boxes.shape[1], 28, 28)
    return Images(pixels, torch.tensor(SIZES, dtype=torch.float32)), targets._replace(boxes=boxes, masks=masks)


def drawn_proposals(seed: int = SEED) -> tuple[Tensor, Tensor]:
    """Random boxes [2, 48, 4] px of all levels inside the images, and their labels."""
    noise = np.random.default_rng(seed)
    share, place, label = noise.random((2, 48, 2)), noise.random((2, 48, 2)), noise.integers(0, 90, (2, 48))
    limit = np.array(SIZES, float)[:, None, ::-1]
    side = limit * 2.0 ** (-5 * share)
    low = place * (limit - side)
    return torch.from_numpy(np.concatenate([low, low + side], -1)).float(), torch.from_numpy(label)


def theirs(detector: Detector) -> Any:
    """torchvision's detector with the detector's weights, the published epsilon and no randomness in training."""
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    built: Any = maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, min_size=10, max_size=224)
    load_torchvision(built, detector)
    for sampler in (built.rpn.fg_bg_sampler, built.roi_heads.fg_bg_sampler):
        sampler.batch_size_per_image, sampler.positive_fraction = EVERYTHING.size, EVERYTHING.positive_fraction
    return built.eval()


@torch.no_grad()
def torchvisions(model: Any, images: Images, targets: Targets) -> Found:
    """All outputs of torchvision's detector for the scene, from the normalized canvas on."""
    from torchvision.models.detection.image_list import ImageList
    from torchvision.models.detection.rpn import concat_box_prediction_layers

    unpadded = [p[:, : int(h), : int(w)] / 255 for p, (h, w) in zip(images.pixels, images.sizes.tolist(), strict=True)]
    batch: Any = ImageList(model.transform.batch_images([model.transform.normalize(p) for p in unpadded]), list(SIZES))
    maps = model.backbone(batch.tensors)
    outputs = model.rpn.head(list(maps.values()))
    logits, codes = concat_box_prediction_layers(*outputs)
    proposals, _ = model.rpn(batch, maps)
    detections, _ = model.roi_heads(maps, proposals, list(SIZES))
    box_logits, box_codes, mask_logits = _on_drawn(model, maps)
    return Found(
        codes=codes.view(2, -1, 4),
        logits=logits.view(2, -1, 1),
        anchors=model.rpn.anchor_generator(batch, list(maps.values()))[0],
        proposals=tuple(proposals),
        box_codes=box_codes,
        box_logits=box_logits,
        mask_logits=mask_logits,
        boxes=tuple(image["boxes"] for image in detections),
        scores=tuple(image["scores"] for image in detections),
        labels=tuple(image["labels"] - 1 for image in detections),
        masks=tuple(image["masks"][:, 0] for image in detections),
        losses=_losses(model, batch, maps, targets),
    )


def _on_drawn(model: Any, maps: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The outputs of the second stage and of the mask branch for the random proposals."""
    heads, (boxes, labels) = model.roi_heads, drawn_proposals()
    logits, codes = heads.box_predictor(heads.box_head(heads.box_roi_pool(maps, list(boxes), list(SIZES))))
    masks = heads.mask_predictor(heads.mask_head(heads.mask_roi_pool(maps, list(boxes), list(SIZES))))
    masks = masks[torch.arange(len(masks)), labels.flatten() + 1].view(*labels.shape, 28, 28)
    return logits.view(2, -1, 91), codes.view(2, -1, 91, 4)[:, :, 1:], masks


def _losses(model: Any, batch: Any, maps: dict[str, Tensor], targets: Targets) -> Tensor:
    truths = [_truth(targets, image) for image in range(2)]
    model.rpn.train()
    model.roi_heads.train()
    proposals, first = model.rpn(batch, maps, truths)
    _, second = model.roi_heads(maps, proposals, list(SIZES), truths)
    model.eval()
    terms = first | second
    order = ("loss_rpn_box_reg", "loss_objectness", "loss_box_reg", "loss_classifier", "loss_mask")
    return torch.stack([terms[name] for name in order])


def _truth(targets: Targets, image: int) -> dict[str, Tensor]:
    valid = targets.valid[image]
    boxes, labels = targets.boxes[image][valid], targets.labels[image][valid]
    masks = torch.zeros(len(boxes), *SIZES[image], dtype=torch.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes.long().tolist(), strict=True):
        mask[y1:y2, x1:x2] = 1
    return {"boxes": boxes, "labels": labels + 1, "masks": masks}


def places(outputs: Found, seed: int = SEED) -> dict[str, np.ndarray]:
    """The arrays of the golden file: all detections, and a few masks in units of 1/255."""
    noise = np.random.default_rng(seed)
    kept: dict[str, Tensor] = {
        "losses": outputs.losses,
        "anchors": outputs.anchors[:: len(outputs.anchors) // PLACES + 1],
    }
    for field in ("codes", "logits", "box_codes", "box_logits", "mask_logits"):
        flat = getattr(outputs, field).flatten()
        kept[field] = flat[torch.from_numpy(noise.integers(0, len(flat), PLACES))]
        kept[f"{field}_largest"] = flat.abs().max()
    for image in range(2):
        kept[f"proposals_{image}"] = outputs.proposals[image]
        kept[f"labels_{image}"] = outputs.labels[image].to(torch.int16)
        kept[f"boxes_{image}"], kept[f"scores_{image}"] = outputs.boxes[image], outputs.scores[image]
        kept[f"masks_{image}"] = (outputs.masks[image][:MASKS] * 255).round().to(torch.uint8)
    return {key: value.numpy() for key, value in kept.items()}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    kept: dict[str, Any] = places(torchvisions(theirs(ours()), *scene()))
    np.savez_compressed(FILE, **kept)
