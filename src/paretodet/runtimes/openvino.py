"""OpenVINO: ONNX files, and detectors of the catalogue exported to one, in fp32, bf16 and int8 on the CPU."""

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from paretodet.errors import InputError
from paretodet.runtimes.calibration import CalibrationFeeds
from paretodet.runtimes.float_part import GraphNode, float_part
from paretodet.runtimes.graph import Feed, GraphRuntime, Port

SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",  # of what the graph has in float32; by default it is bf16 where it can
    "PERFORMANCE_HINT": "LATENCY",
    "ENABLE_CPU_PINNING": "NO",  # the bench chooses the cores
    "ENABLE_HYPER_THREADING": "YES",  # else fewer threads than asked for may run
}
TYPES = {"u8": "uint8", "f32": "float", "f16": "float16", "f64": "double", "i32": "int32", "i64": "int64"}
PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
LAYERS = frozenset(("Convolution", "Deconvolution", "FullyConnected"))  # of executed graphs: those with weights
PLACES = ("Exception from", "Check '", "FrontEnd API", "Model wasn't", "Summary:")  # of lines that say nothing else
PRODUCTS = frozenset(("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"))


@dataclass(frozen=True, kw_only=True)
class OpenVino(GraphRuntime):
    """One stream with the latency hint. The types of the graph decide the precision."""

    name: ClassVar[str] = "openvino"
    libraries: ClassVar[tuple[str, ...]] = ("openvino",)
    quantizers: ClassVar[tuple[str, ...]] = ("nncf",)
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8")
    artifact: ClassVar[str] = "int8.xml"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device != "cpu":
            raise InputError(f"device: got {self.device!r}, {self.name} runs on cpu", "option-unsupported")

    def compile(self, path: Path) -> "OpenVinoProgram":
        return OpenVinoProgram(path, self.precision, self.threads or torch.get_num_threads())

    def settings(self) -> tuple[tuple[str, str], ...]:
        quantizer = tuple((library, version(library)) for library in self.quantizers if self.precision == "int8")
        return ("version", version("openvino")), *SETTINGS.items(), *quantizer

    def quantize(self, graph: Path, folder: Path, feeds: CalibrationFeeds) -> None:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # nncf reports its use through it
        import nncf
        import openvino

        model = openvino.Core().read_model(graph)
        quantized = nncf.quantize(
            model,
            nncf.Dataset(feeds),
            preset=nncf.QuantizationPreset.MIXED,
            target_device=nncf.TargetDevice.CPU,
            subset_size=len(feeds),
            ignored_scope=nncf.IgnoredScope(names=[node.get_friendly_name() for node in float_nodes(model)]),
        )
        openvino.save_model(quantized, folder / self.artifact, compress_to_fp16=False)


class OpenVinoProgram:
    """An openvino.CompiledModel with one request. Raises ValueError if OpenVINO cannot load the file."""

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        import openvino

        core = openvino.Core()
        settings = {**SETTINGS, "INFERENCE_NUM_THREADS": threads}
        try:
            model = core.read_model(path)
            as_in_onnx(model)
            if precision == "bf16":
                in_bf16(model)
            self.compiled = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise InputError(f"{path}: OpenVINO cannot load it ({cause(str(error))})", "graph-failed") from error
        self.request = self.compiled.create_infer_request()
        self.inputs, self.outputs = map(_ports, (self.compiled.inputs, self.compiled.outputs))

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        results = self.request.infer(dict(feed), share_inputs=True)
        return [results[index] for index in range(len(self.outputs))]

    def precisions(self) -> Mapping[str, int]:
        return self._precisions

    @cached_property
    def _precisions(self) -> Mapping[str, int]:
        infos = [node.get_rt_info() for node in self.compiled.get_runtime_model().get_ops()]
        layers = [info["runtimePrecision"].value for info in infos if info["layerType"].value in LAYERS]
        return Counter(PRECISIONS.get(precision, precision) for precision in layers)


def _ports(ports: Sequence[Any]) -> tuple[Port, ...]:
    return tuple(Port(port.any_name, _shape(port), f"tensor({TYPES.get(_type(port), _type(port))})") for port in ports)


def _shape(port: Any) -> tuple[int | str, ...]:
    return tuple(side.get_length() if side.is_static else str(side) for side in port.get_partial_shape())


def _type(port: Any) -> str:
    return port.get_element_type().get_type_name()


def cause(message: str) -> str:
    """What an exception of OpenVINO says beside places in its source and advice."""
    lines = (line.lstrip("- ").partition(" Please ")[0] for line in message.splitlines())
    return next((line for line in lines if line and not line.startswith(PLACES)), message[:200])


