"""Writes `tests/weights/golden/detectron2-<case>.npz`: names of all tensors and outputs of Detectron2's detectors.

    python scripts/record_detectron2_golden.py [CASE ...]    # names of `CASES` [default: all]

Recorded with Detectron2 of 2026-06-06 (commit 02b5c4e2) and torchvision 0.28.0. Needs `detectron2` and, in the folder
that the variable DETECTRON2 names, its `configs`. Only its Python code is used: nothing is compiled. `aligned` and
`suppressed` below stand for torchvision's two operators. The values of tensors are drawn from their names (`drawn`), so
that they need not be stored.
"""

import importlib
import math
import os
import sys
import zlib
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FOLDER = Path(__file__).resolve().parents[1] / "tests/weights/golden"
SIZES = ((96, 128), (90, 120))  # of the two images, px
PROPOSALS = 40
DETECTIONS = 20  # of an image
REGIONS = 12  # of each image, drawn
PLACES = 2000  # codes and logits in the file
MASKS = 8  # of each image
FIELDS = ("codes", "logits", "box_codes", "box_logits", "mask_logits")
SHARES = {  # of the weights of layers whose outputs would be too large
    "conv3.weight": 0.3,
    "anchor_deltas.weight": 0.005,
    "box_predictor.bbox_pred.weight": 0.03,
    "head.bbox_pred.weight": 0.001,
    "cls_score.weight": 0.03,
    "objectness_logits.weight": 0.05,
    "mask_head.predictor.weight": 0.03,
}
Array = np.ndarray


@dataclass(frozen=True, kw_only=True)
class D2Case:
    """A configuration of Detectron2, and its name here."""

    config: str
    name: str


CASES = {
    "retinanet": D2Case(config="COCO-Detection/retinanet_R_50_FPN_3x.yaml", name="retinanet_d2-resnet50-800x1344"),
    "mask_rcnn": D2Case(
        config="COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x.yaml",
        name=f"mask_rcnn_d2-resnet50-800x1344-p{PROPOSALS}",
    ),
}


def drawn(name: str, shape: tuple[int, ...]) -> Tensor:
    """The value of a tensor, float32, from its name; every map has about unit scale."""
    kind, reach = name.rpartition(".")[2], 0.3
    if kind == "weight" and len(shape) > 1:
        fan = shape[0] if "deconv" in name else prod(shape[1:])
        share = next((share for end, share in SHARES.items() if name.endswith(end)), 1.0)
        reach = share * (6 / fan) ** 0.5
    if name == "head.bbox_pred.bias":
        reach = 0.02  # boxes of 512 px stay in the image
    low, high = -reach, reach
    if "norm" in name and kind in ("weight", "running_var"):
        low, high = (0.005, 0.015) if "stem" in name and kind == "weight" else (0.5, 1.5)  # pixels are up to 150
    values = np.random.default_rng(zlib.crc32(name.encode())).random(shape, np.float32)
    return torch.from_numpy(values * np.float32(high - low) + np.float32(low))


def pixels() -> Tensor:
    """RGB uint8 [2, 3, 96, 128], smooth and 0 outside the images."""
    coarse = torch.from_numpy(np.random.default_rng(1).random((2, 3, 12, 16), np.float32)) * 255
    canvas = torch.nn.functional.interpolate(coarse, SIZES[0], mode="bicubic").clamp(0, 255).round().to(torch.uint8)
    for image, (height, width) in zip(canvas, SIZES, strict=True):
        image[:, height:], image[:, :, width:] = 0, 0
    return canvas


def regions() -> tuple[Tensor, Tensor]:
    """Boxes [2, REGIONS, 4] px of all levels inside the images, some oblong, and their labels."""
    noise = np.random.default_rng(2)
    share, place = noise.random((2, REGIONS, 2)), noise.random((2, REGIONS, 2))
    limit = np.array(SIZES, float)[:, None, ::-1]
    side = limit * 2.0 ** (-4 * share)
    low = place * (limit - side)
    boxes = torch.from_numpy(np.concatenate([low, low + side], -1)).float()
    return boxes, torch.from_numpy(noise.integers(0, 80, (2, REGIONS)))


