"""What ONNX files hold that OpenVINO reads otherwise than ONNX defines it, found in a file before it is read.

Established with OpenVINO 2025.4 and 2026.4.1 against ONNX Runtime, by files of one node. What is seen in OpenVINO's
model too, `openvino_model` changes there.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paretodet.errors import InputError, words
from paretodet.extras import require, version_of
from paretodet.weights.wire import WireReader, content, integer, mapped, text

GRAPH, OPSETS = 7, 8  # of ModelProto
NODE = 1  # of GraphProto
OUTPUTS, LABEL, OPERATOR, ATTRIBUTES, DOMAIN = 2, 3, 4, 5, 7  # of NodeProto
NAME, INTEGER, TEXT, SUBGRAPHS = 1, 3, 4, (6, 11)  # of AttributeProto
SET_DOMAIN, SET_VERSION = 1, 2  # of OperatorSetIdProto
STANDARD = ("", "ai.onnx")  # the domain of ONNX's operators


@dataclass(frozen=True, kw_only=True)
class FileNode:
    """A node of ONNX's operators, and their version in its file. Attributes are integers or texts; others are 0."""

    operator: str
    name: str
    opset: int
    attributes: Mapping[str, int | str]


@dataclass(frozen=True, kw_only=True)
class OnnxDifference:
    """Nodes that OpenVINO reads otherwise; without `rewrite`, a file with one is refused.

    `part` is what OpenVINO leaves out. `rewrite` changes an onnx.NodeProto, whose onnx.GraphProto takes more constants.
    """

    operator: str
    part: str
    applies: Callable[[FileNode], bool]
    rewrite: Callable[[Any, Any], None] | None = None


def _sample_as_cells(node: Any, graph: Any) -> None:
    """As many samples as a bin has cells, which is the default; OpenVINO takes one."""
    import onnx

    node.attribute.append(onnx.helper.make_attribute("sampling_ratio", 0))


def _axes_as_input(node: Any, graph: Any) -> None:
    """Where OpenVINO reads them, as from version 18 on; without them it reduces all axes."""
    import onnx

    axes = next(attribute.ints for attribute in node.attribute if attribute.name == "axes")
    name = f"{node.output[0]} axes"
    graph.initializer.append(onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(axes)], axes))
    node.input.append(name)


def _has_axes(node: FileNode) -> bool:
    return "axes" in node.attributes and 13 <= node.opset < 18


def _is_shifted(node: FileNode) -> bool:
    """Whether OpenVINO cuts an output of a stated size at other sides: from 2026.4 on, only with SAME_UPPER."""
    if "output_shape" not in node.attributes:
        return False
    version = tuple(map(int, re.findall(r"\d+", version_of("openvino"))[:2]))
    return node.attributes.get("auto_pad") == "SAME_UPPER" or version < (2026, 4)


TABLE = (
    OnnxDifference(
        operator="RoiAlign",
        part="sampling_ratio",
        applies=lambda node: "sampling_ratio" not in node.attributes,
        rewrite=_sample_as_cells,
    ),
    OnnxDifference(operator="RoiAlign", part="mode max", applies=lambda node: node.attributes.get("mode") == "max"),
    OnnxDifference(operator="ConvTranspose", part="output_shape", applies=_is_shifted),
    OnnxDifference(operator="ReduceL1", part="axes", applies=_has_axes, rewrite=_axes_as_input),
    OnnxDifference(operator="ReduceLogSum", part="axes", applies=_has_axes, rewrite=_axes_as_input),
    OnnxDifference(operator="ReduceLogSumExp", part="axes", applies=_has_axes, rewrite=_axes_as_input),
    OnnxDifference(
        operator="Resize",
        part="keep_aspect_ratio_policy",
        applies=lambda node: node.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch",
    ),
    OnnxDifference(
        operator="Resize",
        part="exclude_outside",
        applies=lambda node: node.attributes.get("mode") == "cubic" and node.attributes.get("exclude_outside", 0) != 0,
    ),
    OnnxDifference(
        operator="Resize", part="antialiasing", applies=lambda node: node.attributes.get("antialias", 0) != 0
    ),
)


def opset(path: Path) -> int:
    """The version of ONNX's operators in a file."""
    reader = WireReader()
    sets = map(reader.last, reader.messages(mapped(path), OPSETS))
    return max((integer(each.get(SET_VERSION)) for each in sets if text(each.get(SET_DOMAIN)) in STANDARD), default=1)


def rewritten(path: Path) -> bytes | None:
    """The content of a file whose nodes OpenVINO reads as ONNX defines them; None if the file itself is one.

    Raises InputError naming a node of the table that has no `rewrite`, MissingExtra if it takes `onnx` to rewrite one.
    """
    try:
        found = [(node, difference) for node in _file_nodes(path) for difference in _differences(node)]
    except InputError as error:
        raise InputError(f"{path}: not an ONNX file ({words(error)})", "graph-failed") from None
    for node, difference in found:
        if difference.rewrite is None:
            message = f"{path}: OpenVINO does not compute the {difference.part} of {node.operator} {node.name}"
            raise InputError(f"{message}; use --runtime onnxruntime", "graph-failed")
    if not found:
        return None
    require(f"{found[0][0].operator} of runtime openvino", {"onnx": "onnx"})
    return _rewritten(path)


def _rewritten(path: Path) -> bytes:
    import onnx

    file, version = onnx.load(path), opset(path)
    for graph in _graphs(file.graph):
        for node in graph.node:
            stated = _node(WireReader(), memoryview(node.SerializeToString()), version)
            for difference in _differences(stated):
                assert difference.rewrite
                difference.rewrite(node, graph)
    return file.SerializeToString()


def _graphs(graph: Any) -> Iterator[Any]:
    """A graph, and those in attributes of its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _differences(node: FileNode) -> list[OnnxDifference]:
    return [each for each in TABLE if each.operator == node.operator and each.applies(node)]


def _file_nodes(path: Path) -> Iterator[FileNode]:
    """All nodes of a file, those of subgraphs too."""
    reader, version = WireReader(), opset(path)
    waiting = list(reader.messages(mapped(path), GRAPH))
    while waiting:
        for message in reader.messages(waiting.pop(), NODE):
            yield _node(reader, message, version)
            for attribute in reader.messages(message, ATTRIBUTES):
                waiting += (content(value) for number, value in reader.fields(attribute) if number in SUBGRAPHS)


def _node(reader: WireReader, message: memoryview, version: int) -> FileNode:
    fields = reader.last(message)
    domain, operator = text(fields.get(DOMAIN)), text(fields.get(OPERATOR))
    return FileNode(
        operator=operator if domain in STANDARD else f"{domain}.{operator}",
        name=text(fields.get(LABEL)) or text(fields.get(OUTPUTS)),
        opset=version,
        attributes=dict(map(_attribute, map(reader.last, reader.messages(message, ATTRIBUTES)))),
    )


def _attribute(fields: Mapping[int, Any]) -> tuple[str, int | str]:
    value = bytes(content(fields[TEXT])).decode("utf-8", "replace") if TEXT in fields else integer(fields.get(INTEGER))
    return text(fields.get(NAME)), value
