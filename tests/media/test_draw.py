"""Boxes are drawn at their place, in stable colors, with labels that stay on the image."""

import colorsys

import numpy as np
import pytest

from paretodet.labels.class_names import read_class_names
from paretodet.labels.rle import encode
from paretodet.media.draw import LabeledBox, color, draw

GRAY = np.full((240, 320, 3), 90, np.uint8)


def test_nothing_found_changes_nothing_and_the_photograph_stays() -> None:
    assert np.array_equal(np.asarray(draw(GRAY, [])), GRAY)
    before = GRAY.copy()
    draw(GRAY, [LabeledBox(label="cat", score=0.5, box=(10, 100, 200, 200))])
    assert np.array_equal(GRAY, before)


def test_the_outline_has_the_labels_color_and_lies_on_the_box() -> None:
    drawn = np.asarray(draw(GRAY, [LabeledBox(label="cat", score=0.5, box=(40, 100, 200, 180))]))
    assert tuple(drawn[140, 40]) == tuple(drawn[140, 200]) == tuple(drawn[180, 120]) == color(0)
    assert (drawn[110:170, 60:190] == 90).all() and (drawn[190:] == 90).all()  # inside and below are untouched


@pytest.mark.parametrize("box", [(-20, -10, 30, 30), (300, 230, 340, 260), (0, 0, 320, 240), (50, 60, 40, 50)])
def test_labels_and_boxes_at_the_border_stay_on_the_image(box: tuple[float, float, float, float]) -> None:
    drawn = np.asarray(draw(GRAY, [LabeledBox(label="potted plant", score=0.987, box=box)]))
    assert drawn.shape == GRAY.shape
    assert (drawn == color(0)).all(2).sum() > 400  # the label's background is there


def test_the_best_is_drawn_over_the_others() -> None:
    box = (40.0, 100.0, 200.0, 180.0)
    drawn = np.asarray(
        draw(GRAY, [LabeledBox(label="b", score=0.9, box=box), LabeledBox(label="o", score=0.1, box=box, number=1)])
    )
    assert tuple(drawn[140, 40]) == color(0) != color(1)


def test_a_mask_tints_only_its_pixels() -> None:
    inside = np.zeros(GRAY.shape[:2], bool)
    inside[120:160, 100:150] = True
    drawn = np.asarray(
        draw(GRAY, [LabeledBox(label="cat", score=0.5, box=(40, 100, 200, 180), segmentation=encode(inside))])
    )
    assert (drawn[130:150, 110:140] == np.round(0.55 * 90 + 0.45 * np.array(color(0)))).all()
    assert (drawn[110:118, 60:190] == 90).all() and (drawn[130:150, 155:190] == 90).all()


def hue(number: int) -> float:
    return colorsys.rgb_to_hsv(*(channel / 255 for channel in color(number)))[0]


def test_colors_are_stable_bright_and_apart() -> None:
    assert color(7) == color(7) and all(max(color(number)) >= 240 for number in range(80))
    assert len({color(number) for number in range(80)}) == 80
    for few in range(2, 9):  # so few classes have clearly different colors
        hues = sorted(hue(number) for number in range(few))
        gaps = np.diff([*hues, hues[0] + 1])
        assert gaps.min() > 0.35 / few


def test_labels_of_a_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "names.txt"
    path.write_text("cat\n\n big dog \n\n\n", encoding="utf-8")
    assert read_class_names(path) == ("cat", None, "big dog")
    path.write_text("\n")
    with pytest.raises(ValueError, match=r"classes: .*names\.txt holds no name"):
        read_class_names(path)
    path.write_text("cat\n\x1b[2J")
    with pytest.raises(ValueError, match=r"names\.txt:2: '\\x1b\[2J' holds a control character"):
        read_class_names(path)
    with pytest.raises(ValueError, match=r"classes: .*none\.txt cannot be read"):
        read_class_names(tmp_path / "none.txt")
