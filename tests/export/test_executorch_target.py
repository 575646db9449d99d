"""Programs of ExecuTorch as artifacts: proved, opened by their name, and refused if they need code of others."""

import struct
from collections import Counter
from pathlib import Path

import pytest

from paretodet.errors import InputError
from paretodet.export import executorch_target
from paretodet.export.executorch_target import ExecuTorchTarget
from paretodet.export.pte import XNNPACK, Executed
from target_subject import TINY, assert_proved_bundle, assert_two_stages_refused, write_photos


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.mark.full
@pytest.mark.parametrize("name", [TINY, "ssd-mobilenet_v1-96", "retinanet-resnet50-128", "fcos-resnet50-128"])
def test_a_bundle_passes_its_proof_and_is_a_name(name: str, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    bundle = assert_proved_bundle(name, tmp_path, photos=photos, to="executorch", runtime="executorch")
    assert bundle.artifact.name == "detector.pte"
    meanings = {each.name: each.meaning for each in bundle.manifest.outputs}
    assert "before suppression" in meanings["boxes"]


def test_a_detector_of_two_stages_is_refused(tmp_path: Path) -> None:
    assert_two_stages_refused(ExecuTorchTarget(), tmp_path, "ExecuTorch")


@pytest.mark.parametrize(
    ("backends", "operators", "message"),
    [
        ({XNNPACK, "QnnBackend"}, {"aten::add"}, r"needs the backend 'QnnBackend'.*\[bundle-unsafe\]"),
        ({XNNPACK}, {"mine::add", "aten::add"}, r"needs operators of 'mine'.*\[bundle-unsafe\]"),
    ],
)
def test_what_needs_code_of_others_is_refused(
    backends: set[str], operators: set[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = Executed(Counter(), frozenset(operators), frozenset(backends))
    monkeypatch.setattr(executorch_target, "executed_by", lambda path: found)
    with pytest.raises(InputError, match=message):
        ExecuTorchTarget().inspect(tmp_path, ("detector.pte",), "detector.pte")


def test_a_file_of_another_form_is_refused(tmp_path: Path) -> None:
    (tmp_path / "detector.pte").write_bytes(struct.pack("<I4s", 8, b"ET13") + bytes(60))
    with pytest.raises(InputError, match="it is not a readable program of ExecuTorch"):
        ExecuTorchTarget().inspect(tmp_path, ("detector.pte",), "detector.pte")
