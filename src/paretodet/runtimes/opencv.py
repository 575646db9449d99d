"""OpenCV's DNN module: the layers of a detector, its 3x3 convolutions by Winograd's algorithm."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from paretodet.errors import InputError
from paretodet.export.parts import INPUT
from paretodet.extras import UNKNOWN, MissingExtra, version_of
from paretodet.records.profile import LayerTime
from paretodet.runtimes import operators
from paretodet.runtimes.parts import PartsRuntime

LAYERS = {"Convolution", "Deconvolution", "InnerProduct", "MatMul", "Gemm"}  # its types that compute products
PRECISIONS = {"float32": "fp32", "float16": "fp16", "int8": "int8"}
PREFIX = "onnx_node!"  # of the names of layers
TAKEN = ("4", UNKNOWN)  # first numbers of its version
NODE = re.compile(r"Node \[(?P<operator>\w+)[^\]]*\]:\((?P<name>[^)]*)\)")  # in the importer's errors


@dataclass(frozen=True, kw_only=True)
class OpenCv(PartsRuntime):
    """Its own kernels in float32. The number of threads is the process's: OpenCV has one pool."""

    name: ClassVar[str] = "opencv"
    build_s: ClassVar[float] = 8.0
    timed_forms: ClassVar[tuple[str, ...]] = PartsRuntime.forms
    libraries: ClassVar[tuple[str, ...]] = ("cv2",)
    extras: ClassVar[str] = "onnx,video"

    @classmethod
    def require(cls, form: str) -> None:
        """OpenCV 5 ignores the stated size of a transposed convolution, and a reshape in front of another."""
        super().require(form)
        found = version_of("cv2")
        if found.partition(".")[0] not in TAKEN:
            message = f"runtime {cls.name} needs OpenCV 4, and this is {found}, whose layers may have other shapes"
            raise MissingExtra(f"{message}: pip install 'paretodet[{cls.extras}]'")

    def compile(self, folder: Path, part: str) -> "DnnProgram":
        return DnnProgram(folder / f"{part}.onnx", self.threads or torch.get_num_threads())

    def settings(self) -> tuple[tuple[str, str], ...]:
        import cv2

        return ("version", cv2.__version__), ("winograd", "True")


class DnnProgram:
    """A cv2.dnn.Net. Raises ValueError if OpenCV cannot load the file."""

    def __init__(self, path: Path, threads: int) -> None:
        import cv2

        cv2.utils.logging.setLogLevel(0)  # problems are raised
        cv2.setNumThreads(threads)
        try:
            self.net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise _refused(str(error)) from error
        self.net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
        self.net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
        self.net.enableWinograd(True)
        self.outputs = self.net.getUnconnectedOutLayersNames()
        layers = (self.net.getLayer(self.net.getLayerId(name)) for name in self.net.getLayerNames())
        self.names = [(layer.name, layer.type) for layer in layers]

    def __call__(self, values: Tensor) -> Sequence[Tensor]:
        self.net.setInput(values.numpy(), INPUT)
        return [torch.from_numpy(each) for each in self.net.forward(self.outputs)]

    def layer_times(self) -> tuple[LayerTime, ...]:
        """A layer that OpenCV fused into another one takes no time."""
        import cv2

        times = 1000 / cv2.getTickFrequency() * np.ravel(self.net.getPerfProfile()[1])
        return tuple(
            LayerTime(name.removeprefix(PREFIX), kind, float(ms))
            for (name, kind), ms in zip(self.names, times, strict=True)
        )

    def precisions(self) -> Mapping[str, int]:
        """By the type of the weights that a layer holds; OpenCV has other types of layers for int8."""
        layers = [self.net.getLayer(self.net.getLayerId(name)) for name in self.net.getLayerNames()]
        products = [layer for layer in layers if layer.type.removesuffix("Int8") in LAYERS and layer.blobs]
        return Counter(PRECISIONS[str(layer.blobs[0].dtype)] for layer in products)


def _refused(message: str) -> InputError:
    """The error of a file that OpenCV's importer cannot load, from what it says of it."""
    if node := NODE.search(message):
        return operators.lacking("runtime", "OpenCV", node["operator"], [node["name"].removeprefix(PREFIX)])
    return InputError(f"runtime: OpenCV cannot run this network ({message.splitlines()[0]})", "graph-failed")
