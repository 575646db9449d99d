"""Anchors and crops configured with other strides than those of the maps are refused when the detector is built."""

from dataclasses import replace

import pytest
import torch

from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.heads.pyramid import PyramidAlign
from paretodet.heads.region import RoIPool
from paretodet.rules.anchors import GridAnchors, PriorBoxes, PyramidAnchors, RoundedAnchors

FPN = "mask_rcnn_tv-resnet50-800x1344"


def built(made):
    with torch.device("meta"):
        return Detector(made)


def with_crop(made, crop):
    first, last = made.stages
    return replace(made, stages=(first, replace(last, head=replace(last.head, crop=crop))))


@pytest.mark.parametrize(
    ("name", "anchors", "message"),
    [
        ("faster_rcnn-resnet101-600-s8-p300", GridAnchors(stride=16), "got strides 16, allowed 8, those of the maps"),
        ("rfcn-resnet101-600-s16-p300", GridAnchors(stride=8), "got strides 8, allowed 16,"),
        ("faster_rcnn_ren-vgg16-600x850-p300", PyramidAnchors.fpn(), "got strides 4, 8, 16, 32, 64, allowed 16,"),
        (FPN, PyramidAnchors.retinanet(), "got strides 8, 16, 32, 64, 128, allowed 4, 8, 16, 32, 64,"),
        (FPN, RoundedAnchors(sides=((32,), (64,))), "got strides any, any, allowed 4, 8, 16, 32, 64,"),
        (
            "ssd_liu-vgg16-300",
            replace(PriorBoxes.ssd300(), steps=(8, 16, 32, None, 100, None)),
            "got strides 8, 16, 32, any, 100, any, allowed 8, 16, 32, 64, 64, 64,",
        ),
        ("ssd_liu-vgg16-300", PriorBoxes.ssd512(), "got strides 8, 16, 32, 64, any, any, any, allowed 8, 16,"),
    ],
)
def test_anchors_of_other_strides_are_refused(name, anchors, message):
    with pytest.raises(ValueError, match=f"^anchors: {message}"):
        built(replace(spec(name), anchors=anchors))


@pytest.mark.parametrize(
    ("name", "crop", "message"),
    [
        ("faster_rcnn_ren-vgg16-600x850-p300", RoIPool(stride=8), "got strides 8, allowed 16,"),
        (FPN, PyramidAlign(strides=(8, 16, 32)), "got strides 8, 16, 32, allowed 4, 8, 16,"),
        (FPN, PyramidAlign(strides=(4, 8, 16, 32, 64, 128)), "allowed 4, 8, 16, 32, 64,"),
    ],
)
def test_crops_of_other_strides_are_refused(name, crop, message):
    with pytest.raises(ValueError, match=f"^crop: .*{message}"):
        built(with_crop(spec(name), crop))


def test_mask_crops_of_other_strides_are_refused():
    made = spec(FPN)
    head = replace(made.masks.head, crop=PyramidAlign(bins=14, strides=(2, 4)))
    with pytest.raises(ValueError, match="^crop: got strides 2, 4, allowed 4, 8,"):
        built(replace(made, masks=replace(made.masks, head=head)))


@pytest.mark.parametrize("stride", [8, 16])
def test_dilated_maps_have_the_stride_of_the_anchors(stride):
    made = spec(f"faster_rcnn-resnet101-600-s{stride}-p300")
    assert built(made).info.strides == made.anchors.strides == (stride,)


def test_a_crop_of_fewer_maps_uses_the_finest():
    assert built(with_crop(spec(FPN), PyramidAlign(strides=(4, 8)))).info.strides == (4, 8, 16, 32, 64)
