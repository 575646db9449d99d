"""LiteRT: the layers of a detector by XNNPACK, whose kernels run on phones too."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError, first_line
from paretodet.export.cache import Entry
from paretodet.export.graph import TFLITE_PARTS, exported_graph
from paretodet.export.litert_int8 import LiteRtInt8
from paretodet.export.parts import INPUT, output_names
from paretodet.export.quantizer import Quantizer
from paretodet.export.unselected import OUTPUTS, PIXELS, Layout
from paretodet.extras import version_of
from paretodet.network import ArtifactNetwork, Network, OnnxNetwork, TorchNetwork, sorted_detections
from paretodet.runtimes import operators
from paretodet.runtimes.fixed import FixedSession
from paretodet.runtimes.graph import Feed, FileSession, GraphRuntime, Port, Program
from paretodet.runtimes.parts import PartsRuntime, PartsSession
from paretodet.runtimes.unselected import UnselectedSession
from paretodet.types import Detections, Images
from paretodet.weights.formats.tflite import POSTPROCESS, calls, distinct

LAYERS = {"BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"}
PRECISIONS = {
    ("float32", "float32"): "fp32",
    ("float16", "float16"): "fp16",
    ("int8", "int8"): "int8",
    ("uint8", "uint8"): "int8",
    ("float32", "int8"): "int8-dynamic",
}
UNRESOLVED = re.compile(r"unresolved custom op: (?P<operator>\w+)")
DELEGATE = "DELEGATE"  # the only one that interpreters apply by default is XNNPACK's


@dataclass(frozen=True, kw_only=True)
class LiteRt(PartsRuntime):
    """By the kernels that a phone's processor runs, in float32 or in int8."""

    name: ClassVar[str] = "litert"
    build_s: ClassVar[float] = 40.0
    forms: ClassVar[tuple[str, ...]] = ("torch", "litert-bundle", "tflite")
    libraries: ClassVar[tuple[str, ...]] = ("ai_edge_litert",)
    exporters: ClassVar[tuple[str, ...]] = ("litert_torch",)
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    extras: ClassVar[str] = "litert"
    quantizer: ClassVar[Quantizer | None] = LiteRtInt8()

    def build(self, network: Network) -> "LiteRtSession | LiteRtArtifactSession | LiteRtFileSession | FileSession":
        self.require(network.form)
        if isinstance(network, OnnxNetwork):
            return FileSession(network, self.for_file(network))
        if isinstance(network, ArtifactNetwork):
            runtime = replace(self, batch=network.batch or self.batch)
            if network.form == "tflite":
                return LiteRtFileSession(network, runtime)
            return LiteRtArtifactSession(network, runtime, lambda path: LiteRtArtifact(self.open(path)))
        assert isinstance(network, TorchNetwork)
        self.require_quantizer(self.extras)
        return LiteRtSession(network, self)

    def export(self, detector: Detector) -> Entry:
        return exported_graph(detector, batch=self.batch, form=TFLITE_PARTS)

    def compile(self, folder: Path, part: str) -> "LiteRtPart":
        return LiteRtPart(self.open(folder / f"{part}.tflite"), part)

    def open(self, path: Path, *, signed: bool = True) -> "LiteRtProgram":
        """Raises ValueError if LiteRT cannot run the file."""
        return LiteRtProgram(path, self.threads or torch.get_num_threads(), signed=signed)

    def for_file(self, network: OnnxNetwork) -> "LiteRtFiles":
        """The runtime of files whose outputs are recognized."""
        return LiteRtFiles(threads=self.threads)

    def settings(self) -> tuple[tuple[str, str], ...]:
        return (("version", version_of("ai_edge_litert")),)


