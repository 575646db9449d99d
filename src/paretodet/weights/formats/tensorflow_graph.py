"""TensorFlow's frozen graphs (`.pb`): the weights are constants of the graph. No operation is executed.

Operators that turn logits into scores are tensors without numbers, named NAME:OPERATOR.
"""

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from paretodet.errors import InputError, words
from paretodet.weights.file_format import FileFormat
from paretodet.weights.safe import WeightsError
from paretodet.weights.tensorflow_tensor import by_name, read_tensor
from paretodet.weights.wire import WireReader, content, mapped, text

NODE = 1  # the field of GraphDef
NAME, OP, ATTRIBUTE = 1, 2, 5  # of NodeDef
KEY, VALUE, TENSOR = 1, 2, 8  # of the entries of a node's attributes, and of AttrValue
SCORES = re.compile(
    r"(?:SecondStage)?Postprocessor/(?:(?:Softmax|Sigmoid)(?:_\d+)?|convert_scores):(?:Identity|Softmax|Sigmoid)"
)


def _matches(path: Path) -> bool:
    """A graph begins with a node, which begins with its name and its operation."""
    try:
        start = mapped(path)
        number, node = next(WireReader().fields(start), (0, 0))
        first = list(islice(WireReader().fields(content(node)), 2))
        return number == NODE and [field for field, _ in first] == [NAME, OP] and text(first[1][1]).isidentifier()
    except InputError:
        return False


def read(path: Path) -> dict[str, Tensor]:
    """The constants of a frozen graph by name. Raises WeightsError for a damaged file, or one without constants."""
    reader = WireReader()
    try:
        found = by_name(constants(reader, mapped(path)))
    except InputError as error:
        raise WeightsError(f"{path}: not a readable graph of TensorFlow: {words(error)}", "weights-format") from None
    if all(":" in name for name in found):
        raise WeightsError(f"{path}: a graph without weights; freeze it, or import its checkpoint", "weights-format")
    return found


def constants(reader: WireReader, graph: memoryview) -> Iterator[tuple[str, Tensor]]:
    """The constants of a GraphDef that can be weights, and the operators of `SCORES`. Raises InputError for malformed
    ones.
    """
    for node in reader.messages(graph, NODE):
        name = ""
        for number, value in reader.fields(node):
            if number == NAME:
                name = text(value)
            elif number == OP and (operator := text(value)) != "Const":
                if SCORES.fullmatch(f"{name}:{operator}"):
                    yield f"{name}:{operator}", torch.empty(0)
                break
            elif number == ATTRIBUTE:
                attribute = reader.last(content(value))
                if text(attribute.get(KEY)) == "value":
                    held = reader.last(content(attribute.get(VALUE)))
                    tensor = read_tensor(reader, content(held.get(TENSOR)), name)
                    if tensor is not None:
                        yield name, tensor


FORMAT = FileFormat(name="tensorflow-graph", title="a frozen graph of TensorFlow (.pb)", matches=_matches, read=read)
