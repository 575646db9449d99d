"""A darknet cfg as a Candidate: trained weights find on photographs what another implementation finds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from paretodet.bench.accuracy import accuracy, category_ids
from paretodet.bench.candidate import Candidate, Staged, Stated
from paretodet.candidate import NetworkCandidate
from paretodet.evaluation.coco import score
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.images import read_image
from paretodet.runtimes.eager import Eager
from paretodet.sources.darknet import darknet_network
from paretodet.sources.darknet_cfg import DarknetPlan
from paretodet.sources.darknet_text import CfgError
from paretodet.transforms.resize_policy import Letterbox, Stretch

PHOTO = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
SIZES = torch.tensor([[48.0, 64.0]])
SMALL = """[net]
width=32
height=32
[convolutional]
filters=8
size=3
stride=4
pad=1
batch_normalize=1
activation=leaky
[convolutional]
filters=14
activation=linear
[yolo]
anchors=5,6,7,8
num=2
classes=2
"""
# OpenCV 4.14 (readNetFromDarknet with `thresh=0.005` in [yolo], NMSBoxes a class above .45, the best 100 of an image)
OPENCV_AP, OPENCV_AP50 = 22.4294, 40.9989


def darknet(cfg: Path, precision: str = "fp32", **options: Any) -> NetworkCandidate:
    return NetworkCandidate(darknet_network(cfg, **options), Eager(precision=precision))


def nano(folder: Path, **options: Any) -> NetworkCandidate:
    stem = folder / "darknet" / "mobilenetv2_yolov3_nano_coco" / "MobileNetV2-YOLOv3-Nano-coco"
    names = (folder / "darknet" / "images" / "coco.names").read_text().split("\n")
    labels = tuple(name for name in names if name)
    return darknet(stem.with_suffix(".cfg"), weights=stem.with_suffix(".weights"), labels=labels, **options)


def small(folder: Path, **options: Any) -> NetworkCandidate:
    (folder / "small.cfg").write_text(SMALL)
    return darknet(folder / "small.cfg", **options)


def plan(candidate: NetworkCandidate) -> DarknetPlan:
    return candidate.session.module.plan  # type: ignore[attr-defined]


def detections(candidate: Candidate, image: np.ndarray) -> list[tuple[int, float, list[float]]]:
    """(label, score, box) by falling score."""
    found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([image.shape[:2]]).float())
    rows = zip(found.labels[0].tolist(), found.scores[0].tolist(), found.boxes[0].tolist(), strict=True)
    return [row for row in rows if row[1] > 0]


def overlap(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@pytest.mark.parametrize("stem", ["dog", "person", "eagle", "giraffe", "horses", "kite"])
def test_trained_weights_find_what_another_implementation_finds(data_folder, stem):
    """Every reference box above .3 with IoU > .95 and score within .02, one to one, and nothing else above .3."""
    candidate = nano(data_folder, score=0.25)
    path = data_folder / "darknet" / "mobilenetv2_yolov3_nano_coco" / "reference_detections.json"
    wanted = json.loads(path.read_text())["detections"][stem]
    found = detections(candidate, read_image(data_folder / "darknet" / "images" / f"{stem}.jpg"))
    left = [(candidate.labels[label], points, box) for label, points, box in found]
    for name, points, box in (row for row in wanted if row[1] > 0.3):
        match = max(left, key=lambda row: (row[0] == name) * overlap(row[2], box))
        assert match[0] == name and overlap(match[2], box) > 0.95 and abs(match[1] - points) < 0.02
        left.remove(match)
    assert [row for row in left if row[1] > 0.3] == []


def test_accuracy_is_what_another_implementation_has(data_folder):
    folder = data_folder / "coco_val2017_44"
    found = accuracy(nano(data_folder), read_ground_truth(folder / "instances.json").labels).boxes
    assert found.ap50 == pytest.approx(OPENCV_AP50, abs=0.3) and found.ap == pytest.approx(OPENCV_AP, abs=0.3)


@pytest.mark.full
def test_accuracy_beside_opencv(data_folder, tmp_path):
    """The golden numbers again, from OpenCV 4 itself where it is installed."""
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2.dnn, "readNetFromDarknet"):
        pytest.skip("OpenCV 5 reads no darknet files")
    folder = data_folder / "coco_val2017_44"
    truth = read_ground_truth(folder / "instances.json").labels
    stem = data_folder / "darknet" / "mobilenetv2_yolov3_nano_coco" / "MobileNetV2-YOLOv3-Nano-coco"
    text = stem.with_suffix(".cfg").read_text().replace("scale_x_y", "thresh=0.005\nscale_x_y")
    (tmp_path / "low.cfg").write_text(text)
    network = cv2.dnn.readNetFromDarknet(str(tmp_path / "low.cfg"), str(stem.with_suffix(".weights")))
    ids = category_ids((), truth.categories)
    results = []
    for image in map(truth.image, range(len(truth))):
        for label, points, (x1, y1, x2, y2) in opencvs(cv2, network, str(image.file)):
            box = [x1, y1, x2 - x1, y2 - y1]
            results.append({"image_id": image.key, "category_id": ids[label], "bbox": box, "score": points})
    found = score(truth, results)
    assert found.ap50 == pytest.approx(OPENCV_AP50, abs=1e-3) and found.ap == pytest.approx(OPENCV_AP, abs=1e-3)


def opencvs(cv2: Any, network: Any, path: str) -> list[tuple[int, float, list[float]]]:
    """The best 100 detections of OpenCV's network and suppression."""
    image = cv2.imread(path)
    height, width = image.shape[:2]
    network.setInput(cv2.dnn.blobFromImage(image, 1 / 255, (320, 320), swapRB=True, crop=False))
    rows = np.concatenate(network.forward(network.getUnconnectedOutLayersNames()))
    sides = rows[:, 2:4] * [width, height]
    boxes = np.concatenate([rows[:, :2] * [width, height] - sides / 2, sides], 1)
    limit = [width, height, width, height]
    found = []
    for label, points in enumerate(rows[:, 5:].T.astype(float)):
        for index in cv2.dnn.NMSBoxes(boxes.tolist(), points.tolist(), 0.005, 0.45):
            corners = np.concatenate([boxes[index, :2], boxes[index, :2] + boxes[index, 2:]])
            found.append((label, points[index], corners.clip(0, limit).tolist()))
    return sorted(found, key=lambda row: -row[1])[:100]


