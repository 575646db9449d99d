"""ONNX translations of operators that `torch.onnx.export` does not translate, or not well.

Functions over opset 18 that are called once for every node of the exported graph, with ONNX values in place of
tensors. Shapes are those of the exported example; only the number of labels is determined when the file runs, and those
of the images and, in suppression, of their references, if they are open.
"""

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir
import torch
from onnxscript import opset18 as op

import paretodet.ops.adaptive
import paretodet.ops.nms
import paretodet.ops.roi  # noqa: F401 all register operators

Value = Any  # a value of the ONNX graph

LOWEST = torch.finfo(torch.float32).min
CHUNK = 16 << 20  # bytes that a crop gathers at once: about the size of the caches
OPEN_SIDE = re.compile(r"(?:(\d+)\*)?[a-z]\w*")  # the length of a tensor that grows with the number of images


def nms(
    boxes: Value,
    scores: Value,
    labels: Value | None,
    sizes: Value | None,
    overlap: float,
    keep: int,
    threshold: float,
    candidates_per_class: int | None,
    keep_per_class: int | None,
    class_aware: bool,
) -> Value:
    """`paretodet::nms` by NonMaxSuppression, which processes planes [P, L, N] of scores independently.

    The scores that it keeps are written into an empty field of the planes' shape. The result is the best `keep` of the
    field in the order of `scores`, so that ties go to the lower index. With `sizes`, boxes outside the image are
    removed from the field, so a plane keeps as many more as there can be. An inverted box overlaps nothing, as in
    `ops.nms`. Raises ValueError for limits per class if suppression is not by class, and for an open number of
    references with `candidates_per_class` or one box a class.
    """
    classes = scores.shape[2] if len(scores.shape) == 3 else 1
    several = classes > 1 or labels is not None
    if candidates_per_class is not None and several and not class_aware:
        raise ValueError("candidates_per_class: needs class_aware=True in an ONNX file")
    images, references = _sides(scores)
    if references < 0 and (candidates_per_class is not None or len(boxes.shape) > 3):
        raise ValueError("boxes: candidates_per_class, and one box a class, need a fixed number of boxes")
    rows, planes, back = _planes(boxes, scores, labels if class_aware else None, apart=several and class_aware)
    if candidates_per_class is not None and candidates_per_class < references:
        planes = _written(planes, *op.TopK(planes, _whole(candidates_per_class), axis=-1, sorted=0))
    count = _times(references, classes)
    each = count if len(boxes.shape) > 3 or not (several and class_aware) else references
    inside = None if sizes is None else _inside(rows, sizes, each)
    limit = _plane_limit(keep, keep_per_class, inside)
    kept = op.NonMaxSuppression(_upright(rows), planes, limit, _number([overlap]), _number([_floor(threshold)]))
    field = op.ScatterND(_empty(planes), kept, op.GatherND(planes, kept))
    if inside is not None:
        field = op.Where(inside, field, _number(-math.inf))
    return _best(op.Reshape(back(field), _whole(images, count)), count, keep)


def _sides(scores: Value) -> tuple[int, int]:
    """The numbers of images and of references as sides of a new shape; one that is open is -1. Beside an open number of
    references that of images is 0: as before.
    """
    images, references = (side if isinstance(side, int) else -1 for side in scores.shape[:2])
    return images if references > 0 else 0, references


def _times(count: int, factor: int) -> int:
    """An open number, -1, stays open."""
    return count * factor if count > 0 else -1


def _planes(
    boxes: Value, scores: Value, labels: Value | None, apart: bool
) -> tuple[Value, Value, Callable[[Value], Value]]:
    """Boxes [P, N, 4], scores [P, L, N], and a function from a field [P, L, N] back to the order of `scores`."""
    classes = (*scores.shape, 1)[2]
    batch, count = _sides(scores)
    if labels is not None:
        return boxes, _by_label(scores, labels), lambda field: op.ReduceMax(field, _whole(1), keepdims=0)
    if not apart:
        rows = boxes if len(boxes.shape) == len(scores.shape) + 1 or classes == 1 else _repeated(boxes, classes)
        flat = op.Reshape(scores, _whole(batch, 1, _times(count, classes)))
        return op.Reshape(rows, _whole(batch, _times(count, classes), 4)), flat, lambda field: field
    planes = op.Transpose(scores, perm=[0, 2, 1])
    if len(boxes.shape) == 3:
        return boxes, planes, lambda field: op.Transpose(field, perm=[0, 2, 1])
    planes_of = _times(batch, classes)
    rows = op.Reshape(op.Transpose(boxes, perm=[0, 2, 1, 3]), _whole(planes_of, count, 4))
    alone = op.Reshape(planes, _whole(planes_of, 1, count))
    return rows, alone, lambda field: op.Transpose(op.Reshape(field, _whole(batch, classes, count)), perm=[0, 2, 1])


