"""Our operators as ONNX: what `torch.onnx.export` needs to know beyond its own library.

Plain functions over opset 18, called once for each node of the exported graph, with ONNX values where the operator
takes tensors. Shapes are those of the exported example; the number of labels alone is found when the file runs.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir
import torch
from onnxscript import opset18 as op

import paretodet.ops.nms
import paretodet.ops.roi  # noqa: F401 both define operators

Value = Any  # a value of the ONNX graph

LOWEST = torch.finfo(torch.float32).min
CHUNK = 16 << 20  # bytes that a crop gathers at once: about what the caches hold


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
    """`paretodet::nms` by NonMaxSuppression, which takes planes [P, L, N] of scores and settles each plane alone.

    What it keeps is written into an empty field of the planes' shape. Back in the order of `scores`, the field's best
    `keep` are the answer, so that ties go to the lower index; with `sizes`, boxes outside are taken from the field, so
    that a plane keeps as many more as there are at most. A box turned inside out overlaps nothing, as ours. Raises
    ValueError for limits a class on classes that are not kept apart.
    """
    classes = scores.shape[2] if len(scores.shape) == 3 else 1
    several = classes > 1 or labels is not None
    if candidates_per_class is not None and several and not class_aware:
        raise ValueError("candidates_per_class: needs class_aware=True in an ONNX file")
    rows, planes, back = _planes(boxes, scores, labels if class_aware else None, apart=several and class_aware)
    if candidates_per_class is not None and candidates_per_class < scores.shape[1]:
        planes = _written(planes, *op.TopK(planes, _whole(candidates_per_class), axis=-1))
    inside = None if sizes is None else _inside(rows, sizes, scores.shape[0])
    most = _most(keep, keep_per_class, inside)
    found = op.NonMaxSuppression(_upright(rows), planes, most, _number([overlap]), _number([_floor(threshold)]))
    field = op.ScatterND(_nothing(planes), found, op.GatherND(planes, found))
    if inside is not None:
        field = op.Where(inside, field, _number(-math.inf))
    return _best(op.Reshape(back(field), _whole(scores.shape[0], -1)), math.prod(scores.shape[1:]), keep)


def _planes(
    boxes: Value, scores: Value, labels: Value | None, apart: bool
) -> tuple[Value, Value, Callable[[Value], Value]]:
    """Boxes [P, N, 4], scores [P, L, N], and the way of a field [P, L, N] back to the order of `scores`."""
    shape = (*scores.shape, 1)
    batch, count, classes = shape[:3]
    if labels is not None:
        return boxes, _by_label(scores, labels), lambda field: op.ReduceMax(field, _whole(1), keepdims=0)
    if not apart:
        rows = boxes if len(boxes.shape) == len(shape) or classes == 1 else _beside(boxes, classes)
        flat = op.Reshape(scores, _whole(batch, 1, count * classes))
        return op.Reshape(rows, _whole(batch, count * classes, 4)), flat, lambda field: field
    planes = op.Transpose(scores, perm=[0, 2, 1])
    if len(boxes.shape) == 3:
        return boxes, planes, lambda field: op.Transpose(field, perm=[0, 2, 1])
    rows = op.Reshape(op.Transpose(boxes, perm=[0, 2, 1, 3]), _whole(batch * classes, count, 4))
    alone = op.Reshape(planes, _whole(batch * classes, 1, count))
    return rows, alone, lambda field: op.Transpose(op.Reshape(field, _whole(batch, classes, count)), perm=[0, 2, 1])


def _inside(rows: Value, sizes: Value, batch: int) -> Value:
    """Boxes [P, N, 4] of which some area is inside of their image: [P, 1, N]."""
    limits = op.Unsqueeze(op.Gather(sizes, _whole(1, 0), axis=1), _whole(1))
    low, high = op.Split(op.Reshape(rows, _whole(batch, -1, 4)), num_outputs=2, axis=-1)
    side = op.ReduceMin(op.Sub(op.Min(high, limits), op.Max(low, _number(0.0))), _whole(-1), keepdims=0)
    planes = op.Shape(rows, start=0, end=1)
    return op.Reshape(op.Greater(side, _number(0.0)), op.Concat(planes, _whole(1, -1), axis=0))


def _most(keep: int, keep_per_class: int | None, inside: Value | None) -> Value:
    """How many a plane has to keep: each box outside may stand before one that is an answer."""
    least = min(keep, keep_per_class or keep)
    if inside is None or least == keep_per_class:
        return _whole(least)
    outside = op.ReduceMax(
        op.ReduceSum(op.Cast(op.Not(inside), to=onnx_ir.DataType.INT64), _whole(-1), keepdims=0), keepdims=0
    )
    more = op.Add(outside, _whole(keep))
    return more if keep_per_class is None else op.Min(more, _whole(keep_per_class))


def _by_label(scores: Value, labels: Value) -> Value:
    """[B, M] -> [B, L, M], -inf where the label is another."""
    last = op.ReduceMax(labels, keepdims=0)
    every = op.Range(_whole(0, scalar=True), op.Add(last, _whole(1, scalar=True)), _whole(1, scalar=True))
    own = op.Equal(op.Unsqueeze(labels, _whole(1)), op.Unsqueeze(every, _whole(1)))
    return op.Where(own, op.Unsqueeze(scores, _whole(1)), _number(-math.inf))


def _beside(boxes: Value, classes: int) -> Value:
    """[B, N, 4] -> [B, N, K, 4]"""
    return op.Expand(op.Unsqueeze(boxes, _whole(2)), _whole(1, 1, classes, 1))


def _floor(threshold: float) -> float:
    """The largest finite float32 that is not above a threshold, which itself need not be one."""
    limit = np.float32(max(threshold, LOWEST))
    return float(np.nextafter(limit, np.float32(-math.inf)) if float(limit) > threshold > LOWEST else limit)


def _upright(boxes: Value) -> Value:
    low, high = op.Split(boxes, num_outputs=2, axis=-1)
    return op.Concat(low, op.Max(low, high), axis=-1)


def _nothing(planes: Value) -> Value:
    return op.ConstantOfShape(op.Shape(planes), value=onnx_ir.tensor(np.array([-math.inf], np.float32)))


def _written(planes: Value, values: Value, places: Value) -> Value:
    """Only these values of the planes, -inf elsewhere."""
    return op.ScatterElements(_nothing(planes), places, values, axis=-1)


def _best(field: Value, count: int, keep: int) -> Value:
    """[B, count] -> places of the best [B, keep], -1 where nothing is."""
    values, places = op.TopK(field, _whole(min(keep, count)), axis=-1)
    found = op.Where(op.Greater(values, _number(-math.inf)), places, _whole(-1))
    return op.Pad(found, _whole(0, 0, 0, max(keep - count, 0)), _whole(-1, scalar=True))


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
    """Weighted sums of table rows as `ops.roi` takes them: index and weights [N * taps], every bag of `taps` rows.

    A gather of all rows at once would be `taps` times the crops; in chunks it is small and quicker, the weighted sum
    a matrix product. Raises ValueError for bags that are no weighted sums or cannot be of one size.
    """
    (total,), (count,), channels = index.shape, offsets.shape, table.shape[1]
    if mode != 0 or weights is None or include_last_offset or total % count:
        raise ValueError("embedding_bag: weighted sums over bags of one size can be written, others cannot")
    taps = total // count
    index, weights = (op.Reshape(value, _whole(count, taps)) for value in (index, weights))
    step = max(CHUNK // (taps * channels * 4), 1)
    sums = []
    for start in range(0, count, step):
        at, share = (op.Slice(v, _whole(start), _whole(start + step), _whole(0)) for v in (index, weights))
        sums.append(op.MatMul(op.Unsqueeze(share, _whole(1)), op.Gather(table, at, axis=0)))
    joined = op.Concat(*sums, axis=0) if len(sums) > 1 else sums[0]
    return op.Reshape(joined, _whole(count, channels)), offsets, offsets, offsets  # nobody reads the last three


def roi_pool(features: Value, boxes: Value, stride: int, bins: int) -> Value:
    """`paretodet::roi_pool` by MaxRoiPool: [B, C, H, W], [B, R, 4] -> [B, R, bins, bins, C].

    It divides in float32, as Caffe does. So the last bin of a box of 57 or 114 cells (of 7 bins; the next is 121)
    reaches one cell farther than ours, which divides whole numbers.
    """
    batch, count = boxes.shape[:2]
    image = op.Constant(value=onnx_ir.tensor(np.repeat(np.arange(batch, dtype=np.float32), count)[:, None]))
    rows = op.Concat(image, op.Reshape(boxes, _whole(batch * count, 4)), axis=1)
    crops = op.MaxRoiPool(features, rows, pooled_shape=[bins, bins], spatial_scale=1 / stride)
    last = op.Transpose(crops, perm=[0, 2, 3, 1])
    return op.Reshape(last, _whole(batch, count, bins, bins, features.shape[1]))


def _whole(*values: int, scalar: bool = False) -> Value:
    return op.Constant(value_int=values[0]) if scalar else op.Constant(value_ints=list(values))


def _number(value: float | list[float]) -> Value:
    return op.Constant(value_floats=value) if isinstance(value, list) else op.Constant(value_float=value)


TABLE: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.paretodet.nms.default: nms,
    torch.ops.paretodet.roi_pool.default: roi_pool,
    torch.ops.aten.embedding_bag.padding_idx: embedding_bag,
    torch.ops.aten._embedding_bag_forward_only.default: embedding_bag,
}
