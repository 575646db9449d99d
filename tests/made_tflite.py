"""LiteRT files of a few tensors, written as LiteRT's schema says, for tests of what reads them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import flatbuffers
import numpy as np
import torch
from flatbuffers import flexbuffers
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.layers.fold import fold_norms
from paretodet.ops.geometry import center_size

TYPES = {
    "float32": 0,
    "float16": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "bool": 6,
    "int16": 7,
    "int8": 9,
    "float64": 10,
}
LABELS = "labelmap.txt"
FROM_OURS = (1, 0, 3, 2)  # x, y, width, height -> y, x, height, width


@dataclass(frozen=True, kw_only=True)
class Made:
    """A tensor to write. By default its type and shape are those of its numbers."""

    values: np.ndarray
    scale: Sequence[float] = ()
    zero: Sequence[int] = ()
    dimension: int = 0
    type: int | None = None
    shape: Sequence[int] | None = None
    name: str | None = None
    buffer: int | None = None
    sparse: bool = False
    elsewhere: int = 0


def write_tflite(
    path: Path,
    tensors: Mapping[str, Made],
    *,
    license: str = "",
    labels: str | None = None,
    graphs: int = 1,
    inputs: Sequence[int] = (),
    returned: Sequence[int] = (),
    operators: Mapping[str, Mapping[str, float]] | None = None,
    reads: Sequence[int] = (),
    writes: Sequence[int] = (),
    builtin: Sequence[tuple[int, Sequence[int], Sequence[int]]] = (),
    attached: Mapping[str, str] | None = None,
) -> Path:
    """Writes a file whose first buffer is empty, as LiteRT's are; `labels` are put in a zip file behind it.

    `operators` are custom ones with their options, which read the tensors `reads` and write `writes`; `builtin` ones
    are numbers of BuiltinOperator with the tensors that they read and write. `attached` are other texts in the zip
    file.
    """
    builder = flatbuffers.Builder()
    buffers = [_table(builder, 3, {})]
    for made in tensors.values():
        data = builder.CreateNumpyVector(np.frombuffer(made.values.tobytes(), np.uint8)) if made.values.size else None
        buffers.append(_table(builder, 3, {0: data, 1: ("Uint64", made.elsewhere)}))
    listed = _vector(builder, [_tensor(builder, name, made, i) for i, (name, made) in enumerate(tensors.items(), 1)])
    custom = operators or {}
    calls = [_call(builder, i, options, (reads, writes)) for i, options in enumerate(custom.values())]
    for i, (_, reads, writes) in enumerate(builtin, len(custom)):
        places = (_numbers(builder, each, builder.PrependInt32, 4) for each in (reads, writes))
        calls.append(_table(builder, 6, {0: ("Uint32", i), **dict(zip((1, 2), places, strict=True))}))
    ends = [_numbers(builder, places, builder.PrependInt32, 4) for places in (inputs, returned)]
    graph = {0: listed, 1: ends[0], 2: ends[1], 3: _vector(builder, calls)}
    fields = {2: _vector(builder, [_table(builder, 5, graph)] * graphs)}
    codes = [_table(builder, 4, {1: builder.CreateString(name)}) for name in custom]
    codes += [_table(builder, 4, {0: ("Int8", min(code, 127)), 3: ("Int32", code)}) for code, _, _ in builtin]
    fields[1] = _vector(builder, codes)
    if license:
        buffers.append(_table(builder, 3, {0: builder.CreateByteVector(_description(license))}))
        entry = {0: builder.CreateString("TFLITE_METADATA"), 1: ("Uint32", len(buffers) - 1)}
        fields[6] = _vector(builder, [_table(builder, 2, entry)])
    fields[4] = _vector(builder, buffers)
    builder.Finish(_table(builder, 9, fields), file_identifier=b"TFL3")
    texts = {**(attached or {}), **({LABELS: labels} if labels is not None else {})}
    path.write_bytes(bytes(builder.Output()) + (_zipped(texts) if texts else b""))
    return path


def ssd_tensors(detector: Detector, *, anchors: Tensor | None = None, order: Mapping[int, Sequence[int]] | None = None):
    """The tensors of an SSD MobileNet v1 by TOCO's names, norms folded, in float32.

    In `order` of a level are the places that its anchors at a location take.
    """
    body, places = "FeatureExtractor/MobilenetV1", dict[str, str]()
    for i in range(13):
        for part in ("depthwise", "pointwise"):
            places[f"{body}/MobilenetV1/Conv2d_{i + 1}_{part}"] = f"backbone.body.{i}.{part}.conv"
    for i, step in enumerate(detector.spec.neck.layers):
        last = f"{body}/Conv2d_13_pointwise"
        places[f"{last}_1_Conv2d_{i + 2}_1x1_{step.squeeze}"] = f"neck.steps.{i}.squeeze.conv"
        places[f"{last}_2_Conv2d_{i + 2}_3x3_s2_{step.channels}"] = f"neck.steps.{i}.grow.conv"
    for i in range(len(detector.info.channels)):
        places[f"BoxPredictor_{i}/BoxEncodingPredictor"] = f"heads.0.boxes.{i}"
        places[f"BoxPredictor_{i}/ClassPredictor"] = f"heads.0.scores.{i}"
    places[f"{body}/MobilenetV1/Conv2d_0"] = "backbone.stem.conv"
    plain, made = fold_norms(detector), {"BoxPredictor_0/stack": Made(values=np.array([1, 7], np.int32))}
    for scope, place in places.items():
        conv = plain.get_submodule(place)
        level = int(place[-1]) if place.startswith("heads") else None
        weight, bias = (
            _rows(conv.weight, place, (order or {}).get(level)),
            _rows(conv.bias, place, (order or {}).get(level)),
        )
        arranged = weight.permute(1, 2, 3, 0) if conv.groups > 1 else weight.permute(0, 2, 3, 1)
        made[f"{scope}/weights"] = Made(values=arranged.detach().contiguous().numpy())
        made[f"{scope}/Conv2D_bias"] = Made(values=bias.detach().numpy())
    found = ssd_anchors(detector, order) if anchors is None else anchors
    return made | {"anchors": Made(values=found.contiguous().numpy())}


def ssd_anchors(detector: Detector, order: Mapping[int, Sequence[int]] | None = None) -> Tensor:
    """Center y and x, height and width, as fractions of the canvas."""
    spec = detector.spec
    with torch.no_grad():
        maps = detector.maps(torch.zeros(1, 3, spec.height, spec.width))
    references = spec.anchors(maps, (spec.height, spec.width))
    boxes = torch.cat(center_size(references.boxes), -1) / torch.tensor((spec.width, spec.height) * 2)
    levels = torch.split(boxes[:, list(FROM_OURS)], list(references.counts))
    return torch.cat(
        [_ordered(level, spec.anchors.per_cell[i], (order or {}).get(i)) for i, level in enumerate(levels)]
    )


def _ordered(level: Tensor, count: int, order: Sequence[int] | None) -> Tensor:
    return level if order is None else level.view(-1, count, 4)[:, list(order)].reshape(-1, 4)


def _rows(values: Tensor, place: str, order: Sequence[int] | None) -> Tensor:
    if not place.startswith("heads"):
        return values
    inside = FROM_OURS if "boxes" in place else None
    anchors = len(values) // 4 if inside else None
    if inside:
        values = values.view(anchors, 4, *values.shape[1:])[:, list(inside)].reshape(values.shape)
    return (
        values if order is None else values.view(len(order), -1, *values.shape[1:])[list(order)].reshape(values.shape)
    )


def _tensor(builder: flatbuffers.Builder, name: str, made: Made, buffer: int) -> int:
    kind = TYPES[made.values.dtype.name] if made.type is None else made.type
    shape = made.values.shape if made.shape is None else made.shape
    fields = {
        0: _numbers(builder, shape, builder.PrependInt32, 4),
        1: ("Int8", kind),
        2: ("Uint32", buffer if made.buffer is None else made.buffer),
        3: builder.CreateString(name if made.name is None else made.name),
    }
    if made.scale:
        scales = _numbers(builder, made.scale, builder.PrependFloat32, 4)
        zeros = _numbers(builder, made.zero, builder.PrependInt64, 8)
        fields[4] = _table(builder, 7, {2: scales, 3: zeros, 6: ("Int32", made.dimension)})
    if made.sparse:
        fields[6] = _table(builder, 1, {})
    return _table(builder, 8, fields)


def _call(
    builder: flatbuffers.Builder, code: int, options: Mapping[str, float], tensors: tuple[Sequence[int], Sequence[int]]
) -> int:
    """`tensors` are those that it reads and writes."""
    made = flexbuffers.Builder()
    with made.Map():
        for key, value in options.items():
            made.Key(key)
            made.Add(value)
    reads, writes = (_numbers(builder, each, builder.PrependInt32, 4) for each in tensors)
    data = builder.CreateByteVector(bytes(made.Finish()))
    return _table(builder, 6, {0: ("Uint32", code), 1: reads, 2: writes, 5: data})


def _description(license: str) -> bytes:
    builder = flatbuffers.Builder()
    builder.Finish(_table(builder, 8, {5: builder.CreateString(license)}), file_identifier=b"M001")
    return bytes(builder.Output())


def _zipped(texts: Mapping[str, str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name, text)
    return content.getvalue()


def _numbers(builder: flatbuffers.Builder, values: Sequence[float], prepend, size: int) -> int:
    builder.StartVector(size, len(values), size)
    for value in reversed(values):
        prepend(value)
    return builder.EndVector()


def _vector(builder: flatbuffers.Builder, tables: Sequence[int]) -> int:
    builder.StartVector(4, len(tables), 4)
    for table in reversed(tables):
        builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


def _table(builder: flatbuffers.Builder, count: int, fields: Mapping[int, int | tuple[str, int] | None]) -> int:
    builder.StartObject(count)
    for field, value in fields.items():
        if isinstance(value, tuple):
            getattr(builder, f"Prepend{value[0]}Slot")(field, value[1], 0)
        elif value is not None:
            builder.PrependUOffsetTRelativeSlot(field, value, 0)
    return builder.EndObject()
