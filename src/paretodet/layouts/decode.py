"""The outputs of one call of a detector file become boxes in pixels of the canvas, scores and labels."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from paretodet.errors import InputError
from paretodet.layouts.layout import COUNT, WIDTHS, OutputLayout
from paretodet.ops.geometry import iou
from paretodet.ops.nms import nms
from paretodet.types import Detections

COUNTED = ("count",)  # the words of an output that says how many rows of the others are detections


class Decoded(NamedTuple):
    """Boxes before suppression. `labels` None: `scores` has one column for each class."""

    boxes: Tensor  # [B, N, 4] xyxy, px of the canvas
    scores: Tensor  # [B, N, K], or [B, N]
    labels: Tensor | None  # [B, N], counted from 0


def to_detections(outputs: Mapping[str, Tensor], layout: OutputLayout, canvas: tuple[int, int]) -> Detections:
    """Outputs by name -> detections in pixels of a canvas (height, width), in any order, score 0 in empty slots.

    Raises InputError if an output is missing or has another shape than the layout states.
    """
    decoded = decode(outputs, layout, canvas)
    if decoded.labels is not None and layout.suppressed:
        return Detections(*(_padded(part, layout.keep) for part in _cut(decoded, layout.keep)))
    return _selected(decoded, layout)


def decode(outputs: Mapping[str, Tensor], layout: OutputLayout, canvas: tuple[int, int]) -> Decoded:
    """What `to_detections` selects from: every row of the outputs."""
    parts = split(outputs, layout)
    if {"center", "size"} <= parts.keys():
        parts["box"] = torch.cat((parts["center"], parts["size"]), dim=2)
    if layout.anchors:
        parts = _of_anchors(parts, len(layout.anchors[0]), shared=layout.coding == "anchors")
    boxes = _boxes(parts, layout, canvas)
    if "score" in parts:
        scores = parts["score"].squeeze(2)
        labels = parts["label"].squeeze(2) - layout.first_label if "label" in parts else torch.zeros_like(scores)
        if "image" in parts:
            scores = scores.masked_fill(parts["image"].squeeze(2) < 0, 0)
        return Decoded(boxes, scores, labels)
    scores = _class_scores(parts, layout)
    return Decoded(boxes, _peaks(scores, layout, canvas) if layout.peaks else scores, None)


def split(outputs: Mapping[str, Tensor], layout: OutputLayout) -> dict[str, Tensor]:
    """The columns of all outputs by word, [B, N, columns]; outputs that hold the same word are joined along N."""
    parts: dict[str, list[Tensor]] = {}
    for name, words in layout.columns:
        if name not in outputs:
            raise InputError(f"outputs: has no {name!r}, it has {', '.join(outputs)}", "onnx-layout")
        if words == COUNTED or set(words) == {"other"}:
            continue
        rows = _rows(_by_anchor(_channels_first(outputs[name], layout), words, layout), words, layout.transposed)
        widths = _widths(name, words, rows.shape[2])
        for word, part in zip(words, torch.split(rows, widths, dim=2), strict=True):
            parts.setdefault(word.partition(COUNT)[0], []).append(part)
    several = {word: pieces for word, pieces in parts.items() if word != "other" or len(pieces) == 1}
    joined = {word: torch.cat(pieces, dim=1) if len(pieces) > 1 else pieces[0] for word, pieces in several.items()}
    lengths = {word: part.shape[1] for word, part in joined.items() if word != "other"}
    if len(set(lengths.values())) > 1:
        raise InputError(f"outputs: have different numbers of rows, {lengths}", "onnx-layout")
    for name in (name for name, words in layout.columns if words == COUNTED):  # rows behind may be of an earlier call
        behind = torch.arange(lengths["score"])[:, None] >= outputs[name].reshape(-1, 1, 1)
        joined["score"] = joined["score"].masked_fill(behind, 0)
    return joined


def _channels_first(output: Tensor, layout: OutputLayout) -> Tensor:
    return output.permute(0, 3, 1, 2) if layout.map_axes == "nhwc" and output.ndim == 4 else output


def _by_anchor(output: Tensor, words: tuple[str, ...], layout: OutputLayout) -> Tensor:
    """Maps of anchors as rows [B, N, columns] by cells, then anchors; another output as it is.

    Such maps are [B, A, H, W, columns], [B, H, W, A, columns], or [B, A * columns, H, W] of a box with other words.
    """
    count = len(layout.anchors[0]) if layout.anchors else 0
    if count and output.ndim == 4 and "box" in words and len(words) > 1 and output.shape[1] % count == 0:
        output = output.reshape(len(output), count, -1, *output.shape[2:]).permute(0, 1, 3, 4, 2)
    if count and output.ndim == 5:
        return (output if output.shape[1] != count else output.permute(0, 2, 3, 1, 4)).flatten(1, 3)
    return output


def _rows(output: Tensor, words: tuple[str, ...], transposed: bool) -> Tensor:
    """An output as [B, N, columns]."""
    output = output if output.is_floating_point() and output.dtype == torch.float32 else output.float()
    width = WIDTHS.get(words[0]) if len(words) == 1 else None  # of an output of one thing
    single = width == 1
    if output.ndim == 4 and output.shape[1] == 1 and len(words) > 1:
        return output.squeeze(1)  # SSD's detections, [1, 1, N, 7]
    if output.ndim == 4 and output.shape[2:] == (1, width) and output.shape[1] != width:
        return output.squeeze(2)  # [B, N, 1, 4]
    if output.ndim == 4:  # maps [B, columns, H, W]
        return output.flatten(2).transpose(1, 2)
    if output.ndim == 1:
        return output[None, :, None]
    if output.ndim == 2:
        rows = not single or (output.shape[1] == 1 and len(output) > 1)  # [N, columns]; else [B, N]
        return output[None] if rows else output[:, :, None]
    if output.ndim != 3:
        raise InputError(f"outputs: got {list(output.shape)}, a row of boxes needs [B, N, columns]", "onnx-layout")
    return output.transpose(1, 2) if transposed and output.shape[2] != width else output


def _widths(name: str, words: tuple[str, ...], total: int) -> list[int]:
    """How many columns each word has."""
    known = [int(word.partition(COUNT)[2]) if COUNT in word else WIDTHS.get(word, 0) for word in words]
    rest = total - sum(known)
    if 0 in known:
        known[known.index(0)] = rest
    if min(known) < 1 or sum(known) != total:
        raise InputError(f"outputs: {name} has {total} columns, its layout is {' '.join(words)}", "onnx-layout")
    return known


def _of_anchors(parts: Mapping[str, Tensor], count: int, *, shared: bool) -> dict[str, Tensor]:
    """Rows of cells -> rows of anchors: each has its box and its objectness, and its classes, or those of its cell."""
    if parts["box"].shape[2] == WIDTHS["box"]:
        return dict(parts)  # they are rows of anchors
    return {
        word: part.repeat_interleave(count, dim=1)
        if word == "classes" and shared
        else part.reshape(len(part), part.shape[1] * count, -1)
        for word, part in parts.items()
    }


def _class_scores(parts: Mapping[str, Tensor], layout: OutputLayout) -> Tensor:
    classes = _activated(parts["classes"], layout)
    if layout.background != "none":
        classes = classes[..., 1:] if layout.background == "first" else classes[..., :-1]
    if "objectness" not in parts:
        return classes
    objectness = parts["objectness"].sigmoid() if layout.activation != "none" else parts["objectness"]
    if layout.objectness == "powers":
        return classes.clamp(min=0) ** 0.4 * objectness.clamp(min=0) ** 0.6
    if layout.objectness == "geometric-mean":
        return (classes.clamp(0, 1) * objectness.clamp(0, 1)).sqrt()
    return classes * objectness


def _peaks(scores: Tensor, layout: OutputLayout, canvas: tuple[int, int]) -> Tensor:
    """Scores [B, N, K], 0 where one of the eight neighbors in the map is higher."""
    sides = [tuple(_cells(layout, stride, side) for side in canvas) for stride in layout.strides]
    kept = []
    for part, (height, width) in zip(
        torch.split(scores, [math.prod(each) for each in sides], dim=1), sides, strict=True
    ):
        maps = part.transpose(1, 2).reshape(len(part), -1, height, width)
        highest = functional.max_pool2d(maps, 3, stride=1, padding=1)
        kept.append(maps.masked_fill(maps < highest, 0).flatten(2).transpose(1, 2))
    return torch.cat(kept, dim=1)


def _cells(layout: OutputLayout, stride: int, side: int) -> int:
    """How many cells a side of the canvas has."""
    return -(-side // stride) if layout.cells == "up" else side // stride


def _activated(classes: Tensor, layout: OutputLayout) -> Tensor:
    if layout.activation == "softmax":
        return classes.softmax(dim=2)
    return classes.sigmoid() if layout.activation == "sigmoid" else classes


def _boxes(parts: Mapping[str, Tensor], layout: OutputLayout, canvas: tuple[int, int]) -> Tensor:
    height, width = canvas
    if layout.coding == "boxes":
        boxes = _corners(parts["box"], layout.box)
        return boxes * boxes.new_tensor([width, height] * 2) if layout.unit == "fractions" else boxes
    if "anchor" in parts:
        return _of_output_anchors(parts, layout, canvas)
    codes = _expected(parts["bins"]) if "bins" in parts else parts["box"]
    points, steps, sides = references(layout, canvas)
    if codes.shape[1] != len(points):
        got = f"{codes.shape[1]} rows, and strides {layout.strides} of {height}x{width} have {len(points)}"
        raise InputError(f"outputs: got {got}", "onnx-layout")
    points, steps, sides = (part.to(codes.dtype) for part in (points, steps, sides))
    if layout.coding in ("distances", "pixel-distances"):
        steps = steps if layout.coding == "distances" else torch.ones_like(steps)
        near, far = (codes[..., :2] * steps, codes[..., 2:] * steps)
        return torch.cat((points - near, points + far), dim=2)
    first, second = layout.variances[0], codes.new_tensor(layout.variances[1:])
    if layout.coding == "tanh":
        center, half = points + codes[..., :2].tanh() * steps, codes[..., 2:].sigmoid() * _sides(canvas) / 2
    elif layout.coding == "grid":
        center, half = points + codes[..., :2] * steps, codes[..., 2:].exp() * steps / 2
    elif layout.coding == "anchors":
        codes = 2 * (codes.sigmoid() if layout.activation != "none" else codes)
        center, half = points + (codes[..., :2] - 0.5) * steps, codes[..., 2:] ** 2 * sides / 2
    elif layout.coding == "darknet":
        inside = codes[..., :2].sigmoid() if layout.activation != "none" else codes[..., :2]
        scale = _scales(layout, steps) if layout.scale_xy else 1
        center, half = points + (inside * scale - (scale - 1) / 2) * steps, codes[..., 2:].exp() * sides / 2
    elif layout.coding == "linear":
        center, half = points + codes[..., :2] * first * sides, codes[..., 2:] * second * sides / 2
    else:
        center, half = points + codes[..., :2] * first * sides, (codes[..., 2:] * second).exp() * sides / 2
    return torch.cat((center - half, center + half), dim=2)


def _of_output_anchors(parts: Mapping[str, Tensor], layout: OutputLayout, canvas: tuple[int, int]) -> Tensor:
    """Boxes of codes for the anchors of an output. Where the anchors have y first, the codes have it too."""
    height, width = canvas
    anchors, codes = _corners(parts["anchor"], layout.box), parts["box"]
    if layout.unit == "fractions":
        anchors = anchors * anchors.new_tensor([width, height] * 2)
    if layout.box == "yxyx":
        codes = codes[..., [1, 0, 3, 2]]
    center, sides = (anchors[..., :2] + anchors[..., 2:]) / 2, anchors[..., 2:] - anchors[..., :2]
    first, second = layout.variances[0], codes.new_tensor(layout.variances[1:])
    center, half = center + codes[..., :2] * first * sides, (codes[..., 2:] * second).exp() * sides / 2
    return torch.cat((center - half, center + half), dim=2)


def _scales(layout: OutputLayout, steps: Tensor) -> Tensor:
    """`scale_xy` of the stride of every row [N, 1]."""
    scales = torch.zeros_like(steps)
    for stride, scale in zip(layout.strides, layout.scale_xy, strict=True):
        scales[steps == stride] = scale
    return scales


def references(layout: OutputLayout, canvas: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """The point of every row [N, 2], its stride [N, 1] and the side of its prior [N, 1], or width and height of its
    anchor [N, 2], px: by rows of cells, then priors.
    """
    points, steps, sides = [], [], []
    sized = layout.anchors or [[(side,) for side in priors] for priors in layout.priors]
    for level, stride in enumerate(layout.strides):
        priors = sized[level] if sized else ((float(stride),),) * layout.per_cell
        rows, columns = (_cells(layout, stride, side) for side in canvas)
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        cells = (torch.stack((x, y), dim=-1).reshape(-1, 2) + layout.offset) * stride
        points.append(cells.repeat_interleave(len(priors), dim=0))
        steps.append(torch.full((len(points[-1]), 1), float(stride)))
        sides.append(torch.tensor(priors).repeat(len(cells), 1))
    return torch.cat(points), torch.cat(steps), torch.cat(sides)


def _sides(canvas: tuple[int, int]) -> Tensor:
    """Width and height."""
    return torch.tensor([float(canvas[1]), float(canvas[0])])


def _expected(bins: Tensor) -> Tensor:
    """Distributions over distances 0, 1, … for four sides [B, N, 4 * bins] -> their means [B, N, 4]."""
    chances = bins.reshape(*bins.shape[:2], 4, -1).softmax(dim=3)
    return chances @ torch.arange(chances.shape[3], dtype=chances.dtype)


def _corners(boxes: Tensor, form: str) -> Tensor:
    """Boxes in any form -> xyxy."""
    if form == "xyxy":
        return boxes
    if form == "yxyx":
        return boxes[..., [1, 0, 3, 2]]
    start, size = boxes[..., :2], boxes[..., 2:]
    if form == "xywh":
        return torch.cat((start, start + size), dim=-1)
    return torch.cat((start - size / 2, start + size / 2), dim=-1)


def _selected(decoded: Decoded, layout: OutputLayout) -> Detections:
    """The best of all rows and classes, suppressed class by class where that is left to us."""
    boxes, scores, labels = decoded
    dense = labels is None
    if layout.suppressed:
        index = _best(scores.flatten(1), layout.keep)
    else:
        index = nms(
            boxes,
            scores.contiguous(),
            None if labels is None else labels.long(),
            overlap=layout.overlap,
            keep=layout.keep,
            threshold=layout.threshold,
        )
    empty, index = index < 0, index.clamp(min=0)
    classes = scores.shape[2] if dense else 1
    boxes = boxes.gather(1, (index // classes)[..., None].expand(-1, -1, 4)).masked_fill(empty[..., None], 0)
    kept = scores.flatten(1).gather(1, index).masked_fill(empty, 0)
    if layout.merge == "weighted":
        every = scores.amax(dim=2) if dense else scores
        boxes = _averaged(boxes, decoded.boxes, every.masked_fill(every <= layout.threshold, 0), layout.overlap)
    numbers = index % classes if labels is None else labels.long().gather(1, index)
    return Detections(boxes, kept, numbers.masked_fill(empty, 0))


def _averaged(kept: Tensor, boxes: Tensor, scores: Tensor, overlap: float) -> Tensor:
    """Each kept box [B, K, 4] as the mean of itself and of the boxes [B, N, 4] that it suppressed, weighted by their
    scores [B, N] (BlazeFace). An empty slot stays empty.
    """
    near = iou(kept, boxes) > overlap
    first = near & (near.cumsum(dim=1) == 1)  # only the best of the kept boxes suppresses another
    weights = first * scores[:, None]
    total = weights.sum(dim=2, keepdim=True)
    return torch.where(total > 0, weights @ boxes / total.clamp(min=1e-12), kept)


def _best(scores: Tensor, keep: int) -> Tensor:
    """Indices of the best `keep` scores [B, keep], -1 where there are fewer."""
    index = scores.topk(min(keep, scores.shape[1]), dim=1).indices
    return torch.nn.functional.pad(index, (0, keep - index.shape[1]), value=-1)


def _cut(decoded: Decoded, keep: int) -> tuple[Tensor, Tensor, Tensor]:
    """Finished detections, the best `keep` of them if there are more."""
    boxes, scores, labels = decoded
    assert labels is not None
    if scores.shape[1] > keep:
        index = scores.topk(keep, dim=1).indices
        boxes = boxes.gather(1, index[..., None].expand(-1, -1, 4))
        scores, labels = scores.gather(1, index), labels.gather(1, index)
    return boxes, scores, labels.long().clamp(min=0)


def _padded(values: Tensor, capacity: int) -> Tensor:
    """[B, N, ...] -> [B, capacity, ...], filled with zeros, which are empty slots."""
    missing = capacity - values.shape[1]
    return torch.cat((values, values.new_zeros(len(values), missing, *values.shape[2:])), dim=1) if missing else values