def _inside(rows: Value, sizes: Value, each: int) -> Value:
    """Whether boxes [P, N, 4], of every image so many, overlap their image: [P, 1, N]."""
    limits = op.Unsqueeze(op.Gather(sizes, _whole(1, 0), axis=1), _whole(1))
    of_image = op.Reshape(rows, _whole(-1, each, 4)) if each > 0 else rows
    low, high = op.Split(of_image, num_outputs=2, axis=-1)
    side = op.ReduceMin(op.Sub(op.Min(high, limits), op.Max(low, _number(0.0))), _whole(-1), keepdims=0)
    planes = op.Shape(rows, start=0, end=1)
    return op.Reshape(op.Greater(side, _number(0.0)), op.Concat(planes, _whole(1, -1), axis=0))


def _plane_limit(keep: int, keep_per_class: int | None, inside: Value | None) -> Value:
    """How many boxes a plane has to keep: any box outside the image may rank before one of the result."""
    limit = min(keep, keep_per_class or keep)
    if inside is None or limit == keep_per_class:
        return _whole(limit)
    outside = op.ReduceMax(
        op.ReduceSum(op.Cast(op.Not(inside), to=onnx_ir.DataType.INT64), _whole(-1), keepdims=0), keepdims=0
    )
    more = op.Add(outside, _whole(keep))
    return more if keep_per_class is None else op.Min(more, _whole(keep_per_class))


def _by_label(scores: Value, labels: Value) -> Value:
    """[B, M] -> [B, L, M], -inf for other labels."""
    last = op.ReduceMax(labels, keepdims=0)
    every = op.Range(_whole(0, scalar=True), op.Add(last, _whole(1, scalar=True)), _whole(1, scalar=True))
    same = op.Equal(op.Unsqueeze(labels, _whole(1)), op.Unsqueeze(every, _whole(1)))
    return op.Where(same, op.Unsqueeze(scores, _whole(1)), _number(-math.inf))


def _repeated(boxes: Value, classes: int) -> Value:
    """[B, N, 4] -> [B, N, K, 4]"""
    return op.Expand(op.Unsqueeze(boxes, _whole(2)), _whole(1, 1, classes, 1))


def _floor(threshold: float) -> float:
    """The largest finite float32 that is not above `threshold`."""
    limit = np.float32(max(threshold, LOWEST))
    return float(np.nextafter(limit, np.float32(-math.inf)) if float(limit) > threshold > LOWEST else limit)


def _upright(boxes: Value) -> Value:
    low, high = op.Split(boxes, num_outputs=2, axis=-1)
    return op.Concat(low, op.Max(low, high), axis=-1)


def _empty(planes: Value) -> Value:
    return op.ConstantOfShape(op.Shape(planes), value=onnx_ir.tensor(np.array([-math.inf], np.float32)))


def _written(planes: Value, values: Value, places: Value) -> Value:
    """A field of the planes' shape with these values, -inf elsewhere."""
    return op.ScatterElements(_empty(planes), places, values, axis=-1)


def _best(field: Value, count: int, keep: int) -> Value:
    """[B, count] -> indices of the best values [B, keep], -1 for empty slots.

    These hold -inf, or the lowest number: OpenVINO's ReduceMax has no other maximum of -inf. A `count` of -1 is open.
    """
    if count < 0:
        field, count = op.Pad(field, _whole(0, 0, 0, keep), _number(-math.inf)), keep  # at least as many
    values, places = op.TopK(field, _whole(min(keep, count)), axis=-1)
    indices = op.Where(op.Greater(values, _number(LOWEST)), places, _whole(-1))
    return op.Pad(indices, _whole(0, 0, 0, max(keep - count, 0)), _whole(-1, scalar=True))


