"""Rows name what quantized a network only if that happened here: an artifact in int8 needs no quantizer to run."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paretodet.bench.candidate import ModelInfo
from paretodet.export.onnx_int8 import OnnxInt8
from paretodet.extras import version_of
from paretodet.media.calibration import CalibrationImages
from paretodet.network import ArtifactNetwork
from paretodet.runtimes.executorch import ExecuTorch
from paretodet.runtimes.graph import ArtifactSession, GraphRuntime, Port
from paretodet.runtimes.litert import LiteRt
from paretodet.runtimes.ncnn import Ncnn
from paretodet.runtimes.onnxruntime import OnnxRuntime
from paretodet.runtimes.openvino import OpenVino
from paretodet.transforms.resize_policy import Stretch

SIDE = 8


class MadeQuantizer(OnnxInt8):
    """It needs a library beside the runtime's, and one that writes its files."""

    libraries = ("made_runtime", "onnx", "numpy")


class Made(GraphRuntime):
    name = "made"
    libraries = ("made_runtime",)
    precisions = ("int8",)
    quantizer = MadeQuantizer()

    def compile(self, path: Path) -> Any:
        return MadeProgram()

    def settings(self) -> tuple[tuple[str, str], ...]:
        return (("version", "1"),)


class MadeProgram:
    inputs = (Port("pixels", (1, 3, SIDE, SIDE), "tensor(uint8)"),)
    outputs = tuple(Port(name, (1, 4), "tensor(float)") for name in ("boxes", "scores", "labels"))

    def __call__(self, feed: Mapping[str, np.ndarray]) -> Sequence[np.ndarray]:
        return ()

    def precisions(self) -> Mapping[str, int]:
        return {"int8": 2}


def test_a_session_names_the_quantizer_if_it_has_quantized() -> None:
    fit = Stretch(height=SIDE, width=SIDE)
    about: dict[str, Any] = {"form": "onnx-bundle", "name": "it", "labels": ("a",), "path": Path("it.onnx"), "fit": fit}
    network = ArtifactNetwork(**about, batch=1, describe=ModelInfo, identity={})
    session = ArtifactSession(network, Made(precision="int8"))
    assert session.facts()["runtime_settings"] == (("version", "1"),)
    session.calibration, session.scan = CalibrationImages((), "0" * 64), "none"
    assert session.facts()["runtime_settings"] == (("version", "1"), ("numpy", np.__version__), ("scan", "none"))


def test_the_settings_of_int8_need_no_quantizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nncf", None)
    assert "nncf" not in dict(OpenVino(precision="int8").settings())


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        (OpenVino, ("nncf",)),
        (OnnxRuntime, ()),
        (LiteRt, ("ai_edge_quantizer",)),
        (ExecuTorch, ("torchao",)),
        (Ncnn, ()),
    ],
)
def test_the_quantizers_libraries_beside_the_runtimes_are_named(kind: Any, named: tuple[str, ...]) -> None:
    """As distributions are called."""
    wanted = tuple((name.replace("_", "-"), version_of(name)) for name in named)
    assert kind().quantizer_settings() == wanted
