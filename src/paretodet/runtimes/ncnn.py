"""ncnn: the network of one-stage detectors by kernels for phones, its 3x3 convolutions by Winograd's algorithm."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
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
from paretodet.export.graph import TORCHSCRIPT, exported_graph
from paretodet.runtimes.trunk import TrunkRuntime
from paretodet.types import Predictions

LAYERS = {"Convolution", "ConvolutionDepthWise", "Deconvolution", "Gemm", "InnerProduct", "MatMul"}
REDUCED = ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage")  # options that round
PARAM, BIN = "trunk.ncnn.param", "trunk.ncnn.bin"


@dataclass(frozen=True, kw_only=True)
class Ncnn(TrunkRuntime):
    """Float32. ncnn has no batches: the images of one are computed one after the other."""

    name: ClassVar[str] = "ncnn"
    libraries: ClassVar[tuple[str, ...]] = ("ncnn",)
    exporters: ClassVar[tuple[str, ...]] = ("pnnx",)
    extras: ClassVar[str] = "ncnn"

    def export(self, detector: Detector) -> Entry:
        traced = exported_graph(detector, batch=1, file=TORCHSCRIPT)
        shape = (1, 3, detector.spec.height, detector.spec.width)
        key = {"kind": "ncnn", "trunk": traced.folder.name, "pnnx": version("pnnx")}
        entry = cached(key, lambda folder: convert(traced.folder / TORCHSCRIPT, folder, shape))
        return Entry(entry.folder, traced.seconds + entry.seconds)

    def compile(self, folder: Path) -> "NcnnProgram":
        return NcnnProgram(folder, self.threads or torch.get_num_threads())

    def settings(self) -> tuple[tuple[str, str], ...]:
        return ("version", version("ncnn")), ("pnnx", version("pnnx")), ("winograd", "True")


def convert(source: Path, folder: Path, shape: tuple[int, ...]) -> None:
    """Writes PARAM and BIN, from a TorchScript file with an input of this shape. Raises ValueError if that fails."""
    import pnnx

    with TemporaryDirectory() as name:  # the converter writes other files beside its source
        copy = shutil.copy(source, name)
        options = [f"inputshape=[{','.join(map(str, shape))}]", "fp16=0"]
        results = [f"ncnnparam={folder / PARAM}", f"ncnnbin={folder / BIN}"]
        command = [pnnx.EXEC_PATH, copy, *options, *results]
        done = subprocess.run(command, cwd=name, capture_output=True, text=True)
    if done.returncode or not (folder / PARAM).is_file():
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"runtime: pnnx cannot convert this network ({last})", "export-failed")
    if foreign := sorted(each for each in _types(folder / PARAM) if "." in each or "::" in each):
        raise InputError(f"runtime: ncnn cannot run operator {foreign[0]}", "graph-failed")


def _types(param: Path) -> list[str]:
    """The types of the layers of a network: the first word of each line after a magic number and two counts."""
    return [line.split()[0] for line in param.read_text(encoding="utf-8").splitlines()[2:] if line.strip()]


class NcnnProgram:
    """An ncnn.Net. Raises ValueError if ncnn cannot load the files."""

    def __init__(self, folder: Path, threads: int) -> None:
        import ncnn

        self.net, self.types = ncnn.Net(), _types(folder / PARAM)
        self.net.opt.num_threads = threads
        self.net.opt.use_winograd_convolution = True
        for option in ("use_vulkan_compute", *REDUCED):
            setattr(self.net.opt, option, False)
        if self.net.load_param(str(folder / PARAM)) or self.net.load_model(str(folder / BIN)):
            raise InputError(f"{folder}: ncnn cannot load this network", "graph-failed")

    def __call__(self, values: Tensor) -> Predictions:
        codes, logits = zip(*map(self._predict, values.numpy()), strict=True)
        return Predictions(torch.stack(codes), torch.stack(logits))

    def _predict(self, image: np.ndarray) -> tuple[Tensor, Tensor]:
        """[3, H, W] -> codes [N, 4] and logits [N, S], copies of ncnn's memory."""
        import ncnn

        extractor = self.net.create_extractor()
        extractor.input("in0", ncnn.Mat(image))
        (_, codes), (_, logits) = (extractor.extract(name) for name in ("out0", "out1"))
        return torch.from_numpy(np.array(codes)), torch.from_numpy(np.array(logits))

    def precisions(self) -> Mapping[str, int]:
        """By the options of the net: ncnn rounds where one of them is set, and its files hold float32."""
        name = "reduced" if any(getattr(self.net.opt, option) for option in REDUCED) else "fp32"
        return Counter(name for each in self.types if each in LAYERS)
