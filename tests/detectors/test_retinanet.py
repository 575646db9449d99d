"""Both RetinaNets: their differences, and the effect of Detectron's rules on small objects."""

from dataclasses import replace

import pytest
import torch

from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.bench.flops import count
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.layers.norms import BatchNorm
from paretodet.types import Images, References, Targets


def built(made, seed=0):
    torch.manual_seed(seed)
    return Detector(made).eval()


def images(height, width):
    pixels = torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(0))
    return Images(pixels.to(torch.uint8), torch.tensor([[float(height), float(width)]]))


def test_the_stride_on_the_3x3_costs_more():
    made = spec("retinanet-resnet101-800")
    made = replace(made, backbone=replace(made.backbone, layout="torchvision"))
    with torch.device("meta"):
        detector = Detector(made)
        blank = Images(torch.zeros(1, 3, 800, 800, dtype=torch.uint8), torch.full((1, 2), 800.0))
    assert round(2e-9 * count(detector, blank).macs, 2) == 393.09  # systems.md 8.1


def test_the_canvas_is_a_multiple_of_the_coarsest_stride():
    """systems.md 8.4: short side 800, long at most 1333, padded to 128; torchvision pads to 32.

    OpenCV rounds half a pixel to the even number.
    """
    assert spec("retinanet-resnet50-800").fit.canvas((480, 640)) == (896, 1152)
    assert spec("retinanet_tv-resnet50-800").fit.canvas((480, 640)) == (800, 1088)
    assert spec("retinanet-resnet50-800").fit.layout((480, 1280)).resized == (500, 1333)
    assert spec("retinanet-resnet50-400").fit.layout((480, 1280)).resized == (250, 666)
    assert spec("mask_rcnn_tv-resnet50-800x1344").fit.layout((500, 1000)).resized == (666, 1333)
    assert spec("mask_rcnn-resnet50-800x1344").fit.layout((500, 1000)).resized == (666, 1333)
    assert spec("mask_rcnn-resnet50-800x1500").fit.layout((400, 1000)).resized == (600, 1500)


def test_a_small_object_is_background_in_detectron_only():
    """8.3: the best anchors of a ground truth become background below 0.4 IoU; torchvision keeps them."""
    refs = References(torch.tensor([[0.0, 0, 32, 32], [100, 100, 132, 132]]), torch.full((2, 1), 8.0), (2,))
    truth = Targets(*(t[None] for t in (torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([0]))), *_marks())
    found = {}
    for name in ("retinanet-resnet50-800", "retinanet_tv-resnet50-800"):
        matcher = spec(name).stages[0].matcher
        found[name] = matcher(refs, truth, refs.boxes[None], torch.tensor([[200.0, 200.0]])).positive.tolist()
    assert found == {"retinanet-resnet50-800": [[False, False]], "retinanet_tv-resnet50-800": [[True, False]]}


def _marks():
    return torch.tensor([[True]]), torch.tensor([[False]])


def test_only_the_last_level_has_no_threshold():
    select = spec("retinanet-resnet50-800").stages[0].select
    boxes = torch.tensor([[[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 60, 60]]])
    scores = torch.tensor([[[0.04], [0.06], [0.03]]])
    found = select(boxes, scores, (1, 1, 1), torch.tensor([[64.0, 64.0]]))
    assert found.scores[0, :3].tolist() == [pytest.approx(0.06), pytest.approx(0.03), 0]


@pytest.mark.parametrize("score", [0.3, 0.0])
def test_an_overridden_threshold_applies_to_every_level(score):
    select = spec("retinanet-resnet50-800", Override(score=score)).stages[0].select
    assert (select.threshold, select.threshold_last) == (score, None)
    assert fill_every_slot(spec("retinanet-resnet50-800")).stages[0].select.threshold_last is None


@torch.no_grad()
def test_any_backbone_with_increasing_strides_fits():
    made = spec("retinanet-resnet50-800", Override(labels=("a", "b")))
    made = replace(made, backbone=MobileNetV1(taps=(5, 11, 13), norm=BatchNorm(), width=0.25))
    detector = built(made)
    batch = images(96, 160)
    maps = detector.features(batch)
    assert detector.info.strides == (8, 16, 32, 64, 128)
    assert [tuple(x.shape[2:]) for x in maps] == [(12, 20), (6, 10), (3, 5), (2, 3), (1, 2)]
    assert detector(batch).boxes.shape == (1, 100, 4)


@pytest.mark.full
def test_one_graph_without_a_break():
    made = spec("retinanet-resnet50-800", Override(labels=("a", "b")))
    made = replace(made, backbone=replace(made.backbone, width=0.125), neck=replace(made.neck, channels=16))
    detector, batch = built(made), images(64, 96)
    targets = Targets(torch.tensor([[[8.0, 8, 40, 40]]]), torch.tensor([[1]]), *_marks())
    noise = torch.rand(1, 2000)
    torch.compiler.reset()
    wanted = detector.loss(batch, targets, noise=noise)
    found = torch.compile(detector.loss, fullgraph=True, backend="eager")(batch, targets, noise=noise)
    assert found.keys() == wanted.keys() == {"stage1/box", "stage1/score"}
    with torch.no_grad():
        compiled = torch.compile(detector, fullgraph=True, backend="eager")(batch)
    torch.testing.assert_close(compiled.scores, detector(batch).scores.detach())
