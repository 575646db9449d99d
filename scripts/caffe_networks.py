"""Caffe's networks on VGG-16, written from their published layers at any width, and random `.caffemodel` files of them.

Liu et al.'s SSD300 and SSD512 (examples/ssd of their branch of Caffe) and Ren et al.'s Faster R-CNN (py-faster-rcnn).
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SEED = 20161208
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
COCO_300, COCO_512 = (21, 45, 99, 153, 207, 261, 315), (20.48, 51.2, 133.12, 215.04, 296.96, 378.88, 460.8, 542.72)
VOC_300, VOC_512 = (30, 60, 111, 162, 213, 264, 315), (35.84, 76.8, 153.6, 230.4, 307.2, 384, 460.8, 537.6)
DETECTION_OUTPUT = {
    "share_location": True, "background_label_id": 0, "keep_top_k": 200, "code_type": "CENTER_SIZE",
    "nms_param": {"nms_threshold": 0.45, "top_k": 400}, "confidence_threshold": 0.01,
}  # fmt: skip
Arrays = Mapping[str, list[np.ndarray]]
Message = Iterable[tuple[int, Any]]
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Network:
    """A network of Caffe: prototxt, the shapes of its weights in the order of our modules, and its default boxes."""

    name: str  # in our catalogue
    prototxt: str
    shapes: Shapes
    size: tuple[int, int]  # height, width of the canvas
    regions: int = 0  # of a Faster R-CNN
    norm: int = 0  # channels of conv4_3_norm
    priors: dict[str, Message] | None = None


def ssd(side: int, *, classes: int, sizes: tuple[float, ...], width: float = 1.0) -> Network:
    """Liu et al.'s SSD300 or SSD512 with `classes` outputs, the background included."""
    text = Prototxt()
    text.input("data", (1, 3, side, side))
    shapes, sources = _reduced_vgg(text, width), {"conv4_3_norm": 512, "fc7": 1024}
    shapes |= _extra_layers(text, sources, side, width)
    ratios = [(2,), *[(2, 3)] * (len(sources) - 3), (2,), (2,)]
    steps = (8, 16, 32, 64, 100, 300) if side < 512 else (8, 16, 32, 64, 128, 256, 512)
    priors = {}
    for i, source in enumerate(sources):
        boxes = {"min_size": int(sizes[i]), "max_size": int(sizes[i + 1]), "aspect_ratio": list(ratios[i])}  # as Caffe
        boxes |= {"flip": True, "clip": False, "variance": [0.1, 0.1, 0.2, 0.2], "step": steps[i], "offset": 0.5}
        text.add("PriorBox", f"{source}_mbox_priorbox", [source, "data"], prior_box_param=boxes)
        priors[f"{source}_mbox_priorbox"] = prior_box(sizes[i], sizes[i + 1], ratios[i], steps[i])
    for kind, each in (("loc", 4), ("conf", classes)):
        for (source, depth), ratio in zip(sources.items(), ratios, strict=True):
            shape = (each * (2 + 2 * len(ratio)), _w(depth, width), 3)
            shapes |= _conv(text, f"{source}_mbox_{kind}", source, shape, pad=1, relu=False)
    _detection_output(text, list(sources), classes)
    return Network(f"ssd_liu-vgg16-{side}", str(text), shapes, (side, side), norm=_w(512, width), priors=priors)


def _reduced_vgg(text: "Prototxt", width: float) -> Shapes:
    shapes = dict(_vgg(text, width))
    text.add("Normalize", "conv4_3_norm", ["conv4_3"], norm_param={"across_spatial": False, "channel_shared": False})
    text.add("Pooling", "pool5", ["conv5_3"], pooling_param={"pool": "MAX", "kernel_size": 3, "stride": 1, "pad": 1})
    shapes |= _conv(text, "fc6", "pool5", (_w(1024, width), _w(512, width), 3), pad=6, dilation=6)
    return shapes | _conv(text, "fc7", "fc6", (_w(1024, width), _w(1024, width), 1))


def _extra_layers(text: "Prototxt", sources: dict[str, int], side: int, width: float) -> Shapes:
    """conv6 to conv9 or conv10, each of which adds a source."""
    small, last = (128, 256, 3, 0, 1), (128, 256, 4, 1, 1)  # squeeze, channels, kernel, pad, stride
    halved = (128, 256, 3, 1, 2)
    tail = [(256, 512, 3, 1, 2), halved, *((small, small) if side < 512 else (halved, halved, last))]
    shapes: Shapes = {}
    for index, (squeeze, depth, kernel, pad, stride) in enumerate(tail, 6):
        reads, channels = [*sources.items()][-1]
        one, two = f"conv{index}_1", f"conv{index}_2"
        shapes |= _conv(text, one, reads, (_w(squeeze, width), _w(channels, width), 1))
        shapes |= _conv(text, two, one, (_w(depth, width), _w(squeeze, width), kernel), pad=pad, stride=stride)
        sources[two] = depth
    return shapes


