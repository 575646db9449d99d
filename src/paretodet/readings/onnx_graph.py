"""The structure of an ONNX file: what it states of itself and which operators lead to its outputs.

Source: onnx.proto of ONNX 1.17. Only the structure is read, and constants of a few numbers; nothing is executed and no
library is needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from paretodet.errors import InputError, words
from paretodet.weights.wire import WireReader, mapped, text

PRODUCER, VERSION, GRAPH, METADATA = 2, 3, 7, 14  # of ModelProto
NODE, CONSTANT = 1, 5  # of GraphProto
INPUTS, OUTPUTS, LABEL, OPERATOR, ATTRIBUTES = 1, 2, 3, 4, 5  # of NodeProto
ATTRIBUTE, TENSOR, SUBGRAPH, INTEGERS = 1, 5, 6, 8  # of AttributeProto
KERNEL = "kernel_shape"  # an attribute of convolutions
INFO = "model_info"  # the prefix of metadata of OpenVINO's Model API
SIDES, TYPE, FLOATS, INTS, LONGS, NAME, RAW = 1, 2, 4, 5, 7, 8, 9  # of TensorProto
FLOAT, HALF, DOUBLE, INT, LONG = "<f4", "<f2", "<f8", "<i4", "<i8"
TYPES: Mapping[object, str] = {1: FLOAT, 10: HALF, 11: DOUBLE, 6: INT, 7: LONG}  # of constants that are read
HELD = {FLOAT: FLOATS, HALF: INTS, INT: INTS, LONG: LONGS}  # where a constant has no RAW bytes
VARINTS = (HALF, INT, LONG)  # those that it holds as integers of seven bits a byte
SMALL = 64  # bytes of a constant that is read
SUPPRESSING = ("nms", "nonmaxsuppression", "detection_postprocess", "detectionoutput")  # in the names of operators
COPIES = ("Cast", "Identity", "Reshape", "Unsqueeze")  # operators that leave the numbers of a constant as they are
CONVOLUTIONS = frozenset(("Conv", "ConvTranspose", "ConvInteger", "QLinearConv"))
LAYERS = frozenset(  # operators with weights; what follows the last of them is the head's arithmetic
    (*CONVOLUTIONS, "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul")
)


@dataclass(frozen=True, kw_only=True)
class Node:
    """An operator with the names of what it reads and writes."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    inner: tuple[str, ...] = ()  # operators of its subgraphs
    kernel: tuple[int, ...] = ()  # sides of a convolution's; empty if it is not stated
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class OnnxGraph:
    """The structure of a file. `constants` are those of at most SMALL bytes of numbers."""

    metadata: Mapping[str, str]
    producer: str
    nodes: tuple[Node, ...]
    constants: Mapping[str, tuple[float, ...]]
    sizes: frozenset[int] = frozenset()  # of what its layers write: see `written`

    @property
    def operators(self) -> frozenset[str]:
        """Of all nodes, and of subgraphs."""
        return frozenset(name for node in self.nodes for name in (node.operator, *node.inner))

    def tail(self, output: str) -> frozenset[str]:
        """The operators between an output and the layers with weights that it depends on."""
        nodes = (node for node in self._behind(output) if node.operator not in LAYERS)
        return frozenset(name for node in nodes for name in (node.operator, *node.inner))

    def weights(self, output: str) -> frozenset[str]:
        """The names that the last layers with weights before an output read."""
        return frozenset(name for node in self._behind(output) if node.operator in LAYERS for name in node.inputs)

    def from_maps(self, output: str) -> bool:
        """Whether an output has the rows of all cells: its last layers with weights are convolutions, and no operator
        behind them selects rows.
        """
        layers = {node.operator for node in self._behind(output) if node.operator in LAYERS}
        return bool(layers) and layers <= CONVOLUTIONS and not any(map(selects, self.tail(output)))

    def _behind(self, output: str) -> Iterator[Node]:
        """The nodes from an output back to the first layers with weights on every way."""
        made_by = {name: node for node in self.nodes for name in node.outputs}
        waiting, seen = [output], set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen or name not in made_by:
                continue
            seen.add(name)
            node = made_by[name]
            yield node
            if node.operator not in LAYERS:
                waiting += node.inputs

    def head(self, name: str) -> tuple[Node, ...]:
        """The nodes between an input and the first layers with weights."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for read in node.inputs:
                readers.setdefault(read, []).append(node)
        waiting, found = [name], list[Node]()
        while waiting:
            for node in readers.get(waiting.pop(), ()):
                if node.operator not in LAYERS and node not in found:
                    found.append(node)
                    waiting += node.outputs
        return tuple(found)

    def first_layers(self, name: str) -> tuple[Node, ...]:
        """The first layers with weights behind an input."""
        read = {name, *(output for node in self.head(name) for output in node.outputs)}
        return tuple(node for node in self.nodes if node.operator in LAYERS and read & set(node.inputs))

    @property
    def has_layers(self) -> bool:
        """Whether any operator has weights."""
        return bool(LAYERS & self.operators)


def suppresses(operator: str) -> bool:
    """Whether an operator suppresses boxes."""
    return any(part in operator.lower() for part in SUPPRESSING)


def selects(operator: str) -> bool:
    """Whether an operator selects some of the rows."""
    return suppresses(operator) or operator == "TopK"


def read_graph(path: Path) -> OnnxGraph:
    """The structure of a file. Raises InputError naming it if it is no ONNX file, OSError if it cannot be read."""
    reader = WireReader()
    try:
        model = dict(_grouped(reader, mapped(path)))
        metadata = dict(_entry(reader, entry) for entry in model.get(METADATA, ()))
        graph = dict(_grouped(reader, model[GRAPH][-1])) if GRAPH in model else {}
        nodes = [_node(reader, message) for message in graph.get(NODE, ())]
        constants = dict(_constants(reader, graph, [message for _, message in nodes]))
        sizes = frozenset(size for each in graph.get(CONSTANT, ()) for size in written(_sides(reader, each)))
    except InputError as error:
        raise InputError(f"{path}: not an ONNX file ({words(error)})", "graph-failed") from None
    for node, _ in nodes:
        if node.operator in COPIES and node.inputs and node.inputs[0] in constants:
            constants |= dict.fromkeys(node.outputs, constants[node.inputs[0]])
    producer = " ".join(text(part) for key in (PRODUCER, VERSION) for part in model.get(key, ())[-1:])
    parts = tuple(node for node, _ in nodes)
    return OnnxGraph(metadata=metadata, producer=producer, nodes=parts, constants=constants, sizes=sizes)


def written(shape: Sequence[int]) -> Sequence[int]:
    """The numbers that a layer with weights of this shape may write: a kernel's first side, either one of a matrix."""
    return shape[:1] if len(shape) == 4 else shape if len(shape) == 2 else ()


