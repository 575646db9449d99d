"""ONNX Runtime: ONNX files, and detectors of the catalogue exported to one, in fp32 and int8."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
import torch

from paretodet.errors import InputError
from paretodet.export.apart import run_apart
from paretodet.export.cache import cached, stamp
from paretodet.export.onnx_int8 import OnnxInt8
from paretodet.export.quantizer import Quantizer
from paretodet.extras import MissingExtra, require
from paretodet.network import Network
from paretodet.records.profile import LayerTime
from paretodet.runtimes.graph import ExportedSession, Feed, FileSession, GraphRuntime, Port
from paretodet.runtimes.onnx_session import LAYERS, SETTINGS, node_times, open_session, provider, version, write_layers


@dataclass(frozen=True, kw_only=True)
class OnnxRuntime(GraphRuntime):
    """Sequential execution without spinning, in float32 unless a file says otherwise."""

    name: ClassVar[str] = "onnxruntime"
    build_s: ClassVar[float] = 8.0
    timed_forms: ClassVar[tuple[str, ...]] = GraphRuntime.forms
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
        except (ImportError, ValueError):  # it is not installed, or cannot use the device
            return ()
        return super().usable(device)

    def build(self, network: Network) -> FileSession | ExportedSession:
        self.require(network.form)
        provider(self.device)  # before a long export
        return super().build(network)

    def compile(self, path: Path) -> "OnnxProgram":
        return OnnxProgram(path, self.device, self.threads)

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ("version", version()), *SETTINGS.items()


class OnnxProgram:
    """An onnxruntime.InferenceSession."""

    def __init__(self, path: Path, device: str, threads: int | None) -> None:
        self.path, self.device, self.threads = path, device, threads or torch.get_num_threads()
        self.session = open_session(path, device, self.threads)
        self.inputs, self.outputs = map(_ports, (self.session.get_inputs(), self.session.get_outputs()))

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        return self.session.run(None, dict(feed))

    def precisions(self) -> Mapping[str, int]:
        return self._precisions

    @cached_property
    def _precisions(self) -> Mapping[str, int]:
        """Of the optimized graph, which another process writes once. Empty without `onnx`, or if that fails."""
        key = {"kind": "layers", "file": stamp(self.path), "device": self.device, "onnxruntime": version()}
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


def _ports(arguments: Sequence[Any]) -> tuple[Port, ...]:
    return tuple(Port(argument.name, argument.shape, argument.type) for argument in arguments)