class LiteRtProgram:
    """An interpreter of a file with one signature, or with none, as TensorFlow's first converters write.

    Its inputs and outputs have the names of the signature, without `signed` those of their tensors. Raises ValueError
    if LiteRT cannot load it.
    """

    def __init__(self, path: Path, threads: int, *, signed: bool = True) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            self.interpreter = Interpreter(model_path=str(path), num_threads=threads)
            self.interpreter.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            if found := UNRESOLVED.search(str(error)):
                raise operators.lacking(str(path), "LiteRT", found["operator"]) from None
            raise InputError(f"runtime: LiteRT cannot run this network ({first_line(error)})", "graph-failed") from None
        made = self.interpreter
        if signed and made.get_signature_list():
            runner = made.get_signature_runner()
            self._inputs, self._outputs = runner.get_input_details(), runner.get_output_details()
        else:
            self._inputs, self._outputs = _by_name(made.get_input_details()), _by_name(made.get_output_details())

    @property
    def inputs(self) -> tuple[Port, ...]:
        return _ports(self._inputs)

    @property
    def outputs(self) -> tuple[Port, ...]:
        return _ports(self._outputs)

    def __call__(self, feed: Feed) -> dict[str, np.ndarray]:
        """The outputs by their names, copies of LiteRT's memory."""
        for name, values in feed.items():
            self.interpreter.set_tensor(self._inputs[name]["index"], values)
        self.interpreter.invoke()
        return {name: self.interpreter.get_tensor(each["index"]) for name, each in self._outputs.items()}

    def quantization(self, name: str) -> tuple[float, int]:
        """Scale and zero point of an input or output by name; a scale of 0 if it is not quantized."""
        return cast(tuple[float, int], (self._inputs | self._outputs)[name]["quantization"])

    def precisions(self) -> Mapping[str, int]:
        """By the types of the values and the weights that each layer reads, its first two inputs."""
        kinds = {each["index"]: np.dtype(each["dtype"]).name for each in self.interpreter.get_tensor_details()}
        found = (tuple(kinds[place] for place in layer["inputs"][:2]) for layer in self._operators(LAYERS))
        return Counter(PRECISIONS.get(pair, " by ".join(pair)) for pair in found)

    def delegated(self) -> int:
        """The number of layers that XNNPACK executes: its parts read their weights, and nothing else computes them."""
        parts = self._operators({DELEGATE})
        read, written = ({int(place) for part in parts for place in part[side]} for side in ("inputs", "outputs"))
        outside = read - written
        return sum(
            layer["inputs"][1] in read and layer["outputs"][0] not in outside for layer in self._operators(LAYERS)
        )

    def _operators(self, names: Set[str]) -> list[Mapping[str, Any]]:
        """The file's operators, and what the delegate put in the place of some."""
        return [each for each in self.interpreter._get_ops_details() if each["op_name"] in names]


def _share(programs: Sequence[LiteRtProgram]) -> tuple[str, str]:
    """A setting: how many layers XNNPACK executes."""
    layers = sum(sum(each.precisions().values()) for each in programs)
    return "xnnpack", f"{sum(each.delegated() for each in programs)} of {layers} layers"