def _grouped(reader: WireReader, message: memoryview) -> dict[int, list[memoryview]]:
    """The fields of a message that hold bytes, by number."""
    found: dict[int, list[memoryview]] = {}
    for number, value in reader.fields(message):
        if isinstance(value, memoryview):
            found.setdefault(number, []).append(value)
    return found


def _entry(reader: WireReader, message: memoryview) -> tuple[str, str]:
    """A key and its value; OTX and Geti write "model_info labels" for what a model of OpenVINO has as a tree."""
    fields = reader.last(message)
    return text(fields.get(1)).replace(f"{INFO} ", f"{INFO}.", 1), text(fields.get(2))


def _node(reader: WireReader, message: memoryview) -> tuple[Node, memoryview]:
    fields = _grouped(reader, message)
    inner = [name for attribute in fields.get(ATTRIBUTES, ()) for name in _inner(reader, attribute)]
    node = Node(
        operator=text(fields.get(OPERATOR, [memoryview(b"")])[-1]),
        inputs=tuple(map(text, fields.get(INPUTS, ()))),
        outputs=tuple(map(text, fields.get(OUTPUTS, ()))),
        inner=tuple(inner),
        name=text(fields.get(LABEL, [memoryview(b"")])[-1]),
        kernel=next((found for each in fields.get(ATTRIBUTES, ()) if (found := _kernel(reader, each))), ()),
    )
    return node, message


def _kernel(reader: WireReader, attribute: memoryview) -> tuple[int, ...]:
    """The sides that an attribute states, packed or one by one; empty if it is another."""
    fields = list(reader.fields(attribute))
    if not any(number == ATTRIBUTE and text(value) == KERNEL for number, value in fields):
        return ()
    values = [value for number, value in fields if number == INTEGERS]
    return tuple(side for each in values for side in ([each] if isinstance(each, int) else bytes(each)) if side < 128)


def _inner(reader: WireReader, attribute: memoryview, deep: int = 4) -> Iterator[str]:
    """Operators of the subgraph in an attribute."""
    for graph in reader.messages(attribute, SUBGRAPH) if deep else ():
        for message in reader.messages(graph, NODE):
            fields = _grouped(reader, message)
            yield text(fields.get(OPERATOR, [memoryview(b"")])[-1])
            for inner in fields.get(ATTRIBUTES, ()):
                yield from _inner(reader, inner, deep - 1)


def _constants(
    reader: WireReader, graph: Mapping[int, list[memoryview]], nodes: list[memoryview]
) -> Iterator[tuple[str, tuple[float, ...]]]:
    for message in graph.get(CONSTANT, ()):
        fields = reader.last(message)
        if (values := _numbers(reader, fields)) is not None:
            yield text(fields.get(NAME)), values
    for message in nodes:
        parts = _grouped(reader, message)
        if parts.get(OPERATOR) and text(parts[OPERATOR][-1]) == "Constant":
            for attribute in parts.get(ATTRIBUTES, ()):
                tensors = list(reader.messages(attribute, TENSOR))
                if tensors and (values := _numbers(reader, reader.last(tensors[-1]))) is not None:
                    yield text(parts[OUTPUTS][-1]), values


def _sides(reader: WireReader, tensor: memoryview) -> list[int]:
    """The shape of a tensor, packed or one by one."""
    values = [value for number, value in reader.fields(tensor) if number == SIDES]
    return [side for each in values for side in ([each] if isinstance(each, int) else reader.varints(each))]


def _numbers(reader: WireReader, fields: Mapping[int, object]) -> tuple[float, ...] | None:
    """The numbers of a small tensor; None for others."""
    kind = TYPES.get(fields.get(TYPE), "")
    held = fields.get(RAW) or fields.get(HELD.get(kind, RAW))
    if not kind or not isinstance(held, memoryview) or not 0 < len(held) <= SMALL:
        return None
    size = np.dtype(kind).itemsize
    if kind in VARINTS and not fields.get(RAW):  # the bits of each as an integer
        values = b"".join((bits & (2 ** (8 * size) - 1)).to_bytes(size, "little") for bits in reader.varints(held))
    else:
        values = bytes(held)
    return None if len(values) % size else tuple(np.frombuffer(values, kind).astype(float).tolist())
