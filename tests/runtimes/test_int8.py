"""Trained weights quantized to int8: what executes, what is found, and what a row says of it."""

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from paretodet.candidate import NetworkCandidate
from paretodet.export import parity
from paretodet.export.lowerings import TABLE
from paretodet.export.program import TensorModule
from paretodet.export.proof import MIN_AGREEMENT, MIN_COMPARED
from paretodet.images import read_image
from paretodet.layers.fold import fold_norms
from paretodet.opening import open_candidate
from paretodet.sources.darknet import darknet_network

NANO = "darknet/mobilenetv2_yolov3_nano_coco"
CALIBRATED_ON = 24  # photographs of 44
TELEMETRY = """
from pathlib import Path

class Telemetry:
    def __init__(self, **options):
        Path(__file__).with_name("used").touch()
"""


@pytest.fixture(scope="module")
def nano(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Nano with its COCO weights as an ONNX file."""
    (cfg,), (weights,) = ((data_folder / NANO).glob(f"*.{ending}") for ending in ("cfg", "weights"))
    network = darknet_network(cfg, weights=weights, score=0.05)
    inputs = torch.zeros(1, 3, 320, 320, dtype=torch.uint8), torch.full((1, 2), 320.0)
    with torch.no_grad():
        program = torch.export.export(TensorModule(fold_norms(network.module)), inputs, strict=True)
    made = torch.onnx.export(
        program,
        dynamo=True,
        custom_translation_table=TABLE,
        input_names=["pixels", "sizes"],
        output_names=["boxes", "scores", "labels"],
        verbose=False,
    )
    assert made is not None
    path = tmp_path_factory.mktemp("nano") / "nano.onnx"
    made.save(path, external_data=False)
    return path


@pytest.fixture(scope="module")
def photographs(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs to calibrate on."""
    folder = tmp_path_factory.mktemp("photographs")
    for path in sorted((data_folder / "coco_val2017_44/images").glob("*.jpg"))[:CALIBRATED_ON]:
        shutil.copy(path, folder)
    return folder


def opened(path: Path, runtime: str, **options: Any) -> NetworkCandidate:
    candidate = open_candidate(str(path), runtime=runtime, fit="stretch", **options)
    assert isinstance(candidate, NetworkCandidate)
    return candidate


def need_openvino() -> None:
    for library in ("openvino", "nncf"):
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed: pip install 'paretodet[{library}]'")


@pytest.mark.full
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_int8_executes_and_detects_what_fp32_detects(
    nano: Path, photographs: Path, data_folder: Path, runtime: str
) -> None:
    """On other photographs than those that it was calibrated on, by the rule of the proof of a bundle."""
    if runtime == "openvino":
        need_openvino()
    fp32 = opened(nano, runtime, precision="fp32")
    int8 = opened(nano, runtime, precision="int8", calibration=photographs)
    assert set(fp32.facts().precision_layers) == {"fp32"} and int8.facts().precision == "int8"
    assert int8.facts().export_ms and int8.facts().artefact != fp32.facts().artefact
    assert runtime != "openvino" or dict(int8.facts().runtime_settings)["nncf"]
    comparison = parity.Comparison()
    for path in sorted((data_folder / "coco_val2017_44/images").glob("*.jpg"))[CALIBRATED_ON:]:
        image = read_image(path)
        first, second = (parity.boxes_of(parity.detected(each, [image]), 0) for each in (fp32, int8))
        parity.add_agreement(comparison, first, second)
    assert comparison.compared >= MIN_COMPARED and comparison.agreement >= MIN_AGREEMENT, comparison.agreement


@pytest.mark.full
def test_nobody_is_told_of_it(nano: Path, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NNCF would report its use through the package openvino_telemetry."""
    need_openvino()
    package, images = tmp_path / "openvino_telemetry", tmp_path / "images"
    package.mkdir()
    (package / "__init__.py").write_text(TELEMETRY)
    images.mkdir()
    shutil.copy(next(photographs.iterdir()), images)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PARETODET_CACHE", str(tmp_path / "cache"))
    assert opened(nano, "openvino", precision="int8", calibration=images).facts().precision == "int8"
    assert not (package / "used").exists()
