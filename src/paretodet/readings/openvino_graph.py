"""The structure of a model of OpenVINO (an .xml with its .bin), by the names that ONNX has for the same operators.

Source: OpenVINO's documentation of its IR; `model_info` as Model API and Ultralytics write it, and the latter's
`metadata.yaml` beside the model. Nothing is executed and no library is needed.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from paretodet.errors import InputError, words
from paretodet.labels.formats.yolo_settings import read_yaml
from paretodet.labels.xml_stream import children
from paretodet.readings.onnx_graph import INFO, SMALL, Node, OnnxGraph, written

ROOT = "net"

BESIDE = "metadata.yaml"
CONSTANT, CONVERTED, ENDS = "Const", "Convert", ("Parameter", "Result", "Const")
OPERATORS = {
    "Convolution": "Conv",
    "GroupConvolution": "Conv",
    "ConvolutionBackpropData": "ConvTranspose",
    "GroupConvolutionBackpropData": "ConvTranspose",
    "SoftMax": "Softmax",
    "Divide": "Div",
    "Multiply": "Mul",
    "Subtract": "Sub",
}
TYPES = {"f32": "<f4", "f16": "<f2", "i64": "<i8", "i32": "<i4"}  # of constants that are read
Names = Mapping[tuple[str, str], tuple[str, ...]]  # of what leaves a port of a layer


def read_graph(path: Path) -> OnnxGraph:
    """The structure of a model. Raises InputError naming it if it is none, OSError if a file cannot be read."""
    try:
        parts = {element.tag: element for element in children(path, ROOT)}
        layers = list(parts.get("layers", ()))
        constants = dict(_constants(layers, path.with_suffix(".bin")))
        sizes = frozenset(size for layer in layers for size in written(_sides(layer)))
    except (InputError, ValueError) as error:
        raise InputError(f"{path}: not a model of OpenVINO ({words(error)})", "graph-failed") from None
    names = dict(_names(layers))
    edges = {_end(edge, "to"): names.get(_end(edge, "from"), ()) for edge in parts.get("edges", ())}
    nodes = tuple(_node(layer, names, edges) for layer in layers if layer.get("type") not in ENDS)
    named = {name: values for (id, port), many in names.items() for name in many if (values := constants.get(id))}
    for node in nodes:
        if node.operator == CONVERTED and node.inputs and node.inputs[0] in named:  # from float16
            named |= dict.fromkeys(node.outputs, named[node.inputs[0]])
    info = parts.get("rt_info", Element("rt_info"))
    version = info.find("Runtime_version")
    return OnnxGraph(
        metadata=_metadata(info, path.with_name(BESIDE)),
        producer=f"OpenVINO {'' if version is None else version.get('value', '')}".strip(),
        nodes=nodes,
        constants=named,
        sizes=sizes,
    )


def _end(edge: Element, side: str) -> tuple[str, str]:
    return edge.get(f"{side}-layer", ""), edge.get(f"{side}-port", "")


def _names(layers: list[Element]) -> Iterator[tuple[tuple[str, str], tuple[str, ...]]]:
    """All names of what leaves a port: its place, those of its tensor, and its layer's if it has one port."""
    for layer in layers:
        id, ports = layer.get("id", ""), layer.findall("output/port")
        for port in ports:
            tensor = [name for name in port.get("names", "").split(",") if name]
            own = [layer.get("name", "")] if len(ports) == 1 else []
            yield (id, port.get("id", "")), (f"{id}:{port.get('id')}", *tensor, *own)


def _node(layer: Element, names: Names, edges: Mapping[tuple[str, str], tuple[str, ...]]) -> Node:
    id, kind = layer.get("id", ""), layer.get("type", "")
    inputs = [edges.get((id, port.get("id", "")), ()) for port in layer.findall("input/port")]
    outputs = [names[id, port.get("id", "")] for port in layer.findall("output/port")]
    inner = [each.get("type", "") for each in layer.iter("layer")][1:]
    return Node(
        operator=OPERATORS.get(kind, kind),
        inputs=tuple(name for many in inputs for name in many),
        outputs=tuple(name for many in outputs for name in many),
        inner=tuple(OPERATORS.get(each, each) for each in inner if each not in ENDS),
    )


def _constants(layers: list[Element], path: Path) -> Iterator[tuple[str, tuple[float, ...]]]:
    """The numbers of small constants, by the id of their layer."""
    with path.open("rb") as file:
        for layer in layers:
            data = layer.find("data")
            if layer.get("type") != CONSTANT or data is None or data.get("element_type") not in TYPES:
                continue
            start, size = int(data.get("offset", "0")), int(data.get("size", "0"))
            if 0 < size <= SMALL and start >= 0:
                file.seek(start)
                content, kind = file.read(size), TYPES[data.get("element_type", "")]
                if len(content) == size and size % np.dtype(kind).itemsize == 0:
                    yield layer.get("id", ""), tuple(np.frombuffer(content, kind).astype(float).tolist())


def _sides(layer: Element) -> list[int]:
    """The shape of a constant; empty for another layer."""
    data = layer.find("data")
    if layer.get("type") != CONSTANT or data is None:
        return []
    return [int(side) for side in data.get("shape", "").split(",") if side.strip()]


def _metadata(info: Element, beside: Path) -> dict[str, str]:
    """What the model states of itself, and the file of Ultralytics beside it."""
    model = info.find(INFO)
    found = {f"{INFO}.{each.tag}": each.get("value", "") for each in (() if model is None else model)}
    if beside.is_file():
        stated = read_yaml(beside)
        return found | {key: str(value if key == "names" else _plain(value)) for key, value in stated.items()}
    labels = found.get(f"{INFO}.labels", "").split()
    if found.get(f"{INFO}.model_type", "").upper() == "YOLO" and labels:
        found["names"] = str(dict(enumerate(labels)))
    return found


def _plain(value: Any) -> Any:
    """Text of YAML as Python writes it."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, str):
        return int(value) if value.isdecimal() else {"true": True, "false": False}.get(value, value)
    return value
