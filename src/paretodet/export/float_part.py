"""Which nodes of a graph stay in float where its layers take fewer bits.

These are the nodes after the heads (decoding, softmax and sigmoid, box arithmetic, selection) and the crops that one
stage takes for the next: boxes need more than 8 bits. So do the statistics of normalization that is no single operator.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Operators that crop maps by boxes, as ONNX and OpenVINO call them; our own crop is a product of two tensors that are
# both computed: weights, and rows of a map.
CROPS = frozenset(("MatMul", "RoiAlign", "ROIAlign", "MaxRoiPool", "ROIPooling", "PSROIPooling"))


@dataclass(frozen=True, kw_only=True)
class GraphNode:
    """A node of a graph: its operator, the names of the nodes that it reads, and whether it is a layer, that is a
    convolution or a product with constant weights.
    """

    operator: str
    inputs: tuple[str, ...]
    is_layer: bool


def float_part(nodes: Mapping[str, GraphNode], outputs: Iterable[str]) -> set[str]:
    """The names of all nodes on the ways back from `outputs` and from crops to the nearest layers."""
    crops = (name for name, node in nodes.items() if node.operator in CROPS)
    return {name for name in _back(nodes, (*outputs, *crops)) if not nodes[name].is_layer}


def last_layers(nodes: Mapping[str, GraphNode], outputs: Iterable[str]) -> set[str]:
    """The names of the layers whose results reach `outputs` through no other layer: the last ones of the heads."""
    return {name for name in _back(nodes, outputs) if nodes[name].is_layer}


def after_layers(nodes: Mapping[str, GraphNode]) -> set[str]:
    """The names of all nodes from which no layer can be reached: the last layers, and what follows them."""
    read, todo = set[str](), [name for node in nodes.values() if node.is_layer for name in node.inputs]
    while todo:
        if (name := todo.pop()) in nodes and name not in read:
            read.add(name)
            todo += nodes[name].inputs
    return nodes.keys() - read


def between(nodes: Mapping[str, GraphNode], operator: str) -> set[str]:
    """The names of all nodes that are between the same layers as a node of `operator`, before it or after it."""
    inside = {name for name, node in nodes.items() if node.operator == operator}
    readers: dict[str, list[str]] = {}
    for name, node in nodes.items():
        for source in node.inputs:
            readers.setdefault(source, []).append(name)
    todo, after = list(inside), set[str]()
    while todo:
        if (name := todo.pop()) not in after and not nodes[name].is_layer:
            after.add(name)
            todo += readers.get(name, ())
    return {name for name in (*_back(nodes, inside), *after) if not nodes[name].is_layer}


def _back(nodes: Mapping[str, GraphNode], ends: Iterable[str]) -> set[str]:
    """The nodes on the ways back from `ends` to the nearest layers, and these."""
    found: set[str] = set()
    todo = list(ends)
    while todo:
        name = todo.pop()
        node = nodes.get(name)
        if node and name not in found:
            found.add(name)
            todo += () if node.is_layer else node.inputs
    return found
