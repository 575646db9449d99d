"""ncnn: the layers of a detector by kernels for phones, its 3x3 convolutions by Winograd's algorithm."""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export.cache import Entry, cached
from paretodet.export.graph import TORCHSCRIPT_PARTS, exported_graph
from paretodet.export.torchscript import SHAPES
from paretodet.runtimes.parts import PartsRuntime

LAYERS = {"Convolution", "ConvolutionDepthWise", "Deconvolution", "Gemm", "InnerProduct", "MatMul"}
REDUCED = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")  # options that round
PARAM, BIN = "ncnn.param", "ncnn.bin"  # suffixes


@dataclass(frozen=True, kw_only=True)
class Ncnn(PartsRuntime):
    """Float32. ncnn has no batches: their images and crops are computed one after the other."""

    name: ClassVar[str] = "ncnn"
    libraries: ClassVar[tuple[str, ...]] = ("ncnn",)
    exporters: ClassVar[tuple[str, ...]] = ("pnnx",)
    extras: ClassVar[str] = "ncnn"

    def export(self, detector: Detector) -> Entry:
        traced = exported_graph(detector, batch=1, form=TORCHSCRIPT_PARTS)
        key = {"kind": "ncnn", "traced": traced.folder.name, "pnnx": version("pnnx")}
        entry = cached(key, lambda folder: convert(traced.folder, folder))
        return Entry(entry.folder, traced.seconds + entry.seconds, traced.spent + entry.spent)

    def compile(self, folder: Path, part: str) -> "NcnnProgram":
        return NcnnProgram(folder, part, self.threads or torch.get_num_threads())

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ("version", version("ncnn")), ("pnnx", version("pnnx")), ("winograd", "True")


def convert(source: Path, folder: Path) -> None:
    """Writes the parts of the folder `source` as ncnn's two files each. Raises ValueError if that fails."""
    shutil.copy(source / SHAPES, folder)
    for part, (shape, *_) in json.loads((source / SHAPES).read_text(encoding="utf-8")).items():
        _convert(source / f"{part}.pt", folder / part, shape)


def _convert(source: Path, target: Path, shape: Sequence[int]) -> None:
    import pnnx

    param, weights = (target.with_name(f"{target.name}.{suffix}") for suffix in (PARAM, BIN))
    with TemporaryDirectory() as name:  # the converter writes other files beside its source
        copy = shutil.copy(source, name)
        options = [f"inputshape=[{','.join(map(str, shape))}]", "fp16=0"]
        command = [pnnx.EXEC_PATH, copy, *options, f"ncnnparam={param}", f"ncnnbin={weights}"]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True)
    if done.returncode or not param.is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"runtime: pnnx cannot convert this network ({last})", "export-failed")
    if foreign := sorted(each for each in _types(param) if "." in each or "::" in each):
        raise InputError(f"runtime: ncnn cannot run operator {foreign[0]}", "graph-failed")


def _types(param: Path) -> list[str]:
    """The types of the layers of a network: the first word of each line after a magic number and two counts."""
    return [line.split()[0] for line in param.read_text(encoding="utf-8").splitlines()[2:] if line.strip()]


class NcnnProgram:
    """An ncnn.Net. Raises ValueError if ncnn cannot load the files."""

    def __init__(self, folder: Path, part: str, threads: int) -> None:
        import ncnn

        param, weights = (folder / f"{part}.{suffix}" for suffix in (PARAM, BIN))
        self.net, self.types = ncnn.Net(), _types(param)
        _, *self.shapes = json.loads((folder / SHAPES).read_text(encoding="utf-8"))[part]
        self.net.opt.num_threads = threads
        self.net.opt.use_winograd_convolution = True
        for option in ("use_vulkan_compute", *REDUCED):
            setattr(self.net.opt, option, False)
        if self.net.load_param(str(param)) or self.net.load_model(str(weights)):
            raise InputError(f"{param}: ncnn cannot load this network", "graph-failed")

    def __call__(self, values: Tensor) -> Sequence[Tensor]:
        return [torch.cat(each) for each in zip(*map(self._run, values.numpy()), strict=True)]

    def _run(self, values: np.ndarray) -> list[Tensor]:
        """Outputs for one image or crop [C, H, W], copies of ncnn's memory. ncnn removes or adds dimensions of 1."""
        import ncnn

        extractor = self.net.create_extractor()
        extractor.input("in0", ncnn.Mat(values))
        results = (extractor.extract(f"out{index}")[1] for index in range(len(self.shapes)))
        return [torch.from_numpy(np.array(each)).view(shape) for each, shape in zip(results, self.shapes, strict=True)]

    def precisions(self) -> Mapping[str, int]:
        """By the options of the net: ncnn rounds where one of them is set, and its files hold float32."""
        name = "reduced" if any(getattr(self.net.opt, option) for option in REDUCED) else "fp32"
        return Counter(name for each in self.types if each in LAYERS)
