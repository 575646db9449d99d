"""LiteRT files of others as candidates."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from made_tflite import Made, write_tflite
from paretodet.config import CandidateConfig
from paretodet.detectors.labels import COCO_80, COCO_90
from paretodet.network import OnnxNetwork
from paretodet.opening import open_candidate
from paretodet.runtimes.litert import postprocessed
from paretodet.scoring import evaluate
from paretodet.sources.table import source_of
from paretodet.sources.tflite_file import POSTPROCESS, TfliteFile
from paretodet.transforms.resize_policy import Letterbox, Stretch

ORIGINAL = "ssd_mobilenet_v1_075_tflite/lite-model_ssd_mobilenet_v1_1_metadata_2.tflite"
IMAGE = Made(values=np.zeros(0, np.uint8), shape=(1, 30, 40, 3))


def written(path, *, inputs=(0,), operators=(POSTPROCESS,), image=IMAGE):
    return write_tflite(
        path / "a.tflite", {"image": image}, inputs=inputs, operators=dict.fromkeys(operators, {}), labels="cat\ndog"
    )


def test_canvas_and_labels_are_those_of_the_file(tmp_path):
    path = written(tmp_path)
    assert isinstance(source_of(str(path)), TfliteFile)
    network = TfliteFile().load(CandidateConfig(name=str(path)))
    assert (network.fit, network.labels) == (Stretch(height=30, width=40, sampling="tf1"), ("cat", "dog"))
    assert (network.form, network.batch, network.describe().classes) == ("tflite", 1, 2)
    named = TfliteFile().load(CandidateConfig(name=str(path), labels=("bird",)))
    assert named.labels == ("bird",)
    sampled = TfliteFile().load(CandidateConfig(name=str(path), sampling="opencv"))
    assert sampled.fit == replace(network.fit, sampling="opencv") and sampled.identity != network.identity


def test_a_file_that_tells_as_many_classes_apart_as_coco_has_ids_has_their_names(tmp_path):
    for count, expected in ((90, COCO_90), (89, ())):
        operators = {POSTPROCESS: {"num_classes": count}}
        path = write_tflite(tmp_path / f"{count}.tflite", {"image": IMAGE}, inputs=(0,), operators=operators)
        assert TfliteFile().load(CandidateConfig(name=str(path))).labels == expected
        names = tuple(map(str, range(count)))
        assert TfliteFile().load(CandidateConfig(name=str(path), labels=names)).labels == names
        with pytest.raises(ValueError, match=f"labels: got 80 names, .*{count} classes.*option-value"):
            TfliteFile().load(CandidateConfig(name=str(path), labels=COCO_80))


@pytest.mark.parametrize(
    "parts",
    [
        {"operators": ("FlexMine", POSTPROCESS)},
        {"inputs": ()},
        {"inputs": (0, 0)},
        {"image": replace(IMAGE, shape=(1, 3, 30, 40))},
        {"image": replace(IMAGE, shape=(1, -1, -1, 3))},
        {"image": replace(IMAGE, shape=(1, 30))},
    ],
)
def test_other_inputs_and_operators_are_refused(tmp_path, parts):
    with pytest.raises(ValueError, match="graph-failed"):
        TfliteFile().load(CandidateConfig(name=str(written(tmp_path, **parts))))


def test_a_file_that_selects_nothing_is_left_to_recognize(tmp_path):
    path = written(tmp_path, operators=(), image=replace(IMAGE, shape=(1, 3, 30, 40)))
    network = TfliteFile().load(CandidateConfig(name=str(path), fit="letterbox", nms=0.4))
    assert isinstance(network, OnnxNetwork)
    assert (network.form, network.labels, network.overlap) == ("tflite", ("cat", "dog"), 0.4)
    assert network.fit(height=30, width=40) == Letterbox(height=30, width=40)


def test_files_that_are_none_are_refused(tmp_path):
    path = tmp_path / "a.tflite"
    with pytest.raises(ValueError, match="file-missing"):
        TfliteFile().load(CandidateConfig(name=str(path)))
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="weights-format"):
        TfliteFile().load(CandidateConfig(name=str(path)))


@pytest.mark.parametrize("option", [{"height": 300}, {"nms": 0.5}, {"fit": "letterbox"}, {"precision": "fp32"}])
def test_options_that_the_file_fixes_are_refused(tmp_path, option):
    with pytest.raises(ValueError, match="option-unsupported"):
        open_candidate(str(written(tmp_path)), **option)


def test_rows_behind_the_count_are_empty():
    boxes = torch.tensor([[[0.1, 0.2, 0.5, 0.75], [0.0, 0.0, 1.0, 1.0], [9.0, 9.0, 9.0, 9.0]]])
    outputs = [boxes, torch.tensor([[3.0, 0.0, 99.0]]), torch.tensor([[0.5, 0.75, 0.9]]), torch.tensor([2.0])]
    found = postprocessed(outputs, (100, 200))
    assert found.scores.tolist() == [[0.75, 0.5, 0.0]] and found.labels.tolist() == [[0, 3, 0]]
    assert torch.equal(found.boxes[0, :2], torch.tensor([[0.0, 0.0, 200.0, 100.0], [40.0, 10.0, 150.0, 50.0]]))
    assert postprocessed(outputs, (100, 200), 0.6).scores.tolist() == [[0.75, 0.0, 0.0]]


@pytest.fixture
def original(data_folder):
    pytest.importorskip("ai_edge_litert")
    return str(data_folder / ORIGINAL)


def test_googles_file_detects(original, data_folder):
    candidate = open_candidate(original)
    info = candidate.facts()
    assert (info.precision, info.runtime, info.height, info.classes) == ("int8", "litert", 300, 90)
    assert info.precision_layers == {"int8": 47}
    path = data_folder / "coco_val2017_44" / "images"
    image = np.asarray(Image.open(min(path.glob("*.jpg"))).convert("RGB"))
    found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([image.shape[:2]]))
    assert found.scores.shape == (1, 10) and found.scores[0, 0] > 0.5


@pytest.mark.full
def test_the_accuracy_is_that_of_its_own_selection(original, data_folder):
    """Its operator keeps ten boxes with one class each."""
    folder = data_folder / "coco_val2017_44"
    scores = evaluate(open_candidate(original), folder / "instances.json", image_root=folder / "images")
    assert 22 < scores.boxes.whole.ap < 26
