"""The counts of each system as published, on the meta device."""

from types import SimpleNamespace

import pytest
import torch

from paretodet.bench.flops import count
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.spec import from_json, to_json
from paretodet.types import Images


def built(name, override=None):
    made = spec(name, override)
    with torch.device("meta"):
        return made, Detector(made).eval()


def blank(made, device="meta"):
    pixels = torch.zeros(1, 3, made.height, made.width, dtype=torch.uint8, device=device)
    return Images(pixels, torch.tensor([[float(made.height), float(made.width)]], device=device))


# Detectron-Cascade-RCNN (Cai and Vasconcelos), layer by layer. detectron2 and mmdetection predict no box for the
# background, which is 4,100 fewer a stage: 69,394,766 in all.
FPN_50 = (
    23_454_912  # ResNet-50's convolutions
    + 53_120  # a scale and an offset for each of their channels
    + (256 + 512 + 1024 + 2048) * 256 + 4 * 256  # FPN: 1x1 on res2 to res5
    + 4 * (256 * 256 * 9 + 256)  # 3x3 on each
    + 256 * 256 * 9 + 256 + (3 + 12) * (256 + 1)  # proposals: 3x3, then scores and boxes of 3 anchors
)  # fmt: skip
REGION_HEAD = (
    256 * 7 * 7 * 1024 + 1024  # fc6
    + 1024 * 1024 + 1024  # fc7
    + 81 * (1024 + 1)  # scores of 80 classes and the background
    + 8 * (1024 + 1)  # boxes of the background and of everything else
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "parameters", "references"),
    [
        ("yolo_v3-darknet53-320", 61_949_149, 6300),  # darknet's yolov3.cfg: 62,001,757 stored with running statistics
        ("yolo_v3-darknet53-416", 61_949_149, 10647),
        ("yolo_v3-darknet53-608", 61_949_149, 22743),
        ("yolo_v2-darknet19-416", 50_962_889, 845),  # 13 x 13 x 5
        ("yolo_v2-darknet19-608", 50_962_889, 1805),
        ("yolo_v2_2016-darknet19-416", 67_445_065, 845),
        ("yolo_v2_2016-darknet19-608", 67_445_065, 1805),
        ("yolo_v3_tiny-416", 8_852_366, 2535),  # 3 x (13^2 + 26^2)
        ("ssd_liu-vgg16-300", 34_305_206, 8732),  # Liu et al. with 81 outputs, 512 norm scales among them
        ("ssd_liu-vgg16-512", 36_038_196, 24564),
        ("ssd_tv-vgg16-300", 35_641_826, 8732),  # torchvision documents 35.642 M, 91 outputs
        ("ssd-mobilenet_v1-300", 6_819_839, 1917),
        ("ssdlite-mobilenet_v2-300", 4_475_167 + 25_376, 1917),  # Open Model Zoo documents 4.475 M, norms folded
        ("retinanet-resnet101-800", 56_960_820, 120_087),  # frozen norms' gamma and beta among them
        ("retinanet-resnet50-800", 37_968_692, 120_087),
        ("retinanet_tv-resnet50-800", 34_014_999 + 53_120, 120_087),  # torchvision counts no frozen norm
        ("retinanet_d2-resnet50-800x1344", 37_968_692, 201_600),  # layers as Detectron's
        ("faster_rcnn_d2-resnet101-800x1344", 63_392_821 - 2_643_537 - 4 * 1025, 268_569),  # no box of the background
        ("mask_rcnn_d2-resnet50-800x1344", 63_392_821 - 18_992_128 - 4 * 1025 - 257, 268_569),  # and no mask
        ("fcos-resnet50-800x1344", 32_297_370, 22_400),  # a cell of each level; head and P6 from P5 as the authors'
        ("faster_rcnn_fpn-resnet101-800x1344", 63_392_821 - 2_643_537, 268_569),  # without the branch of masks
        ("faster_rcnn_fpn-resnet50-800x1344", 63_392_821 - 2_643_537 - 18_992_128, 268_569),
        ("mask_rcnn-resnet101-800x1024", 63_392_821, 204_624),  # systems.md 10.1
        ("mask_rcnn-resnet50-800x1024", 63_392_821 - 18_992_128, 204_624),  # 17 units of conv4 less
        ("cascade_rcnn-resnet50-800x1344", FPN_50 + 3 * REGION_HEAD, 268_569),
        ("cascade_rcnn-resnet101-800x1344", FPN_50 + 18_992_128 + 3 * REGION_HEAD, 268_569),
        ("faster_rcnn_tv-resnet50-800x1344", 41_755_286 + 53_120, 268_569),  # torchvision counts no frozen norm
        ("mask_rcnn_tv-resnet50-800x1344", 44_401_393 + 53_120, 268_569),
        ("faster_rcnn-resnet101-300-s16-p10", None, 4332),  # 19 x 19 x 12
        ("faster_rcnn-resnet101-300-s8-p10", None, 17328),
        ("faster_rcnn-resnet101-600-s16-p10", None, 17328),
        ("faster_rcnn-resnet101-600-s8-p10", None, 67500),
    ],
)
def test_parameters_and_references(name, parameters, references):
    made, detector = built(name)
    if parameters:
        assert sum(p.numel() for p in detector.parameters()) == parameters
    anchors = made.anchors(detector.features(blank(made)), (made.height, made.width))
    assert anchors.boxes.shape == (references, 4)
    assert sum(anchors.counts) == references


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("mask_rcnn_zoo-inception_v2-800x1365-s16", 21.772),
        ("mask_rcnn_zoo-resnet50-800x1365-s8", 50.222),
        ("mask_rcnn_zoo-resnet101-800x1365-s8", 69.188),
        ("mask_rcnn_zoo-inception_resnet_v2-800x1365-s8", 92.368),
    ],
)
def test_the_zoos_mask_rcnn_has_the_parameters_that_open_model_zoo_counted(name, millions):
    """In its converted graphs a norm is a bias, and both branches have the tail of the backbone."""
    _, detector = built(name)
    counted = {key: value.numel() for key, value in detector.named_parameters() if not key.endswith("norm.weight")}
    parts = [f"layers.{layer}" for layer in getattr(detector.backbone, "after", ())] or ["block4"]
    tail = sum(counted[key] for key in counted if key.startswith(tuple(f"backbone.{part}." for part in parts)))
    assert round((sum(counted.values()) + tail) / 1e6, 3) == millions


