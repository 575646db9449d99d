"""Exports of ours that another tool wrote again: renamed, in float16, without metadata, or out of their bundle."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from made_bundles import ARTIFACT, manifest, write_grid
from made_onnx import ANSWER, BOX, SIDE, separate, write
from opened_files import best, opened
from paretodet.config import CandidateConfig
from paretodet.detectors import families
from paretodet.detectors.spec import to_json
from paretodet.errors import InputError
from paretodet.export.bundle import entries, write_manifest
from paretodet.inspecting import inspect
from paretodet.readings.conventions.own import OUTPUTS, SPEC
from paretodet.sources.onnx_file import file_network
from paretodet.sources.openvino_file import OpenVinoFile
from paretodet.transforms.resize_policy import Letterbox

NAME = f"yolo_v3_tiny-{SIDE}"  # fits images by a letterbox
FIT = families.spec(NAME).fit


def ours(
    path: Path, outputs: tuple[str, ...] = OUTPUTS, *, sizes: int = TensorProto.FLOAT, stated: bool = True
) -> Path:
    metadata = {SPEC: to_json(families.spec(NAME))} if stated else {}
    found = dict(zip(outputs, separate(BOX, label=1), strict=True))
    path = write(path, found, kind=TensorProto.UINT8, metadata=metadata)
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("sizes", sizes, (1, 2)))
    onnx.save(model, path)
    return path


RESAVED: dict[str, Callable[[Path], Path]] = {
    "as it was": ours,
    "renamed": lambda path: ours(path, ("output_0", "output_1", "output_2")),
    "renamed as another's": lambda path: ours(path, ("dets", "conf", "classes")),
    "sizes in float16": lambda path: ours(path, sizes=TensorProto.FLOAT16),
}


@pytest.mark.parametrize("kind", RESAVED)
def test_an_export_that_was_written_again_keeps_its_fit_and_labels(tmp_path: Path, kind: str) -> None:
    candidate = opened(RESAVED[kind](tmp_path / "own.onnx"))
    assert isinstance(FIT, Letterbox) and candidate.session.fit == FIT
    assert candidate.labels == families.spec(NAME).labels
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 1)


def test_a_spec_beside_outputs_of_another_detector_is_refused(tmp_path: Path) -> None:
    metadata = {SPEC: to_json(families.spec(NAME))}
    path = write(tmp_path / "own.onnx", {"rows": np.zeros((1, 100, 6), np.float32)}, metadata=metadata)
    with pytest.raises(InputError, match=r"own\.onnx: .*rows \[1, 100, 6\].*\[onnx-contradicted\]"):
        opened(path)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_an_export_without_its_metadata_is_not_fitted_by_a_guess(tmp_path: Path, kind: int) -> None:
    path = ours(tmp_path / "own.onnx", sizes=kind, stated=False)
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.id == "onnx-layout" and caught.value.message.startswith(f"{path}: ")
    assert "--fit" in caught.value.message and "--layout" in caught.value.message
    fitted = opened(path, fit="letterbox")
    assert isinstance(fitted.session.fit, Letterbox) and best(fitted) == (ANSWER, pytest.approx(0.9), 1)
    assert isinstance(FIT, Letterbox)
    layout = replace(inspect(CandidateConfig(name=str(path))).layout, fit="letterbox", fill=FIT.fill)
    corrected = opened(path, layout=replace(layout, sampling=FIT.sampling))
    assert corrected.session.fit == FIT and best(corrected)[0] == ANSWER


@pytest.mark.parametrize("name", ["detector.xml", "detector.pt2", "detector.tflite"])
def test_a_file_of_a_bundle_is_opened_by_its_folder(tmp_path: Path, name: str) -> None:
    files = (name, *(["detector.bin"] if name.endswith(".xml") else []))
    for each in files:
        (tmp_path / each).write_bytes(b"any")
    write_manifest(tmp_path, manifest(tmp_path, files=entries(tmp_path, files), artifact=name))
    config = CandidateConfig(name=str(tmp_path / name))
    with pytest.raises(InputError, match=r"detector\..*onnx-layout") as caught:
        file_network(config, form=name.partition(".")[2], labels=(), weights="0")
    assert caught.value.message.endswith(f"name the folder, {tmp_path}")
    if name.endswith(".xml"):
        with pytest.raises(InputError, match="name the folder"):
            OpenVinoFile().load(config)
    other = replace(config, name=str(tmp_path / "another.xml"))
    assert file_network(other, form="openvino", labels=(), weights="0").name == "another"


def test_an_onnx_file_of_a_bundle_without_a_spec_is_refused(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid", FIT)
    with pytest.raises(InputError, match=r"the folder of its bundle.*\[onnx-layout\]"):
        opened(tmp_path / "grid" / ARTIFACT)
