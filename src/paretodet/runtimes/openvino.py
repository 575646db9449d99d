"""OpenVINO: ONNX files, and detectors of the catalogue exported to one, in fp32, bf16 and int8 on the CPU."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from paretodet.errors import InputError
from paretodet.export.openvino_int8 import OpenVinoInt8
from paretodet.export.openvino_model import core, element_type, in_bf16, read
from paretodet.export.quantizer import Quantizer
from paretodet.extras import version_of
from paretodet.network import ArtifactNetwork, Network
from paretodet.readings.onnx_graph import read_graph
from paretodet.records.profile import LayerTime
from paretodet.runtimes import operators
from paretodet.runtimes.graph import ExportedSession, Feed, FileSession, GraphRuntime, Port
from paretodet.runtimes.module_times import median_times

SETTINGS = {
    "INFERENCE_PRECISION_HINT": "f32",  # of what the graph has in float32; by default it is bf16 where it can
    "PERFORMANCE_HINT": "LATENCY",
    "ENABLE_CPU_PINNING": "NO",  # the bench chooses the cores
    "ENABLE_HYPER_THREADING": "YES",  # else fewer threads than asked for may run
}
TYPES = {"u8": "uint8", "f32": "float", "f16": "float16", "f64": "double", "i32": "int32", "i64": "int64"}
PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16", "i8": "int8", "u8": "int8"}
LAYERS = frozenset(("Convolution", "Deconvolution", "FullyConnected"))  # of executed graphs: those with weights
LACKING = re.compile(r"No conversion rule found for operations: (?P<operator>[\w.:]+)")
PLACES = ("Exception from", "Check '", "FrontEnd API", "Model wasn't", "Summary:")  # of lines that say nothing else


@dataclass(frozen=True, kw_only=True)
class OpenVino(GraphRuntime):
    """One stream with the latency hint. The types of the graph decide the precision."""

    name: ClassVar[str] = "openvino"
    build_s: ClassVar[float] = 10.0
    forms: ClassVar[tuple[str, ...]] = (*GraphRuntime.forms, "openvino", "openvino-bundle")
    libraries: ClassVar[tuple[str, ...]] = ("openvino",)
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8")
    timed_forms: ClassVar[tuple[str, ...]] = forms
    quantizer: ClassVar[Quantizer | None] = OpenVinoInt8()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device != "cpu":
            raise InputError(f"device: got {self.device!r}, {self.name} runs on cpu", "option-unsupported")

    def build(self, network: Network) -> FileSession | ExportedSession:
        """OpenVINO decides by the ending what a file is, and another form may read weights that no bundle lists."""
        if network.form == "onnx-bundle" and isinstance(network, ArtifactNetwork) and network.path.suffix != ".onnx":
            raise InputError(f"{network.path}: it is no .onnx file; export the bundle again", "bundle-unsafe")
        return super().build(network)

    def compile(self, path: Path) -> "OpenVinoProgram":
        return OpenVinoProgram(path, self.precision, self.threads or torch.get_num_threads())

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ("version", version_of("openvino")), *SETTINGS.items()


class OpenVinoProgram:
    """An openvino.CompiledModel with one request. Raises ValueError if OpenVINO cannot load the file."""

    def __init__(self, path: Path, precision: str, threads: int) -> None:
        self.path, self.precision, self.threads = path, precision, threads
        self.compiled = self._compile()
        self.request = self.compiled.create_infer_request()
        self.inputs, self.outputs = map(_ports, (self.compiled.inputs, self.compiled.outputs))

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        results = self.request.infer(dict(feed), share_inputs=True)
        return [results[index] for index in range(len(self.outputs))]

    def _compile(self, **more: str) -> Any:
        settings = {**SETTINGS, "INFERENCE_NUM_THREADS": self.threads, **more}
        try:
            model = read(self.path)
            _name_ports(model)
            if self.precision == "bf16" and self.path.suffix != ".xml":  # whose types are set
                in_bf16(model)
            return core().compile_model(model, "CPU", settings)
        except RuntimeError as error:
            if lacking := _lacking(self.path, str(error)):
                raise lacking from error
            raise InputError(f"{self.path}: OpenVINO cannot load it ({cause(str(error))})", "graph-failed") from error

    def precisions(self) -> Mapping[str, int]:
        return self._precisions

    def profile(self, feed: Feed, calls: int) -> tuple[LayerTime, ...]:
        """In a second compiled model, whose first run does not count."""
        request = self._compile(PERF_COUNT="YES").create_infer_request()
        runs = []
        for _ in range(calls + 1):
            request.infer(dict(feed))
            nodes = request.profiling_info
            runs.append({(node.node_name, node.node_type): 1e3 * node.real_time.total_seconds() for node in nodes})
        return median_times(runs[1:])

    @cached_property
    def _precisions(self) -> Mapping[str, int]:
        infos = [node.get_rt_info() for node in self.compiled.get_runtime_model().get_ops()]
        layers = [info["runtimePrecision"].value for info in infos if info["layerType"].value in LAYERS]
        return Counter(PRECISIONS.get(precision, precision) for precision in layers)


def _name_ports(model: Any) -> None:
    """Gives inputs and outputs names where a model leaves them without."""
    for word, ports in (("input", model.inputs), ("output", model.outputs)):
        for index, port in enumerate(ports):
            if not port.get_names():
                port.get_tensor().set_names({f"{word}{index}"})


def _ports(ports: Sequence[Any]) -> tuple[Port, ...]:
    return tuple(Port(port.any_name, _shape(port), _type(port)) for port in ports)


def _shape(port: Any) -> tuple[int | str, ...]:
    return tuple(side.get_length() if side.is_static else str(side) for side in port.get_partial_shape())


def _type(port: Any) -> str:
    """As ONNX Runtime writes it."""
    kind = element_type(port)
    return f"tensor({TYPES.get(kind, kind)})"


def _lacking(path: Path, message: str) -> InputError | None:
    """The error of the first operator that OpenVINO says it has no rule for, with the nodes that have it."""
    if not (found := LACKING.search(message)):
        return None
    operator = found["operator"]  # with its domain, if it is not ONNX's
    nodes = read_graph(path).nodes if path.suffix == ".onnx" else ()
    named = [node.name for node in nodes if node.operator == operator.rpartition(".")[2]]
    return operators.lacking(str(path), "OpenVINO", operator, named)


def cause(message: str) -> str:
    """What an exception of OpenVINO says beside places in its source and advice."""
    lines = (line.lstrip("- ").partition(" Please ")[0] for line in message.splitlines())
    return next((line for line in lines if line and not line.startswith(PLACES)), message[:200])
