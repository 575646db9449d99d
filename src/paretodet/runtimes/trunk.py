"""What runtimes of convolutions alone have in common: they run a detector's network, and torch selects detections."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export.cache import Entry, cached
from paretodet.export.graph import TRUNK, exported_graph
from paretodet.export.program import noise
from paretodet.export.trunk import TorchParts, Trunk
from paretodet.extras import require
from paretodet.network import Network, TorchNetwork
from paretodet.runtimes.fixed import FixedSession
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.types import Detections, Images, Predictions

BOUND = 1e-3  # of the largest prediction: how much a program in float32 may differ from eager PyTorch


class TrunkProgram(Protocol):
    """A trunk that a runtime has compiled."""

    def __call__(self, values: Tensor) -> Predictions:
        """Normalized pixels [B, 3, H, W], float32, contiguous -> predictions, float32."""
        ...

    def precisions(self) -> Mapping[str, int]:
        """Number of convolutions and matrix products that execute in each precision, read from the compiled network."""
        ...


@dataclass(frozen=True, kw_only=True)
class TrunkRuntime(Runtime):
    """Runs one-stage detectors of the catalogue on the CPU, from a file of their trunk (`export.trunk`)."""

    forms: ClassVar[tuple[str, ...]] = ("torch",)
    libraries: ClassVar[tuple[str, ...]]  # that it runs in, by their import names
    exporters: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript")  # libraries that write its file
    extras: ClassVar[str]  # of this package, that install both
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)

    def __post_init__(self) -> None:
        if self.precision not in self.precisions:
            allowed = ", ".join(self.precisions)
            message = f"precision: got {self.precision!r}, {self.name} runs {allowed}"
            raise InputError(message, "option-unsupported")
        if self.device != "cpu":
            raise InputError(f"device: got {self.device!r}, {self.name} runs on cpu", "option-unsupported")

    @classmethod
    def imports(cls, form: str) -> tuple[str, ...]:
        return cls.libraries

    @classmethod
    def require(cls, form: str) -> None:
        require(f"runtime {cls.name}", dict.fromkeys((*cls.libraries, *cls.exporters), cls.extras))

    def build(self, network: Network) -> "TrunkSession":
        assert isinstance(network, TorchNetwork)
        self.require(network.form)
        return TrunkSession(network, self)

    def export(self, detector: Detector) -> Entry:
        """The folder with the file that `compile` reads. Raises ValueError if the detector cannot be exported."""
        return exported_graph(detector, batch=self.batch, file=TRUNK)

    @abstractmethod
    def compile(self, folder: Path) -> TrunkProgram:
        """Compiles the exported file. Raises ValueError naming an operator that the runtime lacks."""

    @abstractmethod
    def settings(self) -> tuple[tuple[str, str], ...]:
        """The version of its library and what was set, for the row."""


class TrunkState(NamedTuple):
    """What the network hands to the selection."""

    images: Images
    predictions: Predictions


class TrunkSession(FixedSession):
    """The trunk of a detector in a library, what surrounds it in torch.

    Raises ValueError for other modules, for detectors of several stages, and if the library predicts something else
    than eager PyTorch; that is checked once for each exported file.
    """

    runtime: TrunkRuntime

    def __init__(self, network: TorchNetwork, runtime: TrunkRuntime) -> None:
        super().__init__(network, runtime)
        detector = one_stage(network, runtime.name)
        entry = runtime.export(detector)
        start = perf_counter()
        self.program = runtime.compile(entry.folder)
        self.compile_ms, self.export_ms = round(1000 * (perf_counter() - start), 3), 1000 * entry.seconds
        self.layers = self.program.precisions()
        self.parts = TorchParts(detector.spec, self.fit.canvas((1, 1)))
        key = {"kind": "parity", "graph": entry.folder.name, "runtime": runtime.name, "settings": runtime.settings()}
        cached(key, lambda folder: self._check_parity(detector))

    def settings(self) -> tuple[tuple[str, str], ...]:
        return self.runtime.settings()

    def infer(self, images: Images) -> Detections:
        return self.select(self.predict(images))

    def stages(self) -> Stages:
        return ("network", self.predict), ("select", self.select)

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"export_ms": self.export_ms}

    def _check_parity(self, detector: Detector) -> None:
        """Raises ValueError if the program predicts something else for an image of noise than eager PyTorch."""
        images = noise(self.runtime.batch, self.fit.canvas((1, 1)))
        with torch.inference_mode():
            wanted = Predictions(*Trunk(detector)(detector.values(images)))
        for field, found, expected in zip(Predictions._fields, self.predict(images).predictions, wanted, strict=True):
            error = ((found - expected).abs().max() / expected.abs().max()).item()
            if not error <= BOUND:
                raise InputError(
                    f"runtime: {self.runtime.name} computes other {field} of {detector.spec.name} than eager PyTorch: "
                    f"they differ by {error:.2g} of the largest; use another runtime",
                    "parity-failed",
                )

    def predict(self, images: Images) -> TrunkState:
        return TrunkState(images, self.program(self.parts.values(images).contiguous()))

    def select(self, state: TrunkState) -> Detections:
        return self.parts.select(state.predictions, state.images)


def one_stage(network: TorchNetwork, runtime: str) -> Detector:
    """The network's module. Raises ValueError if it is no one-stage detector of the catalogue."""
    detector = network.module
    if not isinstance(detector, Detector):
        message = f"runtime: {runtime} runs one-stage detectors of the catalogue, not {network.name}"
        raise InputError(message, "option-unsupported")
    stages = len(detector.spec.stages)
    if stages > 1 or detector.mask_head is not None:
        raise InputError(
            f"runtime: {runtime} cannot run {network.name}: it lacks NonMaxSuppression, which stands between its "
            f"{stages} stages; use --runtime eager, compiled or onnxruntime",
            "option-unsupported",
        )
    return detector
