"""ncnn: the layers of a detector by kernels for phones, its 3x3 convolutions by Winograd's algorithm."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export.cache import Entry
from paretodet.export.graph import TORCHSCRIPT_PARTS
from paretodet.export.ncnn import BIN, LAYERS, PARAM, converted, read_layers
from paretodet.export.torchscript import SHAPES, WHOLE
from paretodet.export.unselected import OUTPUTS, PIXELS, Layout
from paretodet.extras import version_of
from paretodet.network import ArtifactNetwork, Network, TorchNetwork
from paretodet.runtimes.graph import Port
from paretodet.runtimes.parts import PartsRuntime, PartsSession
from paretodet.runtimes.runtime import Session
from paretodet.runtimes.unselected import UnselectedSession

REDUCED = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")  # options that round


@dataclass(frozen=True, kw_only=True)
class Ncnn(PartsRuntime):
    """Float32. ncnn has no batches: their images and crops are computed one after the other."""

    name: ClassVar[str] = "ncnn"
    build_s: ClassVar[float] = 15.0
    forms: ClassVar[tuple[str, ...]] = ("torch", "ncnn-bundle")
    libraries: ClassVar[tuple[str, ...]] = ("ncnn",)
    exporters: ClassVar[tuple[str, ...]] = ("pnnx",)
    extras: ClassVar[str] = "ncnn"

    def build(self, network: Network) -> Session:
        self.require(network.form)
        if isinstance(network, ArtifactNetwork):
            return UnselectedSession(network, replace(self, batch=network.batch or self.batch), self.load)
        assert isinstance(network, TorchNetwork)
        return NcnnSession(network, self)

    def export(self, detector: Detector) -> Entry:
        return converted(detector, TORCHSCRIPT_PARTS)

    def compile(self, folder: Path, part: str) -> "NcnnProgram":
        return NcnnProgram(folder, part, self.threads or torch.get_num_threads())

    def load(self, path: Path) -> "NcnnArtifact":
        """Raises ValueError if ncnn cannot load the files of a bundle."""
        return NcnnArtifact(self.compile(path.parent, WHOLE))

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ("version", version_of("ncnn")), ("winograd", "True")


class NcnnSession(PartsSession):
    """The parts of a detector in ncnn, what surrounds them in torch."""

    def settings(self) -> tuple[tuple[str, str], ...]:
        return *super().settings(), ("pnnx", version_of("pnnx"))


class NcnnProgram:
    """An ncnn.Net. Raises ValueError if ncnn cannot load the files."""

    def __init__(self, folder: Path, part: str, threads: int) -> None:
        import ncnn

        param, weights = (folder / f"{part}.{suffix}" for suffix in (PARAM, BIN))
        self.net, self.layers = ncnn.Net(), read_layers(param)
        self.shape, *self.shapes = json.loads((folder / SHAPES).read_text(encoding="utf-8"))[part]
        self.net.opt.num_threads = threads
        self.net.opt.use_winograd_convolution = True
        for option in ("use_vulkan_compute", *REDUCED):
            setattr(self.net.opt, option, False)
        if self.net.load_param(str(param)) or self.net.load_model(str(weights)):
            raise InputError(f"{param}: ncnn cannot load this network", "graph-failed")

    def __call__(self, values: Tensor) -> Sequence[Tensor]:
        return [torch.cat(each) for each in zip(*map(self._run, values.numpy()), strict=True)]

    def _run(self, values: np.ndarray) -> list[Tensor]:
        """Outputs for one image or crop [C, H, W]. ncnn removes or adds dimensions of 1."""
        results = self.extract(values, [f"out{index}" for index in range(len(self.shapes))])
        return [torch.from_numpy(each).view(shape) for each, shape in zip(results, self.shapes, strict=True)]

    def extract(self, values: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
        """What is computed under some names for one image or crop, copies of ncnn's memory."""
        import ncnn

        extractor = self.net.create_extractor()
        extractor.input("in0", ncnn.Mat(values))
        return [np.array(extractor.extract(name)[1]) for name in names]

    def precisions(self) -> Mapping[str, int]:
        """By the options of the net: ncnn rounds where one of them is set, and its files hold float32."""
        name = "reduced" if any(getattr(self.net.opt, option) for option in REDUCED) else "fp32"
        return Counter(name for each in self.layers if each.type in LAYERS)


class NcnnArtifact:
    """An artifact without selection, whose images are computed one after the other."""

    layout: Layout = "NCHW"

    def __init__(self, program: NcnnProgram) -> None:
        self.program, self.precisions = program, program.precisions
        self.inputs = (Port(PIXELS, tuple(program.shape), "float32"),)
        self.outputs = tuple(
            Port(name, tuple(shape), "float32") for name, shape in zip(OUTPUTS, program.shapes, strict=True)
        )

    def __call__(self, pixels: Tensor) -> Sequence[Tensor]:
        return self.program(pixels.float())
