"""What runtimes of layers alone have in common: they run a detector's parts, and torch crops and selects."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, ClassVar, Protocol, cast

import torch
from torch import Tensor

from paretodet.config import CALIBRATED
from paretodet.detectors.detector import Detector
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError, first_line
from paretodet.export.cache import Entry, cached
from paretodet.export.graph import ONNX_PARTS, exported_graph
from paretodet.export.int8 import quantized_parts
from paretodet.export.parts import PartedDetector, output_names, part_inputs, part_names, parts
from paretodet.export.program import noise
from paretodet.export.programs_int8 import ProgramQuantizer
from paretodet.export.scan import stated_scan
from paretodet.extras import require
from paretodet.media.calibration import CalibrationImages, calibration_images
from paretodet.network import Network, TorchNetwork
from paretodet.records.profile import LayerTime, by_module
from paretodet.runtimes.fixed import FixedSession, batches, fit_refusal, of_call, staged
from paretodet.runtimes.module_times import PartTimes, TimedProgram, median_times
from paretodet.runtimes.runtime import Runtime, Session, Stages
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
    libraries: ClassVar[tuple[str, ...]]
    exporters: ClassVar[tuple[str, ...]] = ("onnx", "onnxscript")
    extras: ClassVar[str]  # of this package, that install both

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
        libraries = (*cls.libraries, *cls.exporters) if form == "torch" else cls.libraries
        require(f"runtime {cls.name}", dict.fromkeys(libraries, cls.extras))

    @classmethod
    def refusal(cls, form: str, spec: DetectorSpec | None) -> str | None:
        if form != "torch":
            return None
        if spec is None:
            return f"runtime: {cls.name} runs detectors of the catalogue"
        return fit_refusal(spec.fit, cls.name)

    def build(self, network: Network) -> Session:
        assert isinstance(network, TorchNetwork)
        self.require(network.form)
        self.require_quantizer(self.extras)
        return PartsSession(network, self)

    def export(self, detector: Detector) -> Entry:
        """The folder with the files that `compile` reads, in float32.

        Raises ValueError if the detector cannot be exported.
        """
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
    calibration: CalibrationImages | None = None
    scan: str | None = None  # of int8: which layers stay in float, and why

    def __init__(self, network: TorchNetwork, runtime: PartsRuntime) -> None:
        runtime.check(network)
        super().__init__(network, runtime)
        detector = network.module
        assert isinstance(detector, Detector)
        in_int8 = runtime.precision == CALIBRATED
        entry = self._quantized(detector, is_trained=network.is_trained) if in_int8 else runtime.export(detector)
        start = perf_counter()
        self.programs = self._compiled(entry, detector)
        self.compile_ms, self.export_ms = round(1000 * (perf_counter() - start), 3), 1000 * entry.seconds
        self.layers = sum((Counter(each.precisions()) for each in self.programs.values()), Counter[str]())
        self.detector = PartedDetector(detector.spec, self.programs, self.fit.canvas((1, 1))).eval()
        checked = 0.0 if in_int8 else self._checked(entry, detector, lambda: self.programs)
        self.made_ms = 1000 * (entry.spent + checked)

    @property
    def identity(self) -> Mapping[str, Any]:
        images = {"calibration": self.calibration.sha256} if self.calibration else {}
        return {**super().identity, **images}

    def settings(self) -> tuple[tuple[str, str], ...]:
        quantizer = self.runtime.quantizer_settings() if self.calibration else ()
        scan = (("scan", self.scan),) if self.scan else ()
        return *self.runtime.settings(), *quantizer, *scan

    def infer(self, images: Images) -> Detections:
        return cast(Detections, self.detector(images))

    def stages(self) -> Stages:
        return staged(self.detector.stages(), self.runtime.batch)

    def facts(self) -> dict[str, Any]:
        return super().facts() | {"export_ms": self.export_ms, "made_ms": self.made_ms}

    def profile(self, images: Images, calls: int) -> tuple[LayerTime, ...]:
        """By module of the detector, of the first of the `batches`; a stage's work in torch has an entry of its own."""
        times, batch = PartTimes(), next(batches(images, self.runtime.batch))
        runs = {name: times.recorded(cast(TimedProgram, program)) for name, program in self.programs.items()}
        detector = PartedDetector(self.detector.spec, runs, self.fit.canvas((1, 1))).eval()
        records = [times.run(detector.stages(), batch) for _ in range(calls + 1)]
        return of_call(by_module(median_times(records[1:])), images, self.runtime.batch)

    def _compiled(self, entry: Entry, detector: Detector) -> Mapping[str, PartProgram]:
        return {name: self.runtime.compile(entry.folder, name) for name in part_names(detector.spec)}

    def _quantized(self, detector: Detector, *, is_trained: bool) -> Entry:
        """The files in int8. How much they detect of what float32 does was compared when they were made."""
        quantizer = self.runtime.quantizer
        assert isinstance(quantizer, ProgramQuantizer)
        self.calibration = calibration_images(self.runtime.calibration)
        options: dict[str, Any] = {"fit": self.fit, "batch": self.runtime.batch, "is_trained": is_trained}
        entry = quantized_parts(quantizer, self.calibration, detector, **options)
        self.scan = stated_scan(entry.folder)
        return entry

    def _checked(self, entry: Entry, detector: Detector, programs: Callable[[], Mapping[str, PartProgram]]) -> float:
        """The seconds that comparing the programs of an export took now.

        Raises ValueError if one computes something else for an image of noise than eager PyTorch.
        """
        key = {
            "kind": "parity",
            "graph": entry.folder.name,
            "runtime": self.runtime.name,
            "settings": self.runtime.settings(),
        }
        return cached(key, lambda folder: self._check_parity(detector, programs())).spent

    def _check_parity(self, detector: Detector, programs: Mapping[str, PartProgram]) -> None:
        modules = parts(detector)
        for name, values in part_inputs(detector, noise(self.runtime.batch, self.fit.canvas((1, 1)))).items():
            with torch.inference_mode():
                wanted, found = modules[name](values), self._outputs(name, programs[name], values.contiguous())
            for output, one, other in zip(output_names(name, len(wanted)), found, wanted, strict=True):
                self._compare(f"{output} of {name}", one, other)

    def _outputs(self, part: str, program: PartProgram, values: Tensor) -> Sequence[Tensor]:
        try:
            return program(values)
        except Exception as error:  # libraries' own exceptions share no base
            message = f"runtime: {self.runtime.name} cannot run the {part} of this detector ({first_line(error)})"
            raise InputError(message, "graph-failed") from error

    def _compare(self, what: str, found: Tensor, wanted: Tensor) -> None:
        error = ((found - wanted).abs().max() / wanted.abs().max()).item()
        if not error <= BOUND:
            raise InputError(
                f"runtime: {self.runtime.name} computes other {what} than eager PyTorch: they differ by {error:.2g} of "
                "the largest",
                "parity-failed",
            )