def _detection_output(text: "Prototxt", sources: list[str], classes: int) -> None:
    for kind in ("loc", "conf"):
        for name in (f"{source}_mbox_{kind}" for source in sources):
            text.add("Permute", f"{name}_perm", [name], permute_param={"order": [0, 2, 3, 1]})
            text.add("Flatten", f"{name}_flat", [f"{name}_perm"], flatten_param={"axis": 1})
    for kind, axis, end in (("loc", 1, "_flat"), ("conf", 1, "_flat"), ("priorbox", 2, "")):
        text.add("Concat", f"mbox_{kind}", [f"{s}_mbox_{kind}{end}" for s in sources], concat_param={"axis": axis})
    text.add("Reshape", "mbox_conf_reshape", ["mbox_conf"], reshape_param={"shape": {"dim": [0, -1, classes]}})
    text.add("Softmax", "mbox_conf_softmax", ["mbox_conf_reshape"], softmax_param={"axis": 2})
    text.add("Flatten", "mbox_conf_flatten", ["mbox_conf_softmax"], flatten_param={"axis": 1})
    inputs = ["mbox_loc", "mbox_conf_flatten", "mbox_priorbox"]
    output = {"num_classes": classes} | DETECTION_OUTPUT
    text.add("DetectionOutput", "detection_out", inputs, detection_output_param=output)


def faster_rcnn(size: tuple[int, int], *, classes: int, regions: int, width: float = 1.0) -> Network:
    """Ren et al.'s Faster R-CNN, whose regions are an input, as OpenCV has no layer of theirs in Python."""
    text = Prototxt()
    text.input("data", (1, 3, *size))
    text.input("rois", (regions, 5))
    shapes = dict(_vgg(text, width))
    proposals = dict(_conv(text, "rpn_conv/3x3", "conv5_3", (_w(512, width), _w(512, width), 3), pad=1))
    proposals |= _conv(text, "rpn_bbox_pred", "rpn_conv/3x3", (48, _w(512, width), 1), relu=False)
    proposals |= _conv(text, "rpn_cls_score", "rpn_conv/3x3", (24, _w(512, width), 1), relu=False)
    text.add("Reshape", "rpn_reshaped", ["rpn_cls_score"], reshape_param={"shape": {"dim": [0, 2, -1, 0]}})
    text.add("Softmax", "rpn_cls_prob", ["rpn_reshaped"])
    pool = {"pooled_w": 7, "pooled_h": 7, "spatial_scale": 0.0625}
    text.add("ROIPooling", "pool5", ["conv5_3", "rois"], roi_pooling_param=pool)
    shapes |= _full(text, "fc6", "pool5", _w(4096, width), _w(512, width) * 49)
    shapes |= _full(text, "fc7", "fc6", _w(4096, width), _w(4096, width))
    shapes |= proposals
    shapes |= _full(text, "cls_score", "fc7", classes, _w(4096, width), relu=False)
    shapes |= _full(text, "bbox_pred", "fc7", 4 * classes, _w(4096, width), relu=False)
    return Network("faster_rcnn_ren-vgg16-600x850-p300", str(text), shapes, size, regions)


