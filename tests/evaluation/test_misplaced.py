"""Boxes in another unit or form are seen by the objects on which they would lie."""

import numpy as np
import pytest
from evaluation_sets import known, perfect, spread

from paretodet.evaluation.misplaced import check_places

WIDE = {"size": (1920, 1080), "sides": (20, 40)}
SMALL = {"size": (320, 240), "sides": (30, 90)}
LARGE = {"size": (640, 480), "sides": (150, 300)}


def scaled(x_factor, y_factor, shift=(0, 0)):
    return lambda x, y, w, h: [x * x_factor + shift[0], y * y_factor + shift[1], w * x_factor, h * y_factor]


def center(x, y, w, h):
    return [x + w / 2, y + h / 2, w, h]


def corners(x, y, w, h):
    return [x, y, x + w, y + h]


MISTAKES = [
    (WIDE, scaled(100 / 1920, 100 / 1080), "percent"),
    (WIDE, scaled(1000 / 1920, 1000 / 1080), "thousandths"),
    (WIDE, scaled(1 / 3, 1 / 3), "0.333 times as large"),
    (WIDE, scaled(640 / 1920, 640 / 1080), "stretched to 640x640"),
    (WIDE, scaled(1 / 3, 1 / 3, (0, 140)), "640x640 around centered images"),
    (WIDE, center, "a center, width and height"),
    (WIDE, corners, "two corners"),
    (WIDE, lambda x, y, w, h: [y, x, h, w], "a corner, width and height, y before x"),
    (WIDE, lambda x, y, w, h: [y, x, y + h, x + w], "two corners, y before x"),
    (WIDE, lambda *box: center(*scaled(100 / 1920, 100 / 1080)(*box)), "percent of the image's sides, as a center"),
    (SMALL, scaled(2, 2), "2 times as large"),
    (SMALL, center, "a center, width and height"),
    (LARGE, scaled(1.5, 1.5), "1.5 times as large"),
]


@pytest.mark.parametrize(("of", "box", "meaning"), MISTAKES)
@pytest.mark.parametrize("noise", [0, 0.02])
def test_another_unit_or_form_is_refused_by_what_makes_boxes_lie_on_objects(of, box, meaning, noise):
    truth, chance = spread({1: "car"}, **of), np.random.default_rng(1)

    def inexact(x, y, w, h):
        a, b, c, d = chance.uniform(-noise, noise, 4)
        return list(map(float, box(x + a * w, y + b * h, w * (1 + c), h * (1 + d))))

    found = perfect(truth, box=inexact)
    with pytest.raises(ValueError, match="results: ") as error:
        check_places(found, known(truth))
    assert meaning in str(error.value) and error.value.id == "results-malformed"
    assert check_places(perfect(truth), known(truth)) == ()


def test_images_of_many_sizes_share_the_longer_side_of_the_network_input():
    truth, chance = spread({1: "car"}, size=(300, 300), sides=(20, 60)), np.random.default_rng(0)
    sizes = {each["id"]: chance.integers(300, 1500, 2).tolist() for each in truth["images"]}
    for image in truth["images"]:
        image["width"], image["height"] = sizes[image["id"]]
    found = perfect(truth)
    for row in found:
        row["bbox"] = [side * 640 / max(sizes[row["image_id"]]) for side in row["bbox"]]
    with pytest.raises(ValueError, match="whose longer side is 640"):
        check_places(found, known(truth))


def test_among_many_wrong_boxes_the_right_ones_show_it():
    """A detector that finds 2 of 5 objects."""
    truth, chance = spread({1: "car"}, images=50, **WIDE), np.random.default_rng(3)
    for half in (1, 0.5):
        found = perfect(truth, box=scaled(half, half))
        for row in found[::5] + found[1::5] + found[2::5]:
            row["bbox"] = [float(each) for each in (*chance.uniform(0, 900, 2), 30, 30)]
        if half == 1:
            assert check_places(found, known(truth)) == ()
        else:
            with pytest.raises(ValueError, match="0.5 times as large"):
                check_places(found, known(truth))


@pytest.mark.parametrize("images", [2, 200])
def test_boxes_that_lie_on_nothing_are_told(images):
    truth, chance = spread({1: "car"}, images=images, **WIDE), np.random.default_rng(3)
    found = perfect(truth, box=lambda *box: [float(each) for each in (*chance.uniform(0, 1000, 2), 30, 30)])
    (note,) = check_places(found, known(truth))
    assert f"of the {2 * images} best boxes" in note
    assert check_places(found[:2], known(truth)) == ()


def test_images_without_a_size_are_compared_in_pixels():
    truth = spread({1: "car"}, **WIDE)
    for image in truth["images"]:
        del image["width"], image["height"]
    with pytest.raises(ValueError, match="0.5 times as large"):
        check_places(perfect(truth, box=scaled(0.5, 0.5)), known(truth))
    assert check_places(perfect(truth), known(truth)) == ()


def test_a_few_best_rows_of_every_image_are_tried():
    truth = spread({1: "car"}, **WIDE)
    rest = [row | {"bbox": [0, 0, 1, 1], "score": 0.01} for row in perfect(truth) for _ in range(50)]
    assert check_places(perfect(truth) + rest, known(truth)) == ()
    assert check_places([{"image_id": 0, "category_id": 1, "score": 1, "segmentation": []}], known(truth)) == ()