def _by_name(details: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    names = distinct([(int(each["index"]), each["name"]) for each in details])
    return dict(zip(names, details, strict=True))


def _ports(details: Mapping[str, Mapping[str, Any]]) -> tuple[Port, ...]:
    return tuple(
        Port(name, tuple(map(int, each["shape"])), np.dtype(each["dtype"]).name) for name, each in details.items()
    )


@dataclass(frozen=True, kw_only=True)
class LiteRtFiles(GraphRuntime):
    """Files whose outputs are recognized, as those of ONNX files are."""

    name: ClassVar[str] = "litert"
    forms: ClassVar[tuple[str, ...]] = ("tflite",)
    libraries: ClassVar[tuple[str, ...]] = ("ai_edge_litert",)

    def compile(self, path: Path) -> "LiteRtGraph":
        return LiteRtGraph(LiteRtProgram(path, self.threads or torch.get_num_threads(), signed=False))

    def settings(self) -> tuple[tuple[str, str], ...]:
        return (("version", version_of("ai_edge_litert")),)

    def settings_with(self, program: Program) -> tuple[tuple[str, str], ...]:
        assert isinstance(program, LiteRtGraph)
        return *self.settings(), _share([program.program])


class LiteRtGraph:
    """A file as a graph. Quantized numbers are the floats that they stand for; uint8 at the input are pixels."""

    def __init__(self, program: LiteRtProgram) -> None:
        self.program, self.precisions = program, program.precisions
        self.inputs = tuple(port._replace(type=ONNX_TYPES.get(port.type, port.type)) for port in program.inputs)
        self.outputs = tuple(port._replace(type="tensor(float)") for port in program.outputs)

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        ports = {port.name: port.type for port in self.program.inputs}
        found = self.program({name: self._stored(name, values, ports[name]) for name, values in feed.items()})
        return [self._real(port.name, found[port.name]) for port in self.outputs]

    def _stored(self, name: str, values: np.ndarray, kind: str) -> np.ndarray:
        scale, zero = self.program.quantization(name)
        if kind != "int8" or not scale:
            return values
        return np.clip(np.round(values / scale + zero), -128, 127).astype(np.int8)

    def _real(self, name: str, values: np.ndarray) -> np.ndarray:
        scale, zero = self.program.quantization(name)
        return (values.astype(np.float32) - zero) * np.float32(scale) if scale else values


ONNX_TYPES = {"float32": "tensor(float)", "int8": "tensor(float)", "uint8": "tensor(uint8)"}


class LiteRtPart:
    """A part of a detector (`export.parts`)."""

    def __init__(self, program: LiteRtProgram, part: str) -> None:
        self.program, self.precisions = program, program.precisions
        self.names = output_names(part, len(program.outputs))

    def __call__(self, values: Tensor) -> Sequence[Tensor]:
        found = self.program({INPUT: values.numpy()})
        return [torch.from_numpy(found[name]) for name in self.names]


class LiteRtSession(PartsSession):
    """The parts of a detector in LiteRT, what surrounds them in torch."""

    def _quantized(self, detector: Detector, *, is_trained: bool) -> Entry:
        """What is quantized is the file in float32, which is compared first."""
        exported = self.runtime.export(detector)
        spent = self._checked(exported, detector, lambda: self._compiled(exported, detector))
        made = super()._quantized(detector, is_trained=is_trained)
        return made._replace(spent=made.spent + spent)

    def settings(self) -> tuple[tuple[str, str], ...]:
        programs = [cast(LiteRtPart, each).program for each in self.programs.values()]
        return *super().settings(), ("litert-torch", version_of("litert_torch")), _share(programs)


class LiteRtArtifact:
    """An artifact without selection."""

    layout: Layout = "NHWC"

    def __init__(self, program: LiteRtProgram) -> None:
        self.program, self.precisions = program, program.precisions
        self.inputs, self.outputs = program.inputs, program.outputs

    def __call__(self, pixels: Tensor) -> Sequence[Tensor]:
        found = self.program({PIXELS: pixels.numpy()})
        return [torch.from_numpy(found[name]) for name in OUTPUTS]


class LiteRtArtifactSession(UnselectedSession):
    """An artifact of a bundle in LiteRT."""

    def settings(self) -> tuple[tuple[str, str], ...]:
        return *super().settings(), _share([cast(LiteRtArtifact, self.program).program])


class LiteRtFileSession(FixedSession):
    """A file that selects its detections itself, one image a call."""

    memory_format = torch.channels_last

    def __init__(self, network: ArtifactNetwork, runtime: LiteRt) -> None:
        start = perf_counter()
        self.runtime, self.fit, self.score = runtime, network.fit, network.score
        self.program, self.canvas = runtime.open(network.path, signed=False), network.fit.canvas((1, 1))
        self.compile_ms, self.layers = round(1000 * (perf_counter() - start), 3), self.program.precisions()
        self.versions = *runtime.settings(), _share([self.program])
        (self.input, *others), outputs = self.program.inputs, self.program.outputs
        written = [call.writes for call in calls(network.path) if call.operator == POSTPROCESS]
        self.names = written[-1] if written else ()  # a converter may have put the outputs into another order
        if others or self.input.type != "uint8" or len(outputs) != len(POSTPROCESSED):
            message = f"{network.path}: takes {self.input.type} and returns {len(outputs)} tensors, allowed uint8 and 4"
            raise InputError(message, "graph-failed")
        if set(self.names) != {port.name for port in outputs}:
            message = f"{network.path}: returns others than the tensors of {POSTPROCESS}; give module:make"
            raise InputError(f"{message} (docs/how-to/own-model.md)", "graph-failed")

    @property
    def identity(self) -> Mapping[str, Any]:
        return {"runtime": self.runtime.name}

    def settings(self) -> tuple[tuple[str, str], ...]:
        return self.versions

    def infer(self, images: Images) -> Detections:
        pixels = images.pixels.permute(0, 2, 3, 1).contiguous()
        outputs = self.program({self.input.name: pixels.numpy()})
        return postprocessed([torch.from_numpy(outputs[name]) for name in self.names], self.canvas, self.score)


POSTPROCESSED = ("boxes", "labels", "scores", "count")


def postprocessed(outputs: Sequence[Tensor], canvas: tuple[int, int], score: float | None = None) -> Detections:
    """What TFLite_Detection_PostProcess returns: boxes [B, N, 4] as fractions (y, x, y, x) of the canvas, labels and
    scores [B, N], and how many there are. The rows behind are those of an earlier call.
    """
    boxes, labels, scores, count = outputs
    empty = torch.arange(scores.shape[1]) >= count[:, None]
    corners = (boxes * torch.tensor(canvas * 2))[..., [1, 0, 3, 2]]
    emptied = (corners.masked_fill(empty[..., None], 0), scores.masked_fill(empty, 0), labels.masked_fill(empty, 0))
    return sorted_detections(emptied, score)