class Prototxt:
    """The text of a network; a layer's output has the name of the layer."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def input(self, name: str, shape: tuple[int, ...]) -> None:
        self._lines.append(f'input: "{name}" input_shape {{ {" ".join(f"dim: {side}" for side in shape)} }}')

    def add(self, kind: str, name: str, reads: list[str], *, writes: str = "", **params: Any) -> None:
        bottoms = " ".join(f'bottom: "{source}"' for source in reads)
        head = f'name: "{name}" type: "{kind}" {bottoms} top: "{writes or name}"'
        self._lines.append(f"layer {{ {head} {_prototxt(params)} }}")

    def __str__(self) -> str:
        return "\n".join(self._lines)


def _prototxt(values: Mapping[str, Any]) -> str:
    parts = []
    for key, value in values.items():
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                parts.append(f"{key} {{ {_prototxt(each)} }}")
            else:
                parts.append(f"{key}: {str(each).lower() if isinstance(each, bool) else each}")
    return " ".join(parts)


def _w(channels: int, width: float) -> int:
    return int(channels * width)


def _vgg(text: Prototxt, width: float) -> Iterator[tuple[str, tuple[int, ...]]]:
    last, channels = "data", 3
    for block, (depth, count) in enumerate(BLOCKS, 1):
        if block > 1:
            text.add(
                "Pooling", f"pool{block - 1}", [last], pooling_param={"pool": "MAX", "kernel_size": 2, "stride": 2}
            )
            last = f"pool{block - 1}"
        for i in range(1, count + 1):
            yield from _conv(text, f"conv{block}_{i}", last, (_w(depth, width), channels, 3), pad=1).items()
            last, channels = f"conv{block}_{i}", _w(depth, width)


def _conv(
    text: Prototxt, name: str, reads: str, shape: tuple[int, int, int], *, relu: bool = True, **params: int
) -> dict[str, tuple[int, ...]]:
    depth, channels, kernel = shape
    text.add("Convolution", name, [reads], convolution_param={"num_output": depth, "kernel_size": kernel} | params)
    _relu(text, name, relu)
    return {name: (depth, channels, kernel, kernel)}


def _full(
    text: Prototxt, name: str, reads: str, depth: int, channels: int, *, relu: bool = True
) -> dict[str, tuple[int, ...]]:
    text.add("InnerProduct", name, [reads], inner_product_param={"num_output": depth})
    _relu(text, name, relu)
    return {name: (depth, channels)}


def _relu(text: Prototxt, name: str, relu: bool) -> None:
    if relu:
        text.add("ReLU", f"{name}_relu", [name], writes=name)


def draw(network: Network, gains: Mapping[str, float], seed: int = SEED) -> dict[str, list[np.ndarray]]:
    """The blobs of each layer: weights and biases, uniform."""
    noise, layers = np.random.default_rng(seed), {}
    for name, shape in network.shapes.items():
        scale = gains.get(name, 1.0) * (3 / np.prod(shape[1:])) ** 0.5
        weights = (noise.random(shape, np.float32) * 2 - 1) * np.float32(scale)
        layers[name] = [weights, noise.random(shape[0], np.float32) - np.float32(0.5)]
    if network.norm:
        layers["conv4_3_norm"] = [noise.random(network.norm, np.float32) * 20 + 10]
    return layers


def write(path: Path, network: Network, layers: Arrays, *, form: str = "new") -> None:
    """A `.caffemodel`. In the `form` "new" of 2015, "old" (V1, four sides for each blob), "single" or "double"."""
    priors = network.priors or {}
    number, kind, name_field, blob_field = (2, 5, 4, 6) if form == "old" else (100, 2, 1, 7)
    with path.open("wb") as file:
        file.write(encoded([(1, "drawn")]))
        for name in [*network.shapes, *layers.keys() - network.shapes.keys(), *priors]:
            described: list[tuple[int, Any]] = [(name_field, name), (kind, 4 if form == "old" else "Convolution")]
            described += [(blob_field, _blob(values, form)) for values in layers.get(name, [])]
            described += [(203, priors[name])] if name in priors else []
            file.write(encoded([(number, described)]))


def _blob(values: np.ndarray, form: str) -> Message:
    if form == "old":
        sides = [1] * (4 - values.ndim) + list(values.shape)
        return [*enumerate(sides, 1), (5, values.astype("<f4").tobytes())]
    shape = (7, [(1, b"".join(varint(side) for side in values.shape))])
    if form == "double":
        return [(8, values.astype("<f8").tobytes()), shape]
    if form == "single":
        return [shape, *((5, float(value)) for value in values.flat)]
    return [(5, values.astype("<f4").tobytes()), shape]


def prior_box(small: float, large: float, ratios: tuple[int, ...], step: int) -> Message:
    """A message PriorBoxParameter."""
    lists = [(3, float(ratio)) for ratio in ratios], [(6, value) for value in (0.1, 0.1, 0.2, 0.2)]
    return [(1, float(small)), (2, float(large)), *lists[0], (4, 1), (5, 0), *lists[1], (10, float(step)), (13, 0.5)]


def encoded(message: Message) -> bytes:
    """A message as bytes: whole numbers as varints, others as 4 bytes, texts, bytes and messages by their length."""
    parts = []
    for number, value in message:
        if isinstance(value, int):
            parts.append(varint(number << 3) + varint(value))
        elif isinstance(value, float):
            parts.append(varint(number << 3 | 5) + struct.pack("<f", value))
        else:
            content = (
                value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else encoded(value)
            )
            parts.append(varint(number << 3 | 2) + varint(len(content)) + content)
    return b"".join(parts)


def varint(number: int) -> bytes:
    parts = []
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])
