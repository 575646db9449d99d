import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.detectors.catalogue import names, nearest
from paretodet.detectors.families import Override, spec
from paretodet.detectors.names import DetectorName, parse

WORD = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
SIDE = st.integers(1, 4096)
NAMES = st.builds(
    DetectorName,
    architecture=WORD,
    backbone=st.none() | WORD.filter(lambda w: not (w[0] in "sp" and w[1:].isdigit())),
    height=SIDE,
    width=SIDE,
    output_stride=st.none() | st.sampled_from((8, 16, 32)),
    proposals=st.none() | st.integers(1, 1000),
)


@given(NAMES)
def test_a_name_reads_back(name):
    assert parse(str(name)) == name


@pytest.mark.parametrize("name", names())
def test_every_catalogue_name_reads_back(name):
    assert str(parse(name)) == name


def test_the_default_number_of_proposals_is_left_out():
    default = parse("mask_rcnn-resnet101-800x1024")
    assert default.proposals == 1000 and default == parse("mask_rcnn-resnet101-800x1024-p1000")
    assert str(parse("mask_rcnn-resnet101-800x1024-p300")) == "mask_rcnn-resnet101-800x1024-p300"


def test_sides_and_parts():
    assert parse("faster_rcnn_ren-vgg16-600x850-p300") == DetectorName(
        architecture="faster_rcnn_ren", backbone="vgg16", height=600, width=850, proposals=300
    )
    assert parse("yolo_v3_tiny-416").backbone is None


@pytest.mark.parametrize("name", ["", "ssd", "ssd-", "SSD-vgg16-300", "ssd-vgg16-300-p", "ssd vgg16 300", "-300"])
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(ValueError, match="^name: got "):
        parse(name)


def test_nearest_names():
    assert "ssd-mobilenet_v1-300" in nearest("sdd-mobilenet-300")


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("retinanet-resnet101-800-s8", "output_stride: got 8"),
        ("retinanet-resnet101-800-p50", "proposals: got 50"),
        ("retinanet_tv-resnet50-800-s8", "output_stride: got 8"),
        ("mask_rcnn-resnet50-800x1024-s16", "output_stride: got 16"),
        ("faster_rcnn_ren-vgg16-600x850-s16-p300", "output_stride: got 16"),
        ("ssd_liu-vgg16-300-s8", "output_stride: got 8"),
        ("yolo_v3-darknet53-416-s8", "output_stride: got 8"),
        ("yolo_v3-darknet53-416-p5", "proposals: got 5"),
        ("yolo_v3_tiny-darknet_tiny-416", "backbone: got 'darknet_tiny'"),
    ],
)
def test_parts_that_are_fixed_in_a_family_are_refused(name, field):
    with pytest.raises(ValueError, match=field):
        spec(name)


@pytest.mark.parametrize("field", ["score", "overlap"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_overrides_out_of_range_are_refused(field, value):
    with pytest.raises(ValueError, match=f"^{field}: got {value}, allowed 0..1"):
        Override(**{field: value})


def test_a_side_of_0_is_refused_and_missing_proposals_may_be_overridden():
    for wrong in (lambda: spec("ssd-vgg16-300x0"), lambda: spec("ssd-vgg16-300", Override(width=0, height=300))):
        with pytest.raises(ValueError, match="size: got 300x0"):
            wrong()
    made = spec("faster_rcnn-resnet101-600-s16", Override(proposals=100))
    assert made == spec("faster_rcnn-resnet101-600-s16-p100")
