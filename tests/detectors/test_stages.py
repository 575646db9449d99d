"""A chain of stages of any family: what each learns, and what a stage refuses."""

from dataclasses import replace

import pytest
import torch
from stages_subject import taught

from paretodet.detectors.detector import Detector, SampledTargets, sampled_only, scale_gradient, select_to_learn
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.detectors.spec import StageSpec
from paretodet.rules.coders import DeltaCoder
from paretodet.rules.select import EveryBox, PostProcess
from paretodet.types import Assignment, Predictions, References, Targets

NAME = "faster_rcnn_tv-resnet50-800x1344"


def test_three_stages_of_any_family_learn_classes(monkeypatch):
    """Of a detector that suppresses between its region stages."""
    made = scale_width(spec("faster_rcnn_tv-resnet50-64", Override(labels=("a", "b", "c"))), 0.125)
    first, last = made.stages
    middle = replace(last, select=PostProcess(overlap=0.7, keep=9, within="image", clip="before"))
    detector = Detector(replace(made, stages=(first, middle, last)))
    assert detector.spec.proposals == 9
    _, calls = taught(monkeypatch, detector)
    assert [call[2].labels[0, :2].tolist() for call in calls] == [[0, 0], [1, 2], [1, 2]]
    assert calls[2][1].boxes.shape == (2, 9 + 3, 4)
    assert (calls[2][0].logits.shape, calls[1][0].logits.shape[2]) == ((2, 12, 4), 4)


def test_what_was_not_sampled_goes_no_further():
    refs = References(torch.tensor([[[0.0, 0, 9, 9], [1, 1, 8, 8], [5, 5, 9, 9]]]), torch.ones(3, 1), (3,))
    marks = torch.tensor([[True, True, False]])
    sample = SampledTargets(refs, Assignment(torch.zeros(1, 3, dtype=torch.int64), marks, ~marks), marks.float())
    truth = Targets(refs.boxes[:, :1], torch.zeros(1, 1, dtype=torch.int64), marks[:, :1], ~marks[:, :1])
    assert sampled_only(sample, truth, rejoin=False).boxes[0].any(-1).tolist() == [True, True, False]
    assert sampled_only(sample, truth, rejoin=True).boxes[0].any(-1).tolist() == [False, True, False]


def test_empty_references_select_nothing_in_training():
    stage = replace(spec(NAME).stages[1], select=EveryBox())
    refs = References(torch.tensor([[[0.0, 0, 0, 0], [0, 0, 8, 8]]]), torch.ones(2, 1), (2,))
    predictions = Predictions(torch.ones(1, 2, 4), torch.zeros(1, 2, 4))
    found = select_to_learn(stage, predictions, refs, torch.tensor([[64.0, 64.0]]))
    assert found.boxes[0].any(-1).tolist() == [False, True] and found.scores[0].tolist() == [0, 0.25]


def test_a_scaled_gradient_changes_no_value():
    values = torch.randn(50, requires_grad=True)
    (same,) = scale_gradient((values,), 0.3)
    same.sum().backward()
    assert torch.equal(same, values) and torch.allclose(values.grad, torch.full((50,), 0.3))
    assert scale_gradient((values,), 1.0)[0] is values


def test_a_stage_refuses_what_it_cannot_be():
    stage = spec(NAME).stages[1]
    for field, value in (("scored_by", "all"), ("map_gradient", 1.5), ("map_gradient", float("nan"))):
        with pytest.raises(ValueError, match=f"{field}: got"):
            replace(stage, **{field: value})


def test_a_loss_that_encodes_unlike_its_stage_is_refused():
    stage = spec(NAME).stages[1]
    with pytest.raises(ValueError, match="losses: got coder .*must be the stage's"):
        replace(stage, coder=DeltaCoder(weights=(1.0, 1.0, 1.0, 1.0)))
    with pytest.raises(ValueError, match="losses: got coder"):
        replace(stage, losses=replace(stage.losses, coder=DeltaCoder()))
    assert isinstance(replace(stage, coder=DeltaCoder(), losses=None), StageSpec)