@pytest.mark.parametrize(
    ("name", "gflops"),
    [
        ("yolo_v3-darknet53-320", 38.973),  # darknet prints 38.97, 65.86 and 140.69 Bn
        ("yolo_v3-darknet53-416", 65.864),
        ("yolo_v3-darknet53-608", 140.692),
        ("yolo_v2-darknet19-416", 29.464),  # darknet prints 29.46 and 62.94
        ("yolo_v2-darknet19-608", 62.938),
        ("yolo_v2_2016-darknet19-416", 35.002),
        ("yolo_v2_2016-darknet19-608", 74.768),
        ("yolo_v3_tiny-416", 5.565),  # 5.56
        ("ssd_liu-vgg16-300", 68.72),
        ("ssd_tv-vgg16-300", 69.72),  # torchvision documents 34.86 G multiply-adds
        ("mask_rcnn-resnet101-800x1024", 555.54),  # with 1000 proposals and 100 masks
        ("cascade_rcnn-resnet50-800x1344", 533.19),
        ("fcos-resnet50-800x1344", 419.55),
        ("ssd_liu-vgg16-512", 197.26),
        ("retinanet-resnet101-800", 387.19),  # systems.md 8.1: own analytic count, stride on the 1x1
        ("retinanet-resnet50-800", 292.5),
        ("retinanet_tv-resnet50-800", 303.08),  # torchvision documents 151.54 G multiply-adds
    ],
)
def test_multiply_adds(name, gflops):
    made, detector = built(name)
    assert round(2e-9 * count(detector, blank(made)).macs, len(str(gflops).split(".")[1])) == gflops


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("yolo_v2-darknet19-416", 50_983_561),  # yolov2.weights is 4 x 50,983,561 + 16 = 203,934,260 bytes long
        ("yolo_v2_2016-darknet19-416", 67_465_609),
        ("yolo_v3_tiny-416", 8_858_734),  # yolov3-tiny.weights is 35,434,956
        ("yolo_v3-darknet53-416", 62_001_757),  # yolov3.weights is 248,007,048
    ],
)
def test_yolo_has_as_many_numbers_as_darknets_files(name, stored):
    _, detector = built(name)
    assert count_stored(detector) == stored


def count_stored(detector):
    return sum(t.numel() for t in detector.state_dict().values() if t.is_floating_point())


def test_faster_rcnn_adds_up():
    """Trunk and tail 42,500,160 (Table 2 without statistics), the proposal head and two fully connected layers."""
    _, detector = built("faster_rcnn-resnet101-600-s16-p300")
    proposal = 1024 * 512 * 9 + 512 + 512 * (48 + 24) + 48 + 24
    region = 2048 * 91 + 91 + 2048 * 360 + 360
    assert sum(p.numel() for p in detector.parameters()) == 42_500_160 + proposal + region


