"""The structure of a LiteRT file, in the words of ONNX: what conventions ask of a graph is the same for both.

Source: BuiltinOperator in schema.fbs of LiteRT; operators that no convention asks for keep their number. Ultralytics
attaches what it writes into an ONNX file's metadata as a text file (`temp_meta.txt`, later `metadata.json`).
"""

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paretodet.errors import InputError, words
from paretodet.readings.onnx_graph import SMALL, Node, OnnxGraph
from paretodet.weights.formats.tflite import attached, calls, small_constants

NAMES = {
    0: "Add",
    2: "Concat",
    3: "Conv",  # CONV_2D
    4: "Conv",  # DEPTHWISE_CONV_2D
    6: "DequantizeLinear",
    9: "Gemm",  # FULLY_CONNECTED
    14: "Sigmoid",  # LOGISTIC
    18: "Mul",
    22: "Reshape",
    23: "Resize",  # RESIZE_BILINEAR
    25: "Softmax",
    28: "Tanh",
    34: "Pad",
    39: "Transpose",
    41: "Sub",
    42: "Div",
    45: "Slice",  # STRIDED_SLICE
    47: "Exp",
    48: "TopK",
    49: "Split",
    53: "Cast",
    67: "ConvTranspose",
    114: "QuantizeLinear",
    120: "NonMaxSuppression",
    121: "NonMaxSuppression",
    126: "MatMul",  # BATCH_MATMUL
}
LITERT = "LiteRT"  # as the producer
PARSERS: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)
NOTES = ("temp_meta.txt", "metadata.json", "temp_meta.json")


def read_graph(path: Path) -> OnnxGraph:
    """The structure of a file. Raises InputError naming it if it is no LiteRT file, OSError if it cannot be read."""
    try:
        nodes = tuple(
            Node(operator=_name(call.operator), inputs=call.reads, outputs=call.writes) for call in calls(path)
        )
        note, constants = attached(path, NOTES), small_constants(path, SMALL)
    except InputError as error:
        raise InputError(words(error), "graph-failed") from None
    return OnnxGraph(metadata=_metadata(note or ""), producer=LITERT, nodes=nodes, constants=constants)


def _name(operator: int | str) -> str:
    return operator if isinstance(operator, str) else NAMES.get(operator, f"BuiltinOperator {operator}")


def _metadata(note: str) -> dict[str, str]:
    """The fields of a note, which is JSON or a Python literal; empty if it is neither."""
    found: Any = None
    for parse in PARSERS:
        try:
            found = parse(note)
            break
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
