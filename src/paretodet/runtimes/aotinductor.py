"""AOTInductor: detectors that Inductor compiled ahead of time to native code, loaded without compiling again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch._C._aoti import AOTIModelPackageLoader

from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError, first_line
from paretodet.export.aotinductor import OPTIONS, check_platform, read_info, require_torch
from paretodet.export.graph import AOTINDUCTOR
from paretodet.export.inductor import require_compiler
from paretodet.runtimes.eager import check_threads
from paretodet.runtimes.fixed import fit_refusal
from paretodet.runtimes.graph import Feed, GraphRuntime, Port

MODEL, RUNNERS, DEVICE = "model", 1, -1  # its name in a package; one call at a time; the device that it was made for


@dataclass(frozen=True, kw_only=True)
class AotInductor(GraphRuntime):
    """Loads packages with the threads that this process has given torch. What it loads runs as native code: a bundle
    is opened by a source, which asks for trust before; a detector of the catalogue is compiled into the cache.
    """

    name: ClassVar[str] = "aotinductor"
    build_s: ClassVar[float] = 60.0
    forms: ClassVar[tuple[str, ...]] = ("torch", "aotinductor-bundle")
    libraries: ClassVar[tuple[str, ...]] = ()
    precisions: ClassVar[tuple[str, ...]] = tuple(AOTINDUCTOR)
    memory_format: ClassVar[torch.memory_format] = torch.channels_last

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.device != "cpu":
            raise InputError(f"device: got {self.device!r}, {self.name} runs on cpu", "option-unsupported")
        check_threads(self.threads)

    @classmethod
    def require(cls, form: str) -> None:
        """Raises MissingExtra for an older torch, and if there is no C++ compiler for a detector to be compiled."""
        require_torch(f"runtime {cls.name}")
        if form == "torch":
            require_compiler(f"runtime {cls.name}")

    @classmethod
    def refusal(cls, form: str, spec: DetectorSpec | None) -> str | None:
        if form == "torch" and spec is None:
            return f"runtime: {cls.name} runs detectors of the catalogue"
        return fit_refusal(spec.fit, cls.name) if spec else None

    @property
    def graph(self) -> str:
        return AOTINDUCTOR[self.precision]

    def compile(self, path: Path) -> "AotInductorProgram":
        return AotInductorProgram(path)

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ("version", torch.__version__), ("freezing", str(OPTIONS["freezing"]))


class AotInductorProgram:
    """A loaded package. Raises InputError if its code is for another machine, or torch cannot load it.

    `torch._inductor.aoti_load_package` is the same, but first compiles programs that test the processor, which takes
    seconds, and loads them from a folder that all users share; `check_platform` compares what torch knows without them.
    """

    def __init__(self, path: Path) -> None:
        info = read_info(path)
        check_platform(path, info.platform)
        self.layers = info.layers
        self.inputs, self.outputs = (
            tuple(Port(each.name, each.shape, each.type) for each in tensors) for tensors in (info.inputs, info.outputs)
        )
        try:
            self.loader = AOTIModelPackageLoader(str(path), MODEL, False, RUNNERS, DEVICE)
        except Exception as error:  # of many kinds
            message = f"{path}: torch cannot load this package ({first_line(error)})"
            raise InputError(message, "graph-failed") from error

    def __call__(self, feed: Feed) -> Sequence[np.ndarray]:
        """Raises InputError for other shapes or types than its inputs': the code does not check what it reads."""
        values = []
        for port in self.inputs:
            value = feed[port.name]
            if (value.shape, str(value.dtype)) != (port.shape, port.type):
                message = f"{port.name}: got {value.dtype} {value.shape}, it takes {port.type} {port.shape}"
                raise InputError(message, "option-unsupported")
            values.append(_laid_out(torch.from_numpy(value)))
        return [_array(output) for output in self.loader.boxed_run(values)]

    def precisions(self) -> Mapping[str, int]:
        return self.layers


def _laid_out(value: Tensor) -> Tensor:
    """In the strides that were compiled: an image channels-last."""
    return value.contiguous(memory_format=torch.channels_last if value.ndim == 4 else torch.contiguous_format)


def _array(output: Tensor) -> np.ndarray:
    """Masks of a network in bf16, which numpy lacks, become float32."""
    return (output.float() if output.dtype == torch.bfloat16 else output).numpy()