def embedding_bag(
    table: Value,
    index: Value,
    offsets: Value,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    weights: Value | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> tuple[Value, ...]:
    """Weighted sums of table rows, as `ops.roi` uses them: index and weights [N * taps], `taps` rows in every bag.

    Gathering all rows at once would need `taps` times the memory of the crops; in chunks it is smaller and faster,
    with the weighted sum as a matrix product. Raises ValueError for other modes and for bags of different sizes.
    """
    (total, images), (count, same), channels = _factors(index), _factors(offsets), table.shape[1]
    if mode != 0 or weights is None or include_last_offset or total % count or images != same:
        raise ValueError("embedding_bag: only weighted sums over bags of one size can be exported")
    taps, axis = total // count, len(images)  # bags of one image, in a dimension of their own, if images are open
    index, weights = (op.Reshape(value, _whole(*images, count, taps)) for value in (index, weights))
    step = max(CHUNK // (taps * channels * 4), 1)
    sums = []
    for start in range(0, count, step):
        at, share = (op.Slice(v, _whole(start), _whole(start + step), _whole(axis)) for v in (index, weights))
        sums.append(op.MatMul(op.Unsqueeze(share, _whole(axis + 1)), op.Gather(table, at, axis=0)))
    joined = op.Concat(*sums, axis=axis) if len(sums) > 1 else sums[0]
    sums_of_bags = op.Reshape(joined, _whole(-1 if images else count, channels))
    return sums_of_bags, offsets, offsets, offsets  # the last three outputs are not used


def _factors(values: Value) -> tuple[int, tuple[int, ...]]:
    """The length of [n], and (); if the images are open, it is "300*images": 300, and (-1,) as their side."""
    (length,) = values.shape
    if isinstance(length, int):
        return length, ()
    open_side = OPEN_SIDE.fullmatch(length.value or "")
    if open_side is None:
        raise ValueError(f"embedding_bag: got a length of {length.value}, which is no multiple of the images")
    return int(open_side[1] or 1), (-1,)


def _image_of(boxes: Value) -> Value:
    """The index of the image of each box [B, R, 4], int64 [B * R]."""
    batch, count = boxes.shape[:2]
    if isinstance(batch, int):
        return op.Constant(value=onnx_ir.tensor(np.repeat(np.arange(batch, dtype=np.int64), count)))
    images = op.Squeeze(op.Shape(boxes, start=0, end=1), _whole(0))
    numbers = op.Range(_whole(0, scalar=True), images, _whole(1, scalar=True))
    return op.Reshape(op.Expand(op.Unsqueeze(numbers, _whole(1)), _whole(1, count)), _whole(-1))


def roi_pool(features: Value, boxes: Value, stride: int, bins: int) -> Value:
    """`paretodet::roi_pool` by MaxRoiPool: [B, C, H, W], [B, R, 4] -> [B, R, bins, bins, C].

    MaxRoiPool divides in float32, as Caffe does. For 7 bins, the last bin of a box of 57, 114, 121, … cells is
    therefore one cell larger than in `ops.roi`, which divides integers.
    """
    batch, count = _sides(boxes)
    image = op.Unsqueeze(op.Cast(_image_of(boxes), to=onnx_ir.DataType.FLOAT), _whole(1))
    rows = op.Concat(image, op.Reshape(boxes, _whole(-1, 4)), axis=1)
    crops = op.MaxRoiPool(features, rows, pooled_shape=[bins, bins], spatial_scale=1 / stride)
    last = op.Transpose(crops, perm=[0, 2, 3, 1])
    return op.Reshape(last, _whole(batch, count, bins, bins, features.shape[1]))


def adaptive_align(
    maps: list[Value], boxes: Value, levels: Value, strides: list[int], bins: int, aligned: bool
) -> Value:
    """`paretodet::adaptive_align` by RoiAlign: maps [B, C, H, W], [B, R, 4] -> [B, R, bins, bins, C].

    Every level crops all boxes, those of other levels without area, for which it takes at most one sample a bin.
    """
    (batch, count), image = _sides(boxes), _image_of(boxes)
    rows, level_of = op.Reshape(boxes, _whole(-1, 4)), op.Reshape(levels, _whole(-1, 1))
    found = None
    for level, (features, stride) in enumerate(zip(maps, strides, strict=True)):
        here = op.Equal(level_of, _whole(level))
        crops = op.RoiAlign(
            features,
            op.Where(here, rows, _number(0.0)),
            image,
            coordinate_transformation_mode="half_pixel" if aligned else "output_half_pixel",
            output_height=bins,
            output_width=bins,
            sampling_ratio=0,
            spatial_scale=1 / stride,
        )
        chosen = op.Where(op.Reshape(here, _whole(-1, 1, 1, 1)), crops, _number(0.0))
        found = chosen if found is None else op.Add(found, chosen)
    last = op.Transpose(found, perm=[0, 2, 3, 1])
    return op.Reshape(last, _whole(batch, count, bins, bins, maps[0].shape[1]))


def _whole(*values: int, scalar: bool = False) -> Value:
    return op.Constant(value_int=values[0]) if scalar else op.Constant(value_ints=list(values))


def _number(value: float | list[float]) -> Value:
    return op.Constant(value_floats=value) if isinstance(value, list) else op.Constant(value_float=value)


TABLE: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.paretodet.nms.default: nms,
    torch.ops.paretodet.roi_pool.default: roi_pool,
    torch.ops.paretodet.adaptive_align.default: adaptive_align,
    torch.ops.aten.embedding_bag.padding_idx: embedding_bag,
    torch.ops.aten._embedding_bag_forward_only.default: embedding_bag,
}
