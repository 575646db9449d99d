"""Weights of TensorFlow's Object Detection API and of TF-slim give TensorFlow's outputs in the detectors here.

The golden files are those of scripts/record_tf_detection_golden.py: names and shapes of all variables, whose values are
drawn from their names, and the raw outputs of TensorFlow's networks.
"""

import numpy as np
import pytest
import torch

from paretodet.backbones.named import NETWORKS
from paretodet.backbones.resnet import ResNet
from paretodet.backbones.vgg import VGG16
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.released import as_released
from paretodet.detectors.scale_width import scale_width
from paretodet.layers.norms import BatchNorm
from paretodet.types import References
from paretodet.weights import files
from paretodet.weights.namings import tf_detection
from paretodet.weights.safe import WeightsError
from record_tf_detection_golden import CASES, CLASSIFIERS, FOLDER, KEPT, SIZE, classified, crops, drawn, image, regions
from tensorflow_files import graph

FULL = (  # networks of more than 40 million weights
    "faster_rcnn_inception_resnet_v2", "faster_rcnn_resnet101", "rfcn_resnet101", "inception_resnet_v2",
    "resnet_v1_101", "mask_rcnn_resnet50",
)  # fmt: skip


def golden(name):
    if not (FOLDER / f"tf-{name}.npz").exists():
        pytest.skip(f"{name} is not recorded")
    with np.load(FOLDER / f"tf-{name}.npz") as kept:
        return dict(kept)


def variables(kept):
    shapes = [tuple(int(side) for side in shape.split(",") if side) for shape in kept["shapes"].tolist()]
    constants = {name[9:]: torch.from_numpy(kept[name]) for name in kept if name.startswith("constant:")}
    named = zip(kept["names"].tolist(), shapes, strict=True)
    return constants | {name: torch.from_numpy(drawn(name, form)) for name, form in named if "/fc" not in name}


def made(name):
    case = CASES[name]
    whole = spec(case.name, Override(labels=tuple(map(str, range(case.classes)))))
    whole = as_released(whole) if case.released else whole
    return scale_width(whole, case.width) if case.width < 1 else whole


def apart(found, wanted):
    """The largest difference as a share of the largest magnitude."""
    assert tuple(found.shape) == wanted.shape
    return (found - torch.from_numpy(wanted)).abs().max().item() / np.abs(wanted).max()


def yxhw(codes):
    return codes[..., [1, 0, 3, 2]]


def nchw(values):
    return torch.from_numpy(values).permute(0, 3, 1, 2)


def slow(names):
    return [pytest.param(name, marks=pytest.mark.full) if name in FULL else name for name in names]


@torch.no_grad()
@pytest.mark.parametrize("name", slow(CASES))
def test_raw_outputs_are_tensorflows(tmp_path, name):
    """By way of a checkpoint: nothing is missing or unused, and all outputs are equal to float32 noise."""
    kept, detector = golden(name), build(made(name))
    graph(variables(kept), path := tmp_path / "frozen.pb")
    files.load(detector, path)
    maps = detector.backbone.trunk(nchw(image()))
    levels = detector.neck(maps) if detector.spec.neck else maps
    first = detector.heads[0](levels)
    step = KEPT if len(detector.heads) == 1 else 1
    assert apart(yxhw(first.codes), kept["codes0"].reshape(1, -1, 4)) < 1e-4
    assert apart(first.logits[..., ::step], kept["logits0"]) < 1e-4
    if len(detector.heads) == 2:
        codes, logits = second_stage(detector, maps, CASES[name])
        assert apart(yxhw(codes)[:, ::KEPT], kept["codes1"]) < 1e-4
        assert apart(logits[:, ::KEPT], kept["logits1"]) < 1e-4
    if CASES[name].masked:
        masks = detector.mask_head.outputs(nchw(crops(CASES[name])), detector.backbone.tail)
        assert apart(masks[:, ::KEPT], kept["masks"]) < 1e-4


def second_stage(detector, maps, case):
    """Codes [R, K, 4] and logits [R, K + 1] of the recorded crops or regions."""
    head = detector.heads[1]
    if case.crop:
        codes, logits = head.outputs(nchw(crops(case)), detector.backbone.tail)
        return codes.view(len(codes), -1, 4), logits
    boxes = torch.from_numpy(regions())[..., [1, 0, 3, 2]] * torch.tensor([*SIZE[::-1], *SIZE[::-1]])
    refs = References(boxes, torch.ones(boxes.shape[1], 1), (boxes.shape[1],))
    found = head(maps, refs, SIZE, detector.backbone.tail)
    return found.codes[0], found.logits[0]


CHOICES = {
    "vgg_16": VGG16(taps=(5,), tail=False),
    "resnet_v1_101": ResNet(depth=101, taps=(5,), tail=False, output_stride=32, norm=BatchNorm(eps=1e-5)),
}


@torch.no_grad()
@pytest.mark.parametrize("name", slow(CLASSIFIERS))
def test_backbones_take_the_weights_of_classifiers(tmp_path, name):
    kept = golden(name)
    net = CHOICES.get(name, NETWORKS.get(name)).build().eval()
    graph(variables(kept), path := tmp_path / "frozen.pb")
    files.load(net, path)
    found = net.trunk(nchw(classified(CLASSIFIERS[name][-1])))[-1]
    assert apart(found[:, ::8], kept["map"].transpose(0, 3, 1, 2)) < 1e-4


def test_masks_of_another_side_are_refused():
    size = {"SecondStageBoxPredictor_1/ResizeBilinear/size": torch.tensor([33, 33])}
    with torch.device("meta"):
        detector = build(made("mask_rcnn_inception_v2"))
    with pytest.raises(
        WeightsError, match="its masks have 33 x 33 cells, those of mask_rcnn_zoo-inception_v2.* 15 x 15"
    ):
        tf_detection.state(variables(golden("mask_rcnn_inception_v2")) | size, detector)


@pytest.mark.parametrize("name", [name for name in CASES if "rcnn" in name or "rfcn" in name])
def test_classes_of_region_detectors_are_those_of_the_tensors(name):
    kept = golden(name)
    shapes = zip(kept["names"].tolist(), kept["shapes"].tolist(), strict=True)
    tensors = {n: torch.empty([int(side) for side in shape.split(",")], device="meta") for n, shape in shapes}
    found = tf_detection.metadata(tensors, spec(CASES[name].name))
    assert (found["width"], found["classes"]) == (1.0, CASES[name].classes)
    assert ("released" in found) == (name in ("faster_rcnn_inception_v2", "rfcn_resnet101"))  # pooled crops, fewer bins
