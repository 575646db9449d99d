import numpy as np
import pytest
import torch
from PIL import Image

from paretodet.bench.accuracy import accuracy, category_ids, results
from paretodet.errors import InputError
from paretodet.evaluation.masks import PASTINGS, paste
from paretodet.labels.formats.coco import from_json
from paretodet.labels.rle import decode
from paretodet.types import Detections

TRUTH = {
    "images": [
        {"id": 5, "file_name": "a.png", "width": 40, "height": 30},
        {"id": 9, "file_name": "b.png", "width": 50, "height": 60},
    ],
    "categories": [{"id": 3, "name": "car"}, {"id": 1, "name": "cell phone"}, {"id": 0, "name": "tv"}],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 3, "bbox": [2, 3, 20, 10], "area": 200, "iscrowd": 0},
        {"id": 2, "image_id": 9, "category_id": 0, "bbox": [10, 10, 30, 40], "area": 1200, "iscrowd": 0},
    ],
}


NAMES = {each["id"]: each["name"] for each in TRUTH["categories"]}


def labeled(truth, folder):
    return from_json(truth, images=folder)


class Scripted:
    """Returns the given box and label of each image in turn, followed by an empty slot."""

    name = "scripted"
    labels = ("tvmonitor", None, "car")

    def __init__(self, boxes, labels):
        self.result = iter(zip(boxes, labels, strict=True))

    def prepare(self, images):
        return images

    def infer(self, batch):
        return next(self.result)

    def finish(self, outputs, sizes):
        box, label = outputs
        boxes = torch.tensor([[box, [0.0, 0.0, 9.0, 9.0]]])
        return Detections(boxes, torch.tensor([[0.5, 0.0]]), torch.tensor([[label, 99]]))


@pytest.fixture
def folder(tmp_path):
    for image in TRUTH["images"]:
        Image.fromarray(np.zeros((image["height"], image["width"], 3), np.uint8)).save(tmp_path / image["file_name"])
    return tmp_path


RIGHT = [[2.0, 3.0, 22.0, 13.0], [10.0, 10.0, 40.0, 50.0]]


def test_perfect_boxes_score_a_hundred(folder):
    assert accuracy(Scripted(RIGHT, [2, 0]), labeled(TRUTH, folder)).boxes.ap == pytest.approx(100)


def test_half_of_the_classes_right_scores_half(folder):
    assert accuracy(Scripted(RIGHT, [2, 2]), labeled(TRUTH, folder)).boxes.ap == pytest.approx(50, abs=0.5)
    assert accuracy(Scripted(RIGHT[::-1], [2, 0]), labeled(TRUTH, folder)).boxes.ap == 0


SQUARES = [[2, 3, 22, 3, 22, 13, 2, 13], [10, 10, 40, 10, 40, 50, 10, 50]]
OUTLINED = TRUTH | {
    "annotations": [row | {"segmentation": [line]} for row, line in zip(TRUTH["annotations"], SQUARES, strict=True)]
}


class WithMasks(Scripted):
    """Also returns masks, which are empty in the second image."""

    def finish(self, outputs, sizes):
        full = float(sizes[0, 0] == 30)
        return super().finish(outputs, sizes)._replace(masks=torch.full((1, 2, 28, 28), full))


def test_masks_are_scored_if_there_are_any(folder):
    result = accuracy(WithMasks(RIGHT, [2, 0]), labeled(OUTLINED, folder))
    assert result.boxes.ap == pytest.approx(100)
    assert result.masks.ap50 == pytest.approx(50, abs=0.5)  # one of two classes
    assert accuracy(WithMasks(RIGHT, [2, 0]), labeled(TRUTH, folder)).masks is None
    assert accuracy(Scripted(RIGHT, [2, 0]), labeled(OUTLINED, folder)).masks is None


@pytest.mark.parametrize("pasting", [None, *PASTINGS])
def test_masks_are_drawn_as_the_candidate_says(folder, pasting):
    """The first column of 15 cells: the mask that each code base draws of it."""

    class Narrow(Scripted):
        def finish(self, outputs, sizes):
            masks = torch.zeros(1, 2, 15, 15)
            masks[..., 0] = 1
            return super().finish(outputs, sizes)._replace(masks=masks)

    candidate = Narrow(RIGHT, [2, 0])
    if pasting:
        candidate.pasting = pasting
    found = results(candidate, labeled(OUTLINED, folder)).rows[1]["segmentation"]
    mask = torch.zeros(15, 15)
    mask[:, 0] = 1
    height, width = (TRUTH["images"][1][side] for side in ("height", "width"))
    assert np.array_equal(decode(found), paste(mask, torch.tensor(RIGHT[1]), (height, width), pasting or "detectron"))


def test_a_label_beyond_the_categories_is_named(folder):
    with pytest.raises(InputError, match="label 7") as refused:
        accuracy(Scripted(RIGHT, [2, 7]), labeled(TRUTH, folder))
    assert refused.value.id == "label-unknown"
    assert all(way in refused.value.message for way in ("COCO's ids", "--classes", "from 1", "first_label", "--layout"))


def test_an_image_that_cannot_be_read_is_left_out_and_named(folder):
    (folder / "b.png").unlink()
    result = accuracy(Scripted(RIGHT, [2, 0]), labeled(TRUTH, folder))
    assert result.images == 1 and result.skipped == (f"{folder / 'b.png'}: no such file [image-missing]",)
    assert result.boxes.ap == pytest.approx(100)
    (folder / "a.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"images: 2 were left out .*a\.png: not an image"):
        accuracy(Scripted(RIGHT, [2, 0]), labeled(TRUTH, folder))


def test_labels_match_categories_by_name_or_by_order():
    assert category_ids(("tvmonitor", None, "car", "dog"), NAMES) == [0, None, 3, None]
    assert category_ids((), NAMES) == [0, 1, 3]
    both = {2: "tvmonitor", 5: "aeroplane"}
    assert category_ids(("tv", "airplane", "couch"), both) == [2, 5, None]
    assert category_ids(("sofa", "cat"), {7: "sofa"}) == [7, None]  # an exact match has precedence
    with pytest.raises(ValueError, match="none of dog, cat, .*--classes.*label-unknown"):
        category_ids((None, "dog", "cat"), NAMES)


def test_labels_of_one_name_are_the_categories_of_this_name_in_their_order():
    """Else all detections of both would count for one, and the other would have an AP of 0."""
    assert category_ids(("cat", "dog", "cat"), {3: "cat", 5: "dog", 8: "cat"}) == [3, 5, 8]
    assert category_ids(("cat", "cat", "cat"), {3: "cat", 8: "cat"}) == [3, 8, 8]
    assert category_ids(("sofa", "sofa"), {1: "couch", 2: "couch"}) == [1, 2]
