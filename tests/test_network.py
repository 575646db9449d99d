"""What a network hands over: detections of raw outputs, and the digest of everything that decides a result."""

import numpy as np
import pytest
import torch

from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.network import detector_network, digest, operations, sorted_detections
from paretodet.transforms.resize_policy import Stretch


def test_outputs_are_sorted_stably_and_emptied_below_the_threshold() -> None:
    boxes = torch.tensor([[[-9.0, 0, 4, 4], [0, 0, 99, 99], [1, 1, 2, 2]]])
    outputs = (boxes, np.array([[0.5, 0.5, 0.9]]), [[0, 1, 2]])
    found = sorted_detections(outputs)
    assert found.labels.tolist() == [[2, 0, 1]]
    assert found.boxes[0, 1:].tolist() == [[-9, 0, 4, 4], [0, 0, 99, 99]]
    assert found.boxes.dtype == found.scores.dtype == torch.float32 and found.labels.dtype == torch.int64
    assert sorted_detections(outputs, 0.5).scores[0].tolist() == pytest.approx([0.9, 0, 0])


@pytest.mark.parametrize("shapes", [((1, 3, 4), (1, 2), (1, 3)), ((3, 4), (3,), (3,)), ((1, 3, 5), (1, 3), (1, 3))])
def test_outputs_that_do_not_belong_together_are_named(shapes: tuple[tuple[int, ...], ...]) -> None:
    outputs = tuple(torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"outputs: boxes, scores, labels have shapes .*must be \[B, N, 4\]"):
        sorted_detections(outputs)  # type: ignore[arg-type]


def test_a_digest_changes_with_any_part_and_not_with_order() -> None:
    fit = Stretch(height=8, width=8)
    assert digest({"a": 1, "fit": fit}) == digest({"fit": Stretch(height=8, width=8), "a": 1})
    assert digest({"a": 1, "fit": fit}) != digest({"a": 1, "fit": Stretch(height=8, width=9)})


def test_a_detector_describes_itself() -> None:
    made = spec("yolo_v3_tiny-416", Override(height=64, labels=("a", "b")))
    network = detector_network(build(made))
    assert (network.name, network.labels, network.fit, network.spec) == (made.name, made.labels, made.fit, made)
    facts = network.describe()
    assert (facts.height, facts.width, facts.classes, facts.load, facts.weights) == (64, 64, 2, "data", "random")
    assert facts.macs == operations(made).macs
    assert detector_network(build(fill_every_slot(made))).describe().load == "capacity"
    trained = detector_network(build(made), weights="0" * 64)
    assert trained.describe().weights == "0" * 64 and trained.is_trained and not network.is_trained