def as_in_onnx(model: Any) -> None:
    """Changes a model where OpenVINO computes otherwise than ONNX Runtime does.

    Equal numbers are ranked by rising index, boxes whose overlap equals the threshold are kept, and quotients of whole
    numbers are exact above 2^24 too.
    """
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "TopK":
            node.set_attribute("stable", True)
        elif kind == "NonMaxSuppression":
            _keep_equal_overlaps(node)
        elif kind in ("Divide", "FloorMod") and _type(node.output(0)) in ("i32", "i64"):
            _divide_exactly(node)
    model.validate_nodes_and_infer_types()


def _keep_equal_overlaps(node: Any) -> None:
    """It suppresses at the threshold: the next higher float32 suppresses above it."""
    import openvino

    limit = node.input_value(3).get_node()
    if limit.get_type_name() == "Constant":
        above = np.nextafter(limit.get_data().astype(np.float32), np.float32(np.inf))
        node.input(3).replace_source_output(openvino.opset13.constant(above).output(0))


def _divide_exactly(node: Any) -> None:
    """By a constant above 0. The quotient through float32 is off by a little, so the rest is small and exact."""
    from openvino import opset13 as ops
    from openvino.utils import replace_node

    values, divisor = node.input_values()
    if not (divisor.get_node().get_type_name() == "Constant" and (divisor.get_node().get_data() > 0).all()):
        return
    sign = ops.sign(values)
    values = values if node.get_type_name() == "FloorMod" else ops.multiply(values, sign).output(0)
    quotient = ops.divide(values, divisor)
    rest = ops.subtract(values, ops.multiply(quotient, divisor))
    exact = ops.floor_mod(rest, divisor)
    if node.get_type_name() == "Divide":  # towards 0
        exact = ops.multiply(ops.add(quotient, ops.divide(ops.subtract(rest, exact), divisor)), sign)
    replace_node(node, exact)


def in_bf16(model: Any) -> None:
    """Types a model: bf16 for its layers and what stands between them, float32 for the rest.

    With the hint of this precision, OpenVINO rounds all that stands between two layers, boxes of proposals too.
    """
    made, nodes = described(model)
    kept = float_part(nodes, _names(model.get_results()))
    rounded: set[str] = set()
    for name, node in nodes.items():
        if node.is_layer or (name not in kept and not rounded.isdisjoint(node.inputs)):
            rounded.add(name)
    for name in rounded:
        _convert_inputs(made[name], rounded)
        _convert_outputs(made[name], rounded)
    model.validate_nodes_and_infer_types()


def _convert_inputs(node: Any, rounded: set[str]) -> None:
    """To bf16, where they come from nodes in float32."""
    from openvino import opset13 as ops

    places = 1 if node.get_type_name() == "Interpolate" else node.get_input_size()  # its scales stay exact
    for place in range(places):
        source = node.input_value(place)
        if _type(source) == "f32" and source.get_node().get_name() not in rounded:
            node.input(place).replace_source_output(ops.convert(source, "bf16").output(0))


def _convert_outputs(node: Any, rounded: set[str]) -> None:
    """To float32, where nodes in float32 read them."""
    from openvino import opset13 as ops

    for output in node.outputs():
        users = [user for user in output.get_target_inputs() if user.get_node().get_name() not in rounded]
        if users and _type(output) == "f32":
            exact = ops.convert(output, "f32").output(0)
            for user in users:
                user.replace_source_output(exact)


def float_nodes(model: Any) -> list[Any]:
    """The nodes of an openvino.Model that stay in float, without inputs, results and constants."""
    made, nodes = described(model)
    ends = _names((*model.get_parameters(), *model.get_results()))
    found = float_part(nodes, _names(model.get_results()))
    return [made[name] for name in nodes if name in found.difference(ends)]


def described(model: Any) -> tuple[dict[str, Any], dict[str, GraphNode]]:
    """The nodes of an openvino.Model by name, and what they are; without constants and what is made of these alone."""
    made = {node.get_name(): node for node in model.get_ordered_ops()}
    nodes: dict[str, GraphNode] = {}
    for name, node in made.items():
        kind, inputs = node.get_type_name(), _names(value.get_node() for value in node.input_values())
        if kind == "Parameter" or not nodes.keys().isdisjoint(inputs):
            is_layer = kind in PRODUCTS and not nodes.keys() >= set(inputs[:2])
            nodes[name] = GraphNode(operator=kind, inputs=tuple(inputs), is_layer=is_layer)
    return made, nodes


def _names(nodes: Iterable[Any]) -> list[str]:
    return [node.get_name() for node in nodes]
