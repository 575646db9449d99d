import pytest
from torch import nn

from paretodet.bench.flops import parameters
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.detectors.trainable_norms import trainable_norms
from paretodet.layers.frozen import FrozenNorm2d
from paretodet.training.quick_recipe import check_norms

FROZEN = ("faster_rcnn-resnet101-600-s16-p300", "retinanet-resnet50-800", "rfcn-mobilenet_v1-300-s16-p10")


def built(made, factor=0.125):
    return Detector(scale_width(made, factor))


@pytest.mark.parametrize("name", FROZEN)
def test_every_norm_is_trainable_and_counts_do_not_change(name):
    whole = spec(name, Override(labels=("a",)))
    detector = built(trainable_norms(whole))
    check_norms(detector)
    assert not [m for m in detector.modules() if isinstance(m, FrozenNorm2d)]
    assert all(p.requires_grad for p in detector.parameters())
    assert parameters(detector) == parameters(built(whole))


@pytest.mark.parametrize("name", ["ssd_liu-vgg16-300", "faster_rcnn_ren-vgg16-600x850-p300"])
def test_vgg_gets_batch_norm(name):
    made = trainable_norms(spec(name, Override(labels=("a",))))
    convolutions = [m for m in built(made).backbone.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in built(made).backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) == len(convolutions) >= 13
    assert {norm.momentum for norm in norms} == {0.1}


def test_a_pyramid_without_norms_gets_none_if_the_backbone_has_them():
    made = spec("retinanet-resnet50-800")
    assert trainable_norms(made).neck == made.neck and trainable_norms(made).stages == made.stages


def test_batch_norm_has_a_large_momentum():
    made = trainable_norms(spec("ssd-mobilenet_v1-300"))  # TensorFlow's 0.9997 would need thousands of updates
    norms = [m for m in built(made).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and {(norm.momentum, norm.eps) for norm in norms} == {(0.1, 1e-3)}


def test_applying_it_twice_changes_nothing():
    for name in (*FROZEN, "ssd_liu-vgg16-300", "yolo_v3_tiny-416"):
        once = trainable_norms(spec(name))
        assert trainable_norms(once) == once
