"""ONNX Runtime: ONNX files, and detectors of the catalogue exported to one, in fp32 and int8."""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch

from paretodet.errors import InputError
from paretodet.export import onnx_nodes
from paretodet.export.apart import run_apart
from paretodet.export.cache import cached, stamp
from paretodet.export.onnx_int8 import OnnxInt8
from paretodet.export.quantizer import Quantizer
from paretodet.extras import MissingExtra, require
from paretodet.network import Network
from paretodet.records.profile import LayerTime
from paretodet.runtimes.fixed import first_line
from paretodet.runtimes.graph import ExportedSession, Feed, FileSession, GraphRuntime, Port

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
LAYERS = "layers.json"
KINDS = {"float": "fp32", "float16": "fp16", "bfloat16": "bf16", "double": "fp64"}  # types as profiles call them
_KERNEL = "_kernel_time"  # the ending of a node's event
SETTINGS = {"session.intra_op.allow_spinning": "0", "session.inter_op.allow_spinning": "0"}


@dataclass(frozen=True, kw_only=True)
class OnnxRuntime(GraphRuntime):
    """Sequential execution without spinning, in float32 unless a file says otherwise."""

    name: ClassVar[str] = "onnxruntime"
    times_layers: ClassVar[bool] = True
    libraries: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    quantizer: ClassVar[Quantizer | None] = OnnxInt8()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.precision == "int8" and self.device != "cpu":
            raise InputError(f"device: got {self.device!r}, {self.name} runs int8 on cpu", "option-unsupported")

    @classmethod
    def usable(cls, device: str) -> tuple[str, ...]:
        try:
            provider(device)
        except ValueError:
            return ()
        return super().usable(device)

    def build(self, network: Network) -> FileSession | ExportedSession:
        self.require(network.form)
        provider(self.device)  # before a long export
        return super().build(network)

    def compile(self, path: Path) -> "OnnxProgram":
        return OnnxProgram(path, self.device, self.threads)

    def settings(self) -> tuple[tuple[str, str], ...]:
        import onnxruntime

        return ("version", onnxruntime.__version__), *SETTINGS.items()


class OnnxProgram:
    """An onnxruntime.InferenceSession."""

    def __init__(self, path: Path, device: str, threads: int | None) -> None:
        self.path, self.device, self.threads = path, device, threads
        self.session = open_session(path, device, threads)
        self.inputs, self.outputs = map(_ports, (self.session.get_inputs(), self.session.get_outputs()))

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        return self.session.run(None, dict(feed))

    def precisions(self) -> Mapping[str, int]:
        return self._precisions

    @cached_property
    def _precisions(self) -> Mapping[str, int]:
        """Of the optimized graph, which another process writes once. Empty without `onnx`, or if that fails."""
        import onnxruntime

        key = {
            "kind": "layers",
            "file": stamp(self.path),
            "device": self.device,
            "onnxruntime": onnxruntime.__version__,
        }
        with suppress(MissingExtra, ValueError):
            require("precision", {"onnx": "onnx"})
            entry = cached(key, lambda folder: run_apart(partial(write_layers, self.path, self.device, folder)))
            return dict(json.loads((entry.folder / LAYERS).read_text(encoding="utf-8")))
        return {}

    def profile(self, feed: Feed, calls: int) -> tuple[LayerTime, ...]:
        """In a second session, whose first run does not count."""
        with TemporaryDirectory() as folder:
            session = open_session(self.path, self.device, self.threads, profile=Path(folder) / "run")
            for _ in range(calls + 1):
                session.run(None, dict(feed))
            events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
        return node_times(events, calls)


def node_times(events: Sequence[Mapping[str, Any]], calls: int) -> tuple[LayerTime, ...]:
    """The median of every node over the last `calls` runs, from the events of ONNX Runtime's profiler."""
    starts = sorted(event["ts"] for event in events if event["name"] == "model_run")
    operators, spent = dict[str, str](), Counter[tuple[str, int]]()
    for name, event in _kernels(events):
        operators[name] = event["args"]["op_name"]
        spent[name, bisect_right(starts, event["ts"])] += event["dur"]
    runs = range(len(starts) - calls + 1, len(starts) + 1)
    return tuple(
        LayerTime(name, operator, median(spent[name, run] for run in runs) / 1000)
        for name, operator in operators.items()
    )


def node_precisions(events: Sequence[Mapping[str, Any]]) -> Mapping[str, int]:
    """Number of convolutions and matrix products by the precision in which they computed, from the same events: by the
    type of their first input.
    """
    found = dict[str, str]()
    for name, event in _kernels(events):
        if (operator := event["args"]["op_name"]) in onnx_nodes.INTEGER_PRODUCTS:
            found[name] = "int8"
        elif operator in onnx_nodes.PRODUCTS:
            (kind,) = event["args"]["input_type_shape"][0]
            found[name] = KINDS.get(kind, kind)
    return Counter(found.values())


def _kernels(events: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The events of nodes that computed, by the names of the nodes."""
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            arguments = event["args"]
            yield event["name"].removesuffix(_KERNEL) or f"{arguments['op_name']} {arguments['node_index']}", event


def write_layers(path: Path, device: str, folder: Path) -> None:
    """Writes the precisions of the layers that ONNX Runtime executes for a file."""
    import onnx

    with TemporaryDirectory() as name:
        optimized = Path(name) / "optimized.onnx"
        open_session(path, device, None, optimized=optimized)
        layers = onnx_nodes.precisions(onnx.load(optimized))
    (folder / LAYERS).write_text(json.dumps(dict(layers)), encoding="utf-8")


def _ports(arguments: Sequence[Any]) -> tuple[Port, ...]:
    return tuple(Port(argument.name, argument.shape, argument.type) for argument in arguments)


def open_session(
    path: Path, device: str, threads: int | None, *, optimized: Path | None = None, profile: Path | None = None
) -> Any:
    """An onnxruntime.InferenceSession. It also writes its graph to the file `optimized`, and the times of its nodes to
    a file whose name begins with `profile`.

    Raises ValueError if the file is no ONNX or the device cannot be used.
    """
    import onnxruntime

    chosen = provider(device)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    if optimized:
        options.optimized_model_filepath = str(optimized)
    if profile:
        options.enable_profiling, options.profile_file_prefix = True, str(profile)
    for key, value in SETTINGS.items():
        options.add_session_config_entry(key, value)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[chosen], enable_fallback=0)
    except Exception as error:  # the runtime's own exceptions share no base
        raise InputError(f"{path}: ONNX Runtime cannot load it ({first_line(error)})", "graph-failed") from error
    if chosen[0] not in session.get_providers():  # else the CPU would be measured under another name
        raise InputError(f"device: {device!r} could not be started by ONNX Runtime", "device-missing")
    return session


def provider(device: str) -> tuple[str, dict[str, str]]:
    """The execution provider of a device and its options. Raises ValueError if this build has none."""
    import onnxruntime

    kind, _, number = device.partition(":")
    if (name := PROVIDERS.get(kind)) not in onnxruntime.get_available_providers():
        raise InputError(f"device: {device!r} is not one that this build of ONNX Runtime can use", "device-missing")
    return str(name), {"device_id": number or "0"} if kind == "cuda" else {}
