"""ExecuTorch: the layers of a detector by XNNPACK, in PyTorch's own runtime for phones, here on the CPU."""

import gc
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError, first_line
from paretodet.export.cache import Entry
from paretodet.export.executorch_int8 import ExecuTorchInt8
from paretodet.export.graph import PTE_PARTS, exported_graph
from paretodet.export.pte import SCALARS, executed_by
from paretodet.export.quantizer import Quantizer
from paretodet.export.unselected import OUTPUTS, PIXELS, Layout
from paretodet.extras import version_of
from paretodet.network import ArtifactNetwork, Network
from paretodet.runtimes.graph import Port
from paretodet.runtimes.parts import PartsRuntime
from paretodet.runtimes.runtime import Session
from paretodet.runtimes.unselected import UnselectedSession

METHOD = "forward"


@dataclass(frozen=True, kw_only=True)
class ExecuTorch(PartsRuntime):
    """Float32 or int8. What XNNPACK cannot execute is left to ExecuTorch's portable kernels; the row says how much."""

    name: ClassVar[str] = "executorch"
    build_s: ClassVar[float] = 40.0
    forms: ClassVar[tuple[str, ...]] = ("torch", "executorch-bundle")
    libraries: ClassVar[tuple[str, ...]] = ("executorch",)
    exporters: ClassVar[tuple[str, ...]] = ()
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")
    extras: ClassVar[str] = "executorch"
    quantizer: ClassVar[Quantizer | None] = ExecuTorchInt8()

    @classmethod
    def imports(cls, form: str) -> tuple[str, ...]:
        return ("executorch.extension.pybindings._C",)

    def build(self, network: Network) -> Session:
        if not isinstance(network, ArtifactNetwork):
            return super().build(network)
        self.require(network.form)
        return UnselectedSession(network, replace(self, batch=network.batch or self.batch), self.load)

    def export(self, detector: Detector) -> Entry:
        return exported_graph(detector, batch=self.batch, form=PTE_PARTS)

    def compile(self, folder: Path, part: str) -> "PteProgram":
        return self.load(folder / f"{part}.pte")

    def load(self, path: Path) -> "PteProgram":
        """Raises ValueError if ExecuTorch cannot run the file."""
        return PteProgram(path, self.threads or torch.get_num_threads())

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ("version", version_of("executorch")), ("backend", "xnnpack")


class PteProgram:
    """A loaded method. Raises ValueError if ExecuTorch cannot load the file, or runs with another number of threads."""

    layout: Layout = "NCHW"  # of artifacts

    def __init__(self, path: Path, threads: int) -> None:
        # `executorch.runtime` is the same, and imports the compiler too, which takes seconds.
        from executorch.extension.pybindings import _C as library

        self.layers = executed_by(path).layers
        set_threads(library, threads)
        try:
            check = library.Verification.InternalConsistency
            self.program = library._load_program(str(path), program_verification=check)
            self.method = self.program.load_method(METHOD)
        except RuntimeError as error:
            message = f"{path}: ExecuTorch cannot load this program ({first_line(error)})"
            raise InputError(message, "graph-failed") from error
        _LOADED.add(self)

    def __call__(self, values: Tensor) -> Sequence[Tensor]:
        """Its portable kernels read other inputs than contiguous ones in a wrong order."""
        outputs: list[Tensor] = self.method([values.contiguous()])
        return outputs

    def precisions(self) -> Mapping[str, int]:
        return self.layers

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Of an artifact: programs have no names of their tensors."""
        return (_port(PIXELS, self.method.method_meta().input_tensor_meta(0)),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        meta = self.method.method_meta()
        return tuple(_port(name, meta.output_tensor_meta(index)) for index, name in enumerate(OUTPUTS))


def _port(name: str, tensor: Any) -> Port:
    kind = SCALARS.get(tensor.dtype(), str(tensor.dtype()))
    return Port(name, tuple(tensor.sizes()), kind.replace("fp", "float"))


_LOADED: WeakSet[PteProgram] = WeakSet()


def set_threads(library: Any, threads: int) -> None:
    """Sets the number of threads of the process: ExecuTorch has one pool, to which loaded programs hold a pointer.

    Raises ValueError if a program is loaded that runs with another number.
    """
    with redirect_stderr(StringIO()):  # it reports that it finds no files of ARM processors
        running = library._threadpool_get_thread_count()
        if running != threads:
            gc.collect()
        if running != threads and not _LOADED:
            library._unsafe_reset_threadpool(threads)
            running = library._threadpool_get_thread_count()
    if running != threads:
        raise InputError(
            f"threads: got {threads}, but executorch has one pool of threads in a process, and a detector that is open "
            f"uses {running}; close it first, or give --threads {running}",
            "option-unsupported",
        )
