"""Weights of Detectron2 give Detectron2's outputs in the detectors here, from pixels to boxes and masks.

The golden files are those of scripts/record_detectron2_golden.py: names and shapes of all tensors, whose values are
drawn from their names, and the outputs of Detectron2's own code.
"""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from paretodet.detectors.detector import build
from paretodet.detectors.families import spec
from paretodet.ops.geometry import iou
from paretodet.types import Images, References
from paretodet.weights import files
from record_detectron2_golden import CASES, DETECTIONS, FIELDS, FOLDER, MASKS, SIZES, drawn, pixels, places, regions

CLOSE = 1e-4  # of the largest magnitude
SECOND = [(case, field) for case in CASES for field in FIELDS if case == "mask_rcnn" or field in ("codes", "logits")]


@cache
def golden(case):
    with np.load(FOLDER / f"detectron2-{case}.npz") as kept:
        return dict(kept)


def tensors(case):
    kept = golden(case)
    named = zip(kept["names"].tolist(), kept["shapes"].tolist(), strict=True)
    return {name: drawn(name, tuple(int(side) for side in shape.split(",") if side)) for name, shape in named}


def limited(made):
    """The spec with as few detections as were recorded."""
    *before, last = made.stages
    return replace(made, stages=(*before, replace(last, select=replace(last.select, keep=DETECTIONS))))


def scene():
    return Images(pixels(), torch.tensor(SIZES, dtype=torch.float32))


@cache
@torch.no_grad()
def mine(case, folder):
    """The detector with the weights of a `.pth` file, and all that it computes of the scene."""
    torch.save({"model": tensors(case), "iteration": 269_999}, path := folder / "model_final.pth")
    detector, images = build(limited(spec(CASES[case].name))), scene()
    files.load(detector, path)
    maps = detector.features(images)
    first, references = detector.heads[0](maps), detector.propose(maps, images)
    last = detector.refine(maps, references, images)
    found = detector.masks(maps, detector.select(last, references, images), images)
    outputs = {"codes": first.codes, "logits": first.logits, "references": references.boxes}
    if case == "mask_rcnn":
        boxes, labels = regions()
        second = detector.refine(maps, References(boxes, boxes[0, :, :1], (boxes.shape[1],)), images)
        outputs |= {"box_codes": second.codes, "box_logits": second.logits.roll(-1, -1)}  # there the background is last
        outputs["mask_logits"] = detector.mask_head(maps, boxes, labels, SIZES[0])
        outputs["anchors"] = detector.anchors(maps, images).boxes
    return found, outputs


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detectron2")
    return lambda case: mine(case, folder)


@pytest.mark.parametrize(("case", "field"), SECOND)
def test_raw_outputs_are_detectron2s(outputs, case, field):
    wanted, (found, largest) = golden(case), places(outputs(case)[1][field].numpy())
    assert abs(largest / wanted[f"{field}_largest"] - 1) < CLOSE
    assert np.abs(found - wanted[field]).max() <= CLOSE * largest


@pytest.mark.parametrize(("case", "field", "step"), [("retinanet", "references", 37), ("mask_rcnn", "anchors", 7)])
def test_anchors_are_detectron2s(outputs, case, field, step):
    assert np.array_equal(outputs(case)[1][field][::step].numpy(), golden(case)["anchors"])


@pytest.mark.parametrize("image", [0, 1])
def test_proposals_are_detectron2s(outputs, image):
    found = outputs("mask_rcnn")[1]["references"][image]
    wanted = torch.from_numpy(golden("mask_rcnn")[f"proposals_{image}"])
    found = found[(found[:, 2:] > found[:, :2]).all(1)]
    assert len(found) == len(wanted)
    assert (iou(found, wanted).amax(0) > 0.999).all() and (iou(found, wanted).amax(1) > 0.999).all()


@pytest.mark.parametrize("image", [0, 1])
@pytest.mark.parametrize("case", CASES)
def test_detections_are_detectron2s_one_to_one(outputs, case, image):
    found, kept = outputs(case)[0], golden(case)
    boxes, scores, labels = (torch.from_numpy(kept[f"{part}_{image}"]) for part in ("boxes", "scores", "labels"))
    count = int((found.scores[image] > 0).sum())
    assert count == len(boxes) == DETECTIONS
    same = (iou(found.boxes[image, :count], boxes) > 0.999) & (found.labels[image, :count, None] == labels)
    same &= (found.scores[image, :count, None] - scores).abs() < CLOSE
    assert same.any(0).all() and same.any(1).all()
    if case == "mask_rcnn":
        place = same[:, :MASKS].float().argmax(0)
        masks = torch.from_numpy(kept[f"masks_{image}"]).float() / 255
        assert (found.masks[image, place] - masks).abs().max() < 1 / 255 + 1e-3