@pytest.mark.parametrize(("side", "stride", "trunk"), [(300, 16, 12.0996), (300, 8, 40.5075), (600, 16, 48.2395)])
@pytest.mark.parametrize("proposals", [10, 300])
def test_faster_rcnn_multiply_adds(side, stride, trunk, proposals):
    """0.732 G for each proposal in block4 (and its fully connected layers), on top of trunk and proposal head."""
    made, detector = built(f"faster_rcnn-resnet101-{side}-s{stride}-p{proposals}")
    cells = (-(-side // stride)) ** 2
    head = cells * 512 * (1024 * 9 + 72)
    each = 49 * (1024 * 512 + 1024 * 2048 + 3 * 512 * 512 * 9 + 3 * 512 * 2048 + 2 * 2048 * 512) + 2048 * (91 + 360)
    assert each == pytest.approx(0.732e9, rel=2e-3)
    assert count(detector, blank(made)).macs == pytest.approx(trunk * 1e9 + head + proposals * each, rel=1e-5)


def test_any_number_of_classes():
    _, detector = built("yolo_v3-darknet53-416", Override(labels=("cell",)))
    assert [layer.out_channels for layer in detector.heads[0].layers] == [18, 18, 18]


def test_size_and_proposals_do_not_change_the_weights():
    for name, change in (
        ("faster_rcnn-resnet101-600-s16-p300", Override(height=300, proposals=10)),
        ("yolo_v3-darknet53-416", Override(height=320, width=608)),
        ("yolo_v2-darknet19-416", Override(height=608)),
        ("ssd-mobilenet_v1-300", Override(height=224)),
    ):
        one, other = built(name)[1].state_dict(), built(name, change)[1].state_dict()
        assert {k: v.shape for k, v in one.items()} == {k: v.shape for k, v in other.items()}


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("yolo_v3-darknet53-400", "size", "400"),
        ("yolo_v3-vgg16-416", "backbone", "vgg16"),
        ("retinanet-vgg16-800", "backbone", "vgg16"),
        ("retinanet_tv-resnet101-800", "backbone", "resnet101"),
        ("fcos-vgg16-800x1344", "backbone", "vgg16"),
        ("fcos-resnet50-800x1344-p10", "proposals", "10"),
        ("retinanet-resnet50-32", "size", "32"),
        ("yolo_v2-darknet53-416", "backbone", "darknet53"),
        ("yolo_v2_2016-darknet19-400", "size", "400"),
        ("yolo_v3_tiny-darknet19-416", "backbone", "darknet19"),
        ("ssd-mobilenet_v1-16", "size", "16"),
        ("ssd-nothing-300", "backbone", "nothing"),
        ("ssd_liu-vgg16-100", "size", "100"),
        ("faster_rcnn-resnet101-600-s32-p300", "output_stride", "32"),
        ("faster_rcnn-resnet101-600-s16-p1001", "proposals", "1001"),
        ("mask_rcnn-resnet101-800x1024-p1001", "proposals", "1001"),
        ("mask_rcnn-resnet101-800x1024-p0", "proposals", "0"),
        ("mask_rcnn-vgg16-800x1024", "backbone", "vgg16"),
        ("mask_rcnn_tv-resnet101-800x1344", "backbone", "resnet101"),
        ("faster_rcnn_tv-resnet50-16x1344", "size", "16x1344"),
        ("mask_rcnn-resnet50-800x1024-s16", "output_stride", "16"),
        ("cascade_rcnn-vgg16-800x1344", "backbone", "vgg16"),
        ("cascade_rcnn-resnet50-800x1344-p1001", "proposals", "1001"),
        ("faster_rcnn-resnet101-600-s16", "proposals", "None"),
        ("faster_rcnn-resnet101-20-s16-p10", "size", "20"),
    ],
)
def test_bad_fields_are_named(name, field, value):
    with pytest.raises(ValueError, match=f"{field}: .*{value}"):
        spec(name)


def test_zero_classes():
    with pytest.raises(ValueError, match="labels"):
        spec("yolo_v3-darknet53-416", Override(labels=()))


def test_proposals_of_a_one_stage_detector():
    with pytest.raises(ValueError, match="proposals"):
        spec("ssd-mobilenet_v1-300", Override(proposals=10))


def test_an_unknown_name_suggests_similar_ones():
    with pytest.raises(ValueError, match="ssd-mobilenet_v1-300"):
        spec("ssd-mobilnet_v1-300x")


@pytest.mark.parametrize(
    ("name", "pasting"),
    [
        ("mask_rcnn-resnet50-800x1024", "detectron"),
        ("mask_rcnn_tv-resnet50-800x1344", "detectron"),
        ("mask_rcnn_d2-resnet50-800x1344", "detectron2"),
        ("mask_rcnn_zoo-inception_v2-800x1365-s16", "tensorflow"),
    ],
)
def test_masks_are_drawn_into_the_image_as_their_code_base_draws_them(name, pasting):
    made = spec(name)
    assert made.masks.pasting == pasting and from_json(to_json(made)) == made
    assert ('"pasting"' in to_json(made)) == (pasting != "detectron")
    candidate = SimpleNamespace(spec=made)  # of a candidate, only its spec decides
    assert NetworkCandidate.pasting.fget(candidate) == pasting
