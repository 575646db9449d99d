"""Which files of Detectron2 are read, into which detectors, and what of them is compared."""

import pickle

import numpy as np
import pytest
import torch
from test_detectron2_golden import golden, tensors

from paretodet.backbones.resnet import ResNet
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.importing import import_weights
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.formats import detectron as pickles
from paretodet.weights.namings import detectron2
from paretodet.weights.safe import WeightsError

MASK, DENSE = "mask_rcnn_d2-resnet50-800x1344", "retinanet_d2-resnet50-800x1344"
DEEPER = 17  # units that ResNet-101 has more in res4


def shaped(case, depth=50):
    """Tensors without memory by Detectron2's names; those of ResNet-101 have more units in res4."""
    kept = golden(case)
    found = {
        name: torch.empty([int(side) for side in shape.split(",")], device="meta")
        for name, shape in zip(kept["names"].tolist(), kept["shapes"].tolist(), strict=True)
    }
    unit = {name: value for name, value in found.items() if ".res4.5." in name} if depth == 101 else {}
    more = range(6, 6 + DEEPER) if depth == 101 else ()
    return found | {name.replace(".res4.5.", f".res4.{n}."): value for name, value in unit.items() for n in more}


def without_masks(found):
    return {name: value for name, value in found.items() if "mask_head" not in name}


@pytest.mark.parametrize("depth", [50, 101])
@pytest.mark.parametrize("family", detectron2.FAMILIES)
def test_all_tensors_have_a_place(family, depth):
    found = shaped("retinanet" if family.startswith("retinanet") else "mask_rcnn", depth)
    found = without_masks(found) if family == "faster_rcnn_d2" else found
    made = spec(f"{family}-resnet{depth}-800x1344")
    with torch.device("meta"):
        detector = Detector(made)
    assert files.naming_of(found) is detectron2.NAMING
    assert detectron2.NAMING.metadata(found, made) == {"classes": 80}
    state, wanted = detectron2.NAMING.state(found, detector), detector.state_dict()
    assert {key: value.shape for key, value in state.items()} == {key: value.shape for key, value in wanted.items()}


def test_the_model_zoos_pickles_are_read(tmp_path):
    """{"model": arrays, "__author__": ..., "matching_heuristics": True}"""
    arrays = {"backbone.bottom_up.stem.conv1.weight": np.arange(6, dtype=np.float32).reshape(1, 3, 2, 1)}
    content = {"model": arrays, "__author__": "Detectron2 Model Zoo", "matching_heuristics": True}
    path = tmp_path / "model_final_f10217.pkl"
    path.write_bytes(pickle.dumps(content, protocol=4))
    assert files.file_format(path) is pickles.FORMAT
    (found,) = pickles.FORMAT.read(path).values()
    assert torch.equal(found, torch.arange(6.0).view(1, 3, 2, 1))


def test_the_background_comes_first_and_pixels_are_rgb():
    found = tensors("mask_rcnn")
    with torch.device("meta"):
        detector = Detector(spec(MASK))
    state = detectron2.NAMING.state(found, detector)
    scores = found["roi_heads.box_predictor.cls_score.bias"]
    assert torch.equal(state["heads.1.head.scores.bias"], torch.cat([scores[-1:], scores[:-1]]))
    stem = found["backbone.bottom_up.stem.conv1.weight"]
    assert torch.equal(state["backbone.stem.conv.weight"], stem[:, [2, 1, 0]])


CELL = "proposal_generator.anchor_generator.cell_anchors.0"
OLDER = {
    "pixel_mean": torch.tensor([103.53, 116.28, 123.675]).view(3, 1, 1),
    "pixel_std": torch.ones(3, 1, 1),
    CELL: torch.tensor([[-22.627, -11.314, 22.627, 11.314], [-16, -16, 16, 16], [-11.314, -22.627, 11.314, 22.627]]),
}


def test_older_files_have_the_anchors_and_the_pixels():
    assert detectron2.NAMING.metadata(shaped("mask_rcnn") | OLDER, spec(MASK)) == {"classes": 80}


def test_a_file_that_does_not_show_its_resnet_says_so():
    with torch.device("meta"):
        detector = Detector(spec(MASK))
    (sentence,) = detectron2.NAMING.unproved(shaped("mask_rcnn"), detector)
    assert "STRIDE_IN_1X1" in sentence
    assert detectron2.NAMING.unproved(shaped("mask_rcnn") | OLDER, detector) == ()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pixel_std": torch.tensor([57.375, 57.12, 58.395])}, "its pixel_std is not that of mask_rcnn_d2"),
        ({"pixel_mean": torch.tensor([123.675, 116.28, 103.53])}, "its pixel_mean is not that of"),
        ({CELL: OLDER[CELL] * 2}, "its proposal_generator.anchor_generator.cell_anchors.0 is not that of"),
        ({"pixel_mean": torch.full((3,), torch.nan)}, "its pixel_mean is not that of"),
        ({CELL: torch.zeros(15, 4)}, "cell_anchors.0 is not that of"),
        ({"backbone.bottom_up.stem.conv2.weight": torch.zeros(1)}, "of a ResNet that is built otherwise"),
    ],
)
def test_what_a_detector_here_does_not_compute_is_refused(change, words):
    with pytest.raises(WeightsError, match=words):
        detectron2.NAMING.metadata(shaped("mask_rcnn") | change, spec(MASK))


@pytest.mark.parametrize("name", ["mask_rcnn-resnet50-800x1024", "retinanet_tv-resnet50-800", "fcos-resnet50-800x1344"])
def test_another_systems_detector_is_refused(name, tmp_path):
    torch.save({"model": {detectron2.SIGNS[0]: torch.ones(64, 3, 7, 7)}}, path := tmp_path / "model_final.pth")
    with pytest.raises(WeightsError, match=r"model_final\.pth: Detectron2's detectors differ from") as refused:
        import_weights(path, WeightsMetadata(name=name), tmp_path / "w.safetensors")
    assert refused.value.id == "weights-other"


def test_a_resnet_alone_is_refused(tmp_path):
    """torchvision's, converted, has the same names as MSRA's, other pixels and other strides."""
    with torch.device("meta"):
        net = ResNet(depth=50, layout="caffe", taps=(5,), tail=False, output_stride=32).build()
    found = {"stem.conv1.weight": torch.ones(1), "stem.conv1.norm.weight": torch.ones(1)}
    assert files.naming_of(found) is detectron2.NAMING
    with pytest.raises(WeightsError, match="does not say whether it has MSRA's or torchvision's"):
        detectron2.NAMING.state(found, net)
