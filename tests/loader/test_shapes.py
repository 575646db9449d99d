"""Drawn shapes: the same for a seed, with boxes and masks that are the pixels."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from paretodet.images import read_image
from paretodet.labels.formats.coco import read_coco
from paretodet.loader.shapes import LABELS, Shapes

SETS = st.builds(
    Shapes,
    count=st.just(3),
    height=st.integers(8, 70),
    width=st.integers(8, 70),
    most=st.integers(1, 9),
    seed=st.integers(0, 2**40),
)


@settings(max_examples=60)
@given(SETS, st.integers(0, 2))
def test_boxes_are_the_tightest_around_what_is_seen(shapes, index):
    drawing, sample = shapes.draw(index), shapes[index]
    assert drawing.pixels.shape == (shapes.height, shapes.width, 3)
    assert drawing.masks.sum(0).max(initial=0) <= 1
    assert len(sample.boxes) == len(sample.labels) == len(sample.masks) <= shapes.most
    for box, mask, packed in zip(sample.boxes.astype(int), drawing.masks, sample.masks, strict=True):
        x1, y1, x2, y2 = box
        inner = mask[y1:y2, x1:x2]
        assert inner.sum() == mask.sum()
        assert inner[0].any() and inner[-1].any() and inner[:, 0].any() and inner[:, -1].any()
        assert np.array_equal(packed.decode(sample.size), mask)


@settings(max_examples=30)
@given(SETS)
def test_a_mask_is_one_color_that_no_ground_near_it_has(shapes):
    drawing = shapes.draw(0)
    ground = drawing.pixels[~drawing.masks.any(0)].astype(int)
    for mask in drawing.masks:
        colors = np.unique(drawing.pixels[mask], axis=0)
        assert len(colors) == 1
        assert not len(ground) or np.abs(ground - colors[0]).max(1).min() > 0


def test_an_image_depends_only_on_seed_and_number():
    one, other = Shapes(count=5, seed=1), Shapes(count=500, seed=1)
    assert np.array_equal(one.draw(4).pixels, other.draw(4).pixels)
    assert not np.array_equal(one.draw(4).pixels, one.draw(3).pixels)
    assert not np.array_equal(one.draw(4).pixels, Shapes(count=5, seed=2).draw(4).pixels)


def test_every_class_is_drawn():
    shapes = Shapes(count=50, seed=0)
    counts = np.bincount(np.concatenate([sample.labels for sample in shapes]), minlength=3)
    assert shapes.labels == LABELS
    assert counts.min() > 20


def test_a_written_set_is_read_back_the_same(tmp_path):
    shapes = Shapes(count=6, height=40, width=56, seed=9, folder=tmp_path / "images")
    found = read_coco(shapes.write(tmp_path))
    assert (found.labels, found.category_ids, len(found), found.skips) == (LABELS, shapes.category_ids, 6, 0)
    for index, (drawn, sample) in enumerate(zip(shapes, found, strict=True)):
        assert (drawn.image, drawn.id, drawn.size, drawn.masks) == (sample.image, sample.id, sample.size, sample.masks)
        assert np.array_equal(drawn.boxes, sample.boxes)
        assert np.array_equal(drawn.labels, sample.labels)
        assert np.array_equal(read_image(sample.image), shapes.draw(index).pixels)


def test_a_written_set_is_whole_for_pycocotools(tmp_path):
    shapes = Shapes(count=4, seed=2)
    truth = COCO(str(shapes.write(tmp_path)))
    for row in truth.loadAnns(truth.getAnnIds()):
        assert truth.annToMask(row).sum() == row["area"]
    assert len(json.loads((tmp_path / "instances.json").read_text())["images"]) == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("count", 0),
        ("height", 7),
        ("width", 0),
        ("most", 0),
        ("seed", -1),
        ("scale", (0.0, 0.5)),
        ("scale", (0.6, 0.5)),
    ],
)
def test_what_cannot_be_drawn_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field}: got"):
        Shapes(**{"count": 1, field: value})


def test_numbers_outside_are_refused():
    for index in (-1, 2):
        with pytest.raises(IndexError, match=f"index: got {index}, the set has 2 images"):
            Shapes(count=2)[index]
