"""LiteRT files in int8, quantized by ai-edge-quantizer: weights, and all values between the layers."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from paretodet.export.calibration import CountedFeeds, Feed, Feeds
from paretodet.export.float_part import GraphNode, after_layers, between
from paretodet.export.graph import TFLITE, TFLITE_PARTS
from paretodet.export.programs_int8 import ProgramQuantizer, outputs_of
from paretodet.export.quantizer import Quantized, Run
from paretodet.export.steps import BuildSteps
from paretodet.export.unselected import Layout

LAYERS = {"CONV_2D", "CONV_2D_TRANSPOSE", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
# What may compute in int8: layers, and what hands their values on unchanged or nearly so.
OPERATORS = sorted(LAYERS) + [
    "ADD", "AVERAGE_POOL_2D", "CONCATENATION", "MAX_POOL_2D", "MEAN", "PAD", "PADV2", "RELU", "RESHAPE",
    "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR", "SLICE", "SPACE_TO_DEPTH", "STRIDED_SLICE", "TRANSPOSE",
]  # fmt: skip


class LiteRtInt8(ProgramQuantizer):
    """The last layers of the heads stay in float: in int8, their results would have 8 bits."""

    name: ClassVar[str] = "litert"
    libraries: ClassVar[tuple[str, ...]] = ("ai_edge_litert", "ai_edge_quantizer")
    artifact: ClassVar[str] = TFLITE
    parts: ClassVar[str] = TFLITE_PARTS
    whole: ClassVar[str] = TFLITE
    suffix: ClassVar[str] = ".tflite"
    layout: ClassVar[Layout] = "NHWC"

    def calibrate(self, graph: Path, feeds: Feeds, steps: BuildSteps) -> "QuantizedLiteRt":
        return QuantizedLiteRt(graph, CountedFeeds(feeds, steps))


class QuantizedLiteRt(Quantized):
    """Ranges of activations are asymmetric, the mean over batches; weights have a range a channel."""

    def __init__(self, path: Path, feeds: Feeds) -> None:
        self.content, self.name = path.read_bytes(), path.stem
        nodes = _nodes(self.content)
        self.kept = after_layers(nodes) | between(nodes, "RSQRT")  # group norms: sums, differences and products
        layers = [name for name, node in nodes.items() if node.is_layer]
        self.layers, self.total = tuple(name for name in layers if name not in self.kept), len(layers)
        self.ranges = self._measured(feeds)

    def program(self, in_float: Collection[str]) -> Run:
        return self._run(self._quantized(in_float))

    def original(self) -> Run:
        return self._run(self.content)

    def save(self, path: Path, in_float: Collection[str]) -> None:
        path.write_bytes(self._quantized(in_float))

    def _measured(self, feeds: Feeds) -> Mapping[str, Any]:
        """The range of every tensor."""
        from ai_edge_quantizer.calibrator import Calibrator

        threads = torch.get_num_threads()
        calibrator = Calibrator(self.content, num_threads=threads, qsv_update_func=mean_range)
        for feed in feeds:
            calibrator.calibrate({None: [feed]}, self._recipe(()))
        found = calibrator.get_model_qsvs()
        return {name: {end: ends[end] for end in ("min", "max")} for name, ends in found.items()}

    def _recipe(self, in_float: Collection[str]) -> Any:
        from ai_edge_quantizer.quantizer import AlgorithmName
        from ai_edge_quantizer.recipe_manager import RecipeManager

        recipe = RecipeManager()
        for operator in OPERATORS:
            recipe.add_static_config(".*", operator, activation_num_bits=8, weight_num_bits=8)
        names = "|".join(map(re.escape, sorted((*self.kept, *in_float))))
        recipe.add_quantization_config(f"^(?:{names})$", "*", algorithm_key=AlgorithmName.NO_QUANTIZE)
        return recipe

    def _quantized(self, in_float: Collection[str]) -> bytes:
        from ai_edge_quantizer.quantizer import Quantizer

        quantizer = Quantizer(self.content, self._recipe(in_float).get_quantization_recipe())
        options = {"enable_progress_bar": False, "enable_progress_report": False}
        return bytes(quantizer.quantize(self.ranges, **options).quantized_model)

    def _run(self, content: bytes) -> Run:
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(model_content=content, num_threads=torch.get_num_threads()).get_signature_runner()
        names = outputs_of(self.name, len(runner.get_output_details()))

        def run(feed: Feed) -> Sequence[np.ndarray]:
            found = runner(**feed)
            return [found[name] for name in names]

        return run


def mean_range(before: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The mean of the ranges so far, and of how many it is."""
    count = before.get("count", 1)
    ends = {end: (before[end] * count + found[end]) / (count + 1) for end in ("min", "max")}
    return {**ends, "count": count + 1}


def _nodes(content: bytes) -> Mapping[str, GraphNode]:
    """The operators of a file in the order in which they are computed, by the names that recipes have for them."""
    from ai_edge_quantizer.utils import tfl_flatbuffer_utils as flatbuffers

    model = flatbuffers.read_model(content)
    (graph,) = model.subgraphs
    names = [flatbuffers.get_op_scope(operator, graph.tensors) for operator in graph.operators]
    makers = {place: name for name, operator in zip(names, graph.operators, strict=True) for place in operator.outputs}

    def node(operator: Any) -> GraphNode:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        kind = flatbuffers.TFL_OP_CODE_TO_NAME.get(code)
        return GraphNode(
            operator=kind.value if kind else str(code),
            inputs=tuple(_made(operator.inputs, makers)),
            is_layer=kind is not None and kind.value in LAYERS,
        )

    return dict(zip(names, map(node, graph.operators), strict=True))


def _made(places: Sequence[int], makers: Mapping[int, str]) -> Iterator[str]:
    return (makers[place] for place in places if place in makers)
