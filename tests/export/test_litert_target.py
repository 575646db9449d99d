"""LiteRT files as artifacts: their layers are known by their order, and a failed proof names the first that differs."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from narrow_weights import write_narrow
from paretodet import exporting
from paretodet.bench.synthetic_images import draw_images
from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.export.litert_target import LiteRtTarget, _layers, _real
from paretodet.export.proof import ParityError, prove
from paretodet.exporting import write_bundle

TINY = "yolo_v3_tiny-96"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    for number, image in enumerate(draw_images(seed=0, count=4)):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def litert() -> None:
    for library in ("ai_edge_litert", "litert_torch", "ai_edge_quantizer"):
        pytest.importorskip(library, reason="litert is not installed: pip install 'paretodet[litert]'")


def export(name: str, folder: Path, images: Path, **options: Any) -> None:
    weights = write_narrow(name, folder / "weights.safetensors")
    write_bundle(str(weights), out=folder / "bundle", to="litert", images=images, **options)


@pytest.mark.full
@pytest.mark.usefixtures("litert")
@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", [TINY, "ssd-mobilenet_v1-96", "retinanet-resnet50-128", "fcos-resnet50-128"])
def test_layers_of_a_good_artifact_are_shown_and_do_not_differ(
    name: str, precision: str, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if its proof had failed."""

    def failed(*args: Any, **options: Any) -> Any:
        proof, comparison = prove(*args, **options)
        return replace(proof, verdict="failed"), comparison

    monkeypatch.setattr(exporting, "prove", failed)
    options = {"precision": precision, "calibration": drawn if precision == "int8" else None, "batch": 2}
    with pytest.raises(ParityError, match="No layer differs while its output is read"):
        export(name, tmp_path, drawn, **options)


@pytest.mark.full
@pytest.mark.usefixtures("litert")
def test_a_failed_proof_names_the_first_layer(drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LiteRtTarget, "write", changed_weights(4))
    with pytest.raises(ParityError, match=r"The first layer that differs is backbone.convs.4.conv, by "):
        export(TINY, tmp_path, drawn)
    assert not (tmp_path / "bundle").exists()


def changed_weights(layer: int) -> Callable[..., Any]:
    """`LiteRtTarget.write` with other weights in one layer."""
    write = LiteRtTarget.write

    def changed(self: LiteRtTarget, detector: Detector, folder: Path, config: CandidateConfig, batch: int) -> Any:
        from ai_edge_litert.tools import flatbuffer_utils

        written = write(self, detector, folder, config, batch)
        model = flatbuffer_utils.read_model(folder / written.artifact)
        tensors = model.subgraphs[0].tensors
        buffer = model.buffers[tensors[_layers(model)[layer].inputs[1]].buffer]
        buffer.data = (1.5 * np.frombuffer(buffer.data.tobytes(), np.float32)).view(np.uint8)
        flatbuffer_utils.write_model(model, folder / written.artifact)
        return written

    return changed


@pytest.mark.parametrize(("scale", "zero", "wanted"), [((), (), [1, 3]), ((0.5,), (-1,), [1, 2])])
def test_integers_stand_for_multiples_of_their_scale(
    scale: Sequence[float], zero: Sequence[int], wanted: Sequence[float]
) -> None:
    quantization = SimpleNamespace(scale=np.array(scale, np.float32), zeroPoint=np.array(zero))
    assert _real(np.array([1, 3], np.int8), quantization).tolist() == wanted
    assert _real(np.array([1, 3]), None).tolist() == [1, 3]
