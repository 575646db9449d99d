"""A detector of ours and its own ONNX file find the same: the file has its fit and its labels."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from made_onnx import BOX, separate, write
from paretodet.candidate import NetworkCandidate
from paretodet.detectors import families
from paretodet.detectors.detector import build
from paretodet.errors import InputError
from paretodet.network import detector_network
from paretodet.opening import open_candidate

pytest.importorskip("onnxscript")


@pytest.mark.parametrize("name", ["yolo_v3_tiny-64", pytest.param("ssd-mobilenet_v1-64", marks=pytest.mark.full)])
def test_an_own_export_has_the_fit_and_labels_of_its_detector(tmp_path: Path, name: str) -> None:
    from paretodet.export.onnx import to_onnx

    detector = build(families.spec(name))
    path = tmp_path / "own.onnx"
    to_onnx(detector, path)
    exported = open_candidate(str(path), threads=1)
    assert isinstance(exported, NetworkCandidate)
    assert exported.session.fit == detector.spec.fit and exported.labels == detector.spec.labels
    candidate = NetworkCandidate(detector_network(detector))
    picture = (np.random.default_rng(0).random((60, 80, 3)) * 255).astype(np.uint8)
    size = torch.tensor([[60.0, 80.0]])
    ours, theirs = (each.finish(each.infer(each.prepare([picture])), size) for each in (candidate, exported))
    assert torch.allclose(ours.boxes[0, :3], theirs.boxes[0, :3], atol=0.1)
    assert torch.allclose(ours.scores[0, :3], theirs.scores[0, :3], atol=1e-3)


def test_a_damaged_spec_is_named(tmp_path: Path) -> None:
    boxes, scores, labels = separate(BOX)
    outputs = {"boxes": boxes, "scores": scores, "labels": labels}
    path = write(tmp_path / "own.onnx", outputs, metadata={"paretodet.spec": "{"})
    with pytest.raises(InputError, match=r"own\.onnx: metadata paretodet\.spec.*\[onnx-layout\]"):
        open_candidate(str(path), threads=1)
    assert len(onnx.load(path).metadata_props) == 1
