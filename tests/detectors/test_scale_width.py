import pytest
import torch

from paretodet.bench.flops import parameters
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.scale_width import scale_width
from paretodet.detectors.spec import from_json, to_json

NAMES = ("ssd_liu-vgg16-300", "yolo_v2-darknet19-416", "mask_rcnn-resnet50-800x1024", "rfcn-mobilenet_v1-300-s16-p10")


def count(made):
    with torch.device("meta"):
        return parameters(Detector(made))


@pytest.mark.parametrize("name", NAMES)
def test_a_quarter_of_the_width_has_about_a_sixteenth_of_the_weights(name):
    whole = spec(name, Override(labels=("a",)))
    assert 1 / 20 < count(scale_width(whole, 0.25)) / count(whole) < 1 / 10


@pytest.mark.parametrize("name", NAMES)
def test_only_channels_and_the_name_change(name):
    whole = spec(name)
    thin = scale_width(whole, 0.125)
    assert thin.name != whole.name and from_json(to_json(thin)) == thin
    for field in ("height", "width", "fit", "pixels", "anchors", "labels"):
        assert getattr(thin, field) == getattr(whole, field)
    for one, other in zip(thin.stages, whole.stages, strict=True):
        assert type(one.head) is type(other.head) and one.select == other.select and one.losses == other.losses


def test_width_1_is_the_same_network():
    whole = spec("yolo_v3-darknet53-416")
    assert count(scale_width(whole, 1.0)) == count(whole)
    assert scale_width(whole, 1.0).neck == whole.neck


def test_channels_are_multiples_of_eight_and_never_fewer():
    thin = scale_width(spec("ssd_liu-vgg16-300"), 0.01)
    assert {layer.channels for layer in thin.neck.layers} == {layer.squeeze for layer in thin.neck.layers} == {8}
    assert scale_width(spec("yolo_v3-darknet53-416"), 0.1).neck.depths == (48, 24, 16)  # of 512, 256 and 128


@pytest.mark.parametrize("factor", [0, -1, 1.5, float("nan")])
def test_a_factor_out_of_range_is_refused(factor):
    with pytest.raises(ValueError, match="factor: got"):
        scale_width(spec("ssd-mobilenet_v1-300"), factor)