def test_its_facts(data_folder):
    """systems.md has 891,070 stored floats: 3,564,300 bytes = 20 + 4 * 891,070; the author counts 0.55 BFLOPs."""
    candidate = nano(data_folder)
    facts = candidate.facts()
    assert isinstance(candidate, Candidate) and isinstance(candidate, Staged) and isinstance(candidate, Stated)
    assert candidate.name == "MobileNetV2-YOLOv3-Nano-coco" and plan(candidate).floats == 891_070
    assert facts.parameters is not None and facts.buffers == 17_920
    assert facts.parameters + facts.buffers == plan(candidate).floats
    assert facts.macs is not None and round(2 * facts.macs / 1e9, 2) == 0.55
    assert (facts.height, facts.width, facts.classes, facts.load, facts.precision) == (320, 320, 80, "data", "fp32")
    assert len(facts.weights) == len(facts.artefact) == 64


def test_bf16_stays_close(data_folder):
    image = read_image(data_folder / "darknet" / "images" / "eagle.jpg")
    (exact, *_), (low, *_) = (
        detections(nano(data_folder, precision=kind, score=0.5), image) for kind in ("fp32", "bf16")
    )
    assert exact[0] == low[0] and overlap(exact[2], low[2]) > 0.9 and abs(exact[1] - low[1]) < 0.05


def test_stages_compose_to_infer(tmp_path):
    candidate = small(tmp_path)
    state = batch = candidate.prepare([PHOTO, PHOTO])
    for _, step in candidate.stages():
        state = step(state)
    for found, wanted in zip(state, candidate.infer(batch), strict=True):
        assert found is wanted is None or torch.equal(found, wanted)


def test_untrained_it_is_at_capacity_and_boxes_are_the_photographs(tmp_path):
    candidate = small(tmp_path)
    found = candidate.finish(candidate.infer(candidate.prepare([PHOTO])), SIZES)
    assert (candidate.facts().load, candidate.facts().weights) == ("capacity", "random")
    assert (found.scores > 0).sum() == 100
    assert found.boxes[..., 0::2].max() <= 64 and found.boxes[..., 1::2].max() <= 48 and found.boxes.max() > 32


def test_the_resize_policy_is_the_cfgs_unless_given(tmp_path):
    assert small(tmp_path).session.fit == Letterbox(height=32, width=32, sampling="corners")
    assert small(tmp_path, fit=Stretch, size=(64, 96)).session.fit == Stretch(height=64, width=96, sampling="corners")
    (tmp_path / "fork.cfg").write_text(SMALL + "scale_x_y=1.2\n")
    assert darknet(tmp_path / "fork.cfg").session.fit == Stretch(height=32, width=32, sampling="opencv")
    assert darknet(tmp_path / "fork.cfg", sampling="tf1").session.fit == Stretch(height=32, width=32, sampling="tf1")


def test_the_artifact_depends_on_what_is_computed(tmp_path):
    made = [small(tmp_path, **change) for change in ({}, {"overlap": 0.5}, {"size": (64, 64)}, {"fit": Stretch})]
    made += [small(tmp_path, precision="bf16"), small(tmp_path, seed=1)]
    (tmp_path / "small.cfg").write_text(SMALL.replace("leaky", "relu"))
    made.append(darknet(tmp_path / "small.cfg"))
    assert len({candidate.facts().artefact for candidate in made}) == len(made)
    assert small(tmp_path).facts().artefact == made[0].facts().artefact


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"precision": "fp8"}, "precision: got 'fp8', allowed fp32, bf16"),
        ({"labels": ("a",)}, r"labels: got 1, .*small.cfg has 2 classes"),
        ({"size": (0, 32)}, "size: got 0x32"),
        ({"weights": Path("none")}, "none: no such file"),
    ],
)
def test_options_out_of_range(tmp_path, options, fault):
    with pytest.raises(ValueError, match=fault):
        small(tmp_path, **options)


def test_cells_that_are_not_square(tmp_path):
    with pytest.raises(CfgError, match=r"small.cfg:14: \[yolo\] size: cells of 8x9 on a canvas of 32x33"):
        small(tmp_path, size=(32, 33))


def test_a_threshold_holds_without_weights_too_and_is_no_full_load(tmp_path):
    strict = small(tmp_path, score=0.6)
    scores = strict.infer(strict.prepare([PHOTO])).scores
    assert ((scores > 0.6) | (scores == 0)).all() and (scores == 0).any()
    assert strict.facts().load == "data" and strict.facts().artefact != small(tmp_path).facts().artefact
