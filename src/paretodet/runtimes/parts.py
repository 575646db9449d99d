"""What runtimes of layers alone have in common: they run a detector's parts, and torch crops and selects."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export.cache import Entry, cached
from paretodet.export.graph import ONNX_PARTS, exported_graph
from paretodet.export.parts import PartedDetector, output_names, part_inputs, part_names, parts
from paretodet.export.program import noise
from paretodet.extras import require
from paretodet.network import Network, TorchNetwork
from paretodet.runtimes.fixed import FixedSession
from paretodet.runtimes.runtime import Runtime, Stages
from paretodet.types import Detections, Images

BOUND = (
    5e-3  # of the largest output: how much a program may differ from eager PyTorch; Winograd's rounding reaches 1.2e-3
)


class PartProgram(Protocol):
    """A part of a detector (`export.parts`) that a runtime has compiled."""

    def __call__(self, values: Tensor) -> Sequence[Tensor]:
        """Float32, contiguous, of the shape it was made for -> the outputs of the part, float32."""
        ...

    def precisions(self) -> Mapping[str, int]:
        """Number of convolutions and matrix products that execute in each precision, read from the compiled network."""
        ...


@dataclass(frozen=True, kw_only=True)
class PartsRuntime(Runtime):
    """Runs detectors of the catalogue on the CPU, from files of their parts (`export.parts`)."""

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

    def build(self, network: Network) -> "PartsSession":
        assert isinstance(network, TorchNetwork)
        self.require(network.form)
        return PartsSession(network, self)

    def export(self, detector: Detector) -> Entry:
        """The folder with the files that `compile` reads. Raises ValueError if the detector cannot be exported."""
        return exported_graph(detector, batch=self.batch, form=ONNX_PARTS)

    @abstractmethod
    def compile(self, folder: Path, part: str) -> PartProgram:
        """Compiles the exported file of a part. Raises ValueError naming an operator that the runtime lacks."""

    @abstractmethod
    def settings(self) -> tuple[tuple[str, str], ...]:
        """The version of its library and what was set, for the row."""


class PartsSession(FixedSession):
    """The parts of a detector in a library, what surrounds them in torch.

    Raises ValueError for other modules, and if the library computes something else than eager PyTorch; that is checked
    once for each export.
    """

    runtime: PartsRuntime

    def __init__(self, network: TorchNetwork, runtime: PartsRuntime) -> None:
        super().__init__(network, runtime)
        detector = _of_catalogue(network, runtime.name)
        entry = runtime.export(detector)
        start = perf_counter()
        programs = {name: runtime.compile(entry.folder, name) for name in part_names(detector.spec)}
        self.compile_ms, self.export_ms = round(1000 * (perf_counter() - start), 3), 1000 * entry.seconds
        self.layers = sum((Counter(each.precisions()) for each in programs.values()), Counter[str]())
        self.detector = PartedDetector(detector.spec, programs, self.fit.canvas((1, 1))).eval()
        key = {"kind": "parity", "graph": entry.folder.name, "runtime": runtime.name, "settings": runtime.settings()}
        cached(key, lambda folder: self._check_parity(detector, programs))

    def settings(self) -> tuple[tuple[str, str], ...]:
        return self.runtime.settings()

    def infer(self, images: Images) -> Detections:
        return cast(Detections, self.detector(images))

    def stages(self) -> Stages:
        return self.detector.stages()

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"export_ms": self.export_ms}

    def _check_parity(self, detector: Detector, programs: Mapping[str, PartProgram]) -> None:
        """Raises ValueError if a program computes something else for an image of noise than eager PyTorch."""
        modules = parts(detector)
        for name, values in part_inputs(detector, noise(self.runtime.batch, self.fit.canvas((1, 1)))).items():
            with torch.inference_mode():
                wanted, found = modules[name](values), programs[name](values.contiguous())
            for output, one, other in zip(output_names(name, len(wanted)), found, wanted, strict=True):
                self._compare(f"{output} of {name}", one, other)

    def _compare(self, what: str, found: Tensor, wanted: Tensor) -> None:
        error = ((found - wanted).abs().max() / wanted.abs().max()).item()
        if not error <= BOUND:
            raise InputError(
                f"runtime: {self.runtime.name} computes other {what} than eager PyTorch: they differ by {error:.2g} of "
                "the largest; use another runtime",
                "parity-failed",
            )


def _of_catalogue(network: TorchNetwork, runtime: str) -> Detector:
    """The network's module. Raises ValueError if it is no detector of the catalogue."""
    if not isinstance(network.module, Detector):
        message = f"runtime: {runtime} runs detectors of the catalogue, not {network.name}"
        raise InputError(message, "option-unsupported")
    return network.module
