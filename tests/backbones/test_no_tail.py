"""Region detectors on backbones without a tail."""

from dataclasses import replace

import pytest
import torch

from paretodet.backbones.darknet19 import Darknet19
from paretodet.backbones.darknet53 import Darknet53
from paretodet.backbones.darknet_tiny import DarknetTiny
from paretodet.backbones.vgg import VGG16Reduced
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.heads.pyramid import ConnectedHead, PyramidAlign
from paretodet.heads.region import BoxHead
from paretodet.rules.anchors import RoundedAnchors
from paretodet.types import Images

SMALL = Override(height=64, width=96, proposals=10, labels=("a", "b"))


@pytest.mark.parametrize("backbone", [Darknet19(), Darknet53(), DarknetTiny(), VGG16Reduced()])
def test_a_missing_tail_raises(backbone):
    with torch.device("meta"):
        net = replace(backbone, width=0.125).build()
    assert net.tail_channels == 0
    with pytest.raises(ValueError, match="^tail: got crops for"):
        net.tail(torch.zeros(1))


@torch.no_grad()
def test_a_pyramid_needs_no_tail():
    made = spec("faster_rcnn_tv-resnet50-800x1344", SMALL)
    first, last = made.stages
    made = scale_width(
        replace(
            made,
            backbone=Darknet53(),  # strides 8, 16, 32; the neck adds 64
            anchors=RoundedAnchors(sides=((32,), (64,), (128,), (256,))),
            stages=(first, replace(last, head=ConnectedHead(crop=PyramidAlign(strides=(8, 16, 32))))),
        ),
        0.125,
    )
    torch.manual_seed(0)
    detector = Detector(fill_every_slot(made)).eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8)
    found = detector(Images(pixels, torch.tensor([[64.0, 96.0]] * 2)))
    assert found.boxes.shape == (2, 100, 4) and (found.scores[:, 0] > 0).all()


def test_a_head_without_layers_needs_a_tail():
    made = spec("faster_rcnn_tv-resnet50-800x1344", SMALL)
    first, last = made.stages
    with pytest.raises(ValueError, match="^tail: got a backbone with 0 channels behind it"), torch.device("meta"):
        Detector(replace(made, stages=(first, replace(last, head=BoxHead()))))
