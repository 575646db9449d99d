"""What every runtime has: it takes networks of some forms, and makes a session that executes one."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

import torch

from paretodet.config import CALIBRATED
from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError
from paretodet.export.quantizer import Quantizer
from paretodet.extras import require, version_of
from paretodet.network import Network
from paretodet.transforms.resize_policy import ResizePolicy
from paretodet.types import Detections, Images

Stages = tuple[tuple[str, Callable[[Any], Any]], ...]


class Session(Protocol):
    """A network that is ready to run.

    `fit` brings images to its canvas, `memory_format` is the one in which its batches are fastest, and `identity` is
    the runtime's part of `artefact`.
    """

    fit: ResizePolicy
    memory_format: torch.memory_format

    @property
    def identity(self) -> Mapping[str, Any]: ...

    def __call__(self, images: Images) -> Detections:
        """A batch in host memory -> detections, sorted by falling score, in pixels of the canvas."""
        ...

    def stages(self) -> Stages:
        """Named functions whose composition is the call; empty if it has no parts that can be called."""
        ...

    def facts(self) -> dict[str, Any]:
        """Fields of ModelInfo: device, runtime, the precision that is executed, settings with the version."""
        ...


@dataclass(frozen=True, kw_only=True)
class Runtime(ABC):
    """How a network executes. Raises ValueError naming the option that this runtime or this machine lacks."""

    name: ClassVar[str]
    forms: ClassVar[tuple[str, ...]]  # of the networks that it takes
    libraries: ClassVar[tuple[str, ...]] = ()  # that it runs in, by their import names
    exporters: ClassVar[tuple[str, ...]] = ()  # libraries that write its file of a detector of the catalogue
    precisions: ClassVar[tuple[str, ...]] = ("fp32",)
    quantizer: ClassVar[Quantizer | None] = None  # of runtimes that have int8
    build_s: ClassVar[float] = 0.0  # a rough time to export and compile a network, until one was measured
    timed_forms: ClassVar[tuple[str, ...]] = ()  # whose sessions have `profile` (`bench.candidate.Profiled`)
    device: str = "cpu"
    precision: str = "fp32"
    threads: int | None = None  # None: as many as torch uses
    batch: int = 1  # images a call, for graphs of a fixed size
    calibration: Path | None = None  # folder of images that int8 is calibrated on; None: the photographs at hand

    def settings(self) -> tuple[tuple[str, str], ...]:
        """The version of its library and what was set, for the row; of torch, every row has the version."""
        return ()

    def quantizer_settings(self) -> tuple[tuple[str, str], ...]:
        """For the row of a network that was quantized here: the versions of what did it, beside its own libraries."""
        libraries = self.quantizer.libraries if self.quantizer else ()
        beside = (name for name in libraries if name not in (*self.libraries, *self.exporters))
        return tuple((name.replace("_", "-"), version_of(name)) for name in beside)

    @classmethod
    def imports(cls, form: str) -> tuple[str, ...]:
        """Modules of its library that a network of `form` needs."""
        return ()

    @classmethod
    def require(cls, form: str) -> None:
        """Raises MissingExtra if a library that a network of `form` needs is not installed."""
        return None

    @classmethod
    def usable(cls, device: str) -> tuple[str, ...]:
        """The precisions that it executes on this machine's `device`; empty if it cannot use that device.

        Without int8 where a library that quantizes is not installed.
        """
        missing = CALIBRATED if cls.quantizer and not all(map(find_spec, cls.quantizer.libraries)) else None
        accepted = (precision for precision in cls.precisions if cls.accepts(device, precision))
        return tuple(precision for precision in accepted if precision != missing)

    @classmethod
    def accepts(cls, device: str, precision: str) -> bool:
        """Whether it executes this precision on this machine's `device`, of networks that have it already."""
        try:
            cls(device=device, precision=precision)
        except ValueError:
            return False
        return True

    @classmethod
    def refusal(cls, form: str, spec: DetectorSpec | None) -> str | None:
        """Why it cannot run some networks of a `form` that it takes: a detector of ours if there is a `spec`."""
        return None

    def require_quantizer(self, extras: str) -> None:
        """Raises MissingExtra if int8 is chosen, and a library that quantizes is not installed.

        `extras` of this package install what the runtime needs anyway.
        """
        if self.precision == CALIBRATED and self.quantizer:
            together = ",".join((extras, *self.quantizer.extras))
            require(f"int8 of runtime {self.name}", dict.fromkeys(self.quantizer.libraries, together))

    def check(self, network: Network) -> None:
        """Raises InputError with the reason of `refusal`, if there is one."""
        if why := self.refusal(network.form, network.spec):
            raise InputError(f"{why} ({network.name})", "option-unsupported")

    @abstractmethod
    def build(self, network: Network) -> Session:
        """Raises ValueError if it cannot run this network."""