def places(values: Array) -> tuple[Array, Array]:
    """Some values, and the largest magnitude of all."""
    flat = values.ravel()
    return flat[np.random.default_rng(3).integers(0, len(flat), PLACES)], np.abs(flat).max()


def suppressed(boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """The indices that greedy suppression keeps, by falling score."""
    order, kept = scores.argsort(descending=True, stable=True).tolist(), []
    rows = boxes.numpy()
    area = (rows[:, 2] - rows[:, 0]) * (rows[:, 3] - rows[:, 1])
    alive = np.ones(len(rows), bool)
    for index in order:
        if alive[index]:
            kept.append(index)
            side = np.minimum(rows[index, 2:], rows[:, 2:]) - np.maximum(rows[index, :2], rows[:, :2])
            shared = side.clip(0).prod(1)
            with np.errstate(invalid="ignore"):
                alive &= ~(shared / (area[index] + area - shared) > np.float32(overlap))
    return torch.tensor(kept, dtype=torch.int64)


def aligned(maps: Tensor, rois: Tensor, scale: float, height: int, width: int, ratio: int, aligned: bool) -> Tensor:
    """torchvision's RoIAlign with `aligned` and a ratio of 0: ceil(side / bins) samples a bin along each axis."""
    found = [maps.new_zeros(0, maps.shape[1], height, width)]
    for image, *corners in rois.tolist():
        x1, y1, x2, y2 = (corner * scale - 0.5 for corner in corners)
        (ys, down), (xs, across) = _samples(y1, y2, height), _samples(x1, x2, width)
        values = _bilinear(_bilinear(maps[int(image)], ys, 1), xs, 2)
        found.append(values.view(-1, height, down, width, across).mean((2, 4))[None])
    return torch.cat(found)


def _samples(low: float, high: float, bins: int) -> tuple[Tensor, int]:
    """The places of all samples of an axis, and their number in a bin."""
    count = max(1, math.ceil((high - low) / bins))
    return low + (torch.arange(bins * count) + 0.5) * (high - low) / (bins * count), count


def _bilinear(values: Tensor, at: Tensor, axis: int) -> Tensor:
    length = values.shape[axis]
    inside = (at >= -1) & (at <= length)
    at = at.clamp(0, length - 1)
    below = at.floor().long()
    shape = [-1 if dimension == axis else 1 for dimension in range(3)]
    upper, inside = (at - below).view(shape), inside.view(shape)
    pair = (values.index_select(axis, index) for index in (below, (below + 1).clamp(max=length - 1)))
    first, second = pair
    return (first * (1 - upper) + second * upper) * inside


def model(case: D2Case) -> Any:
    """Detectron2's detector with drawn weights."""
    get_cfg = importlib.import_module("detectron2.config").get_cfg
    build_model = importlib.import_module("detectron2.modeling").build_model
    config = get_cfg()
    config.merge_from_file(os.path.join(os.environ["DETECTRON2"], "configs", case.config))
    config.MODEL.DEVICE, config.MODEL.RPN.POST_NMS_TOPK_TEST = "cpu", PROPOSALS
    config.TEST.DETECTIONS_PER_IMAGE = DETECTIONS
    built = build_model(config).eval()
    built.load_state_dict({name: drawn(name, tuple(value.shape)) for name, value in built.state_dict().items()})
    return built


@torch.no_grad()
def record(name: str) -> dict[str, Any]:
    built = model(CASES[name])
    named = {key: ",".join(map(str, value.shape)) for key, value in built.state_dict().items()}
    inputs = [
        {"image": image.flip(0)[:, :height, :width], "height": height, "width": width}
        for image, (height, width) in zip(pixels(), SIZES, strict=True)
    ]
    images = built.preprocess_image(inputs)
    maps = built.backbone(images.tensor)
    outputs = (_dense if name == "retinanet" else _regions)(built, images, maps)
    found = built.inference(inputs, do_postprocess=False) if name != "retinanet" else built(inputs)
    kept: dict[str, Any] = {"names": list(named), "shapes": list(named.values()), "anchors": outputs.pop("anchors")}
    each: Any
    for image, each in enumerate(found):
        each = each["instances"] if isinstance(each, dict) else each
        kept[f"boxes_{image}"], kept[f"scores_{image}"] = each.pred_boxes.tensor, each.scores
        kept[f"labels_{image}"] = each.pred_classes
        if each.has("pred_masks"):
            kept[f"masks_{image}"] = (each.pred_masks[:MASKS, 0] * 255).round().to(torch.uint8)
    for field in FIELDS:
        if field in outputs:
            kept[field], kept[f"{field}_largest"] = places(outputs.pop(field).numpy())
    return kept | outputs


def _dense(built: Any, images: Any, maps: Any) -> dict[str, Any]:
    features = [maps[level] for level in built.head_in_features]
    logits, codes = built._transpose_dense_predictions(built.head(features), [built.num_classes, 4])
    anchors = torch.cat([each.tensor for each in built.anchor_generator(features)])
    return {"codes": torch.cat(codes, 1), "logits": torch.cat(logits, 1), "anchors": anchors[::37]}


def _regions(built: Any, images: Any, maps: Any) -> dict[str, Any]:
    Boxes = importlib.import_module("detectron2.structures").Boxes
    rpn, heads = built.proposal_generator, built.roi_heads
    features = [maps[level] for level in rpn.in_features]
    logits, codes = rpn.rpn_head(features)
    kept = {
        "logits": torch.cat([each.permute(0, 2, 3, 1).flatten(1) for each in logits], 1),
        "codes": torch.cat([_by_cell(each) for each in codes], 1),
        "anchors": torch.cat([each.tensor for each in rpn.anchor_generator(features)])[::7],
    }
    proposals, _ = rpn(images, maps)
    kept |= {f"proposals_{index}": each.proposal_boxes.tensor for index, each in enumerate(proposals)}
    boxes, labels = regions()
    fine, listed = [maps[level] for level in heads.in_features], [Boxes(each) for each in boxes]
    scores, deltas = heads.box_predictor(heads.box_head(heads.box_pooler(fine, listed)))
    masks = heads.mask_head.layers(heads.mask_pooler(fine, listed))
    masks = masks[torch.arange(len(masks)), labels.flatten()]
    return kept | {"box_logits": scores, "box_codes": deltas, "mask_logits": masks}


def _by_cell(codes: Tensor) -> Tensor:
    """[B, A * 4, H, W] -> [B, H * W * A, 4]"""
    batch, _, height, width = codes.shape
    return codes.view(batch, -1, 4, height, width).permute(0, 3, 4, 1, 2).flatten(1, 3)


def declare() -> None:
    """The operators of torchvision that its Python code expects to be compiled."""
    for name in ("nms", "qnms"):
        torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    torch.library.impl("torchvision::nms", "CPU", suppressed)
    boxes: Any = importlib.import_module("torchvision.ops.boxes")
    boxes._assert_has_ops = lambda: None
    crops: Any = importlib.import_module("torchvision.ops.roi_align")
    crops._roi_align = aligned


if __name__ == "__main__":
    declare()
    for case_name in sys.argv[1:] or CASES:
        found = record(case_name)
        arrays: dict[str, Any] = {
            key: value.numpy() if isinstance(value, Tensor) else value for key, value in found.items()
        }
        print(case_name, {key: np.shape(value) for key, value in arrays.items()}, flush=True)
        np.savez_compressed(FOLDER / f"detectron2-{case_name}.npz", **arrays)
