"""Color: tables against arithmetic on pixels, ranges, shares, order."""

import colorsys

import numpy as np

from drawn_sets import sample
from paretodet.transforms.augment import Augmentation, generator
from paretodet.transforms.color import Distort, DistortHsv
from paretodet.transforms.resize_policy import Stretch
from paretodet.transforms.view import render, whole

SIZE = (8, 9)
FIT = Stretch(height=8, width=9)


def shown(color: tuple[int, int, int], augmentation: Augmentation, seed: int) -> np.ndarray:
    pixels = np.full((*SIZE, 3), color, np.uint8)
    return render(augmentation(whole(pixels, sample([], SIZE)), generator(seed, 0, 0)), FIT).canvas[0, 0].astype(int)


def many(color: tuple[int, int, int], augmentation: Augmentation, count: int = 300) -> np.ndarray:
    return np.array([shown(color, augmentation, seed) for seed in range(count)])


def test_brightness_adds_up_to_thirty_two_levels() -> None:
    only = Distort(chance=1, contrast=(1, 1), saturation=(1, 1), hue=0)
    levels = many((100, 100, 100), only)[:, 0]
    assert 68 <= levels.min() < 72 and 128 < levels.max() <= 132


def test_contrast_multiplies_by_a_half_to_one_and_a_half() -> None:
    only = Distort(chance=1, brightness=0, saturation=(1, 1), hue=0)
    levels = many((100, 100, 100), only)[:, 0]
    assert 50 <= levels.min() < 54 and 146 < levels.max() <= 150


def test_saturation_leaves_gray_and_the_brightest_channel() -> None:
    only = Distort(chance=1, brightness=0, contrast=(1, 1), hue=0)
    assert (many((90, 90, 90), only) == 90).all()
    colors = many((200, 120, 120), only)
    assert (abs(colors[:, 0] - 200) <= 1).all()
    assert 78 <= colors[:, 1].min() < 84 and 156 < colors[:, 1].max() <= 162  # 200 - 80 * 1.5 .. 200 - 80 * 0.5


def test_hue_turns_by_up_to_eighteen_of_opencvs_half_degrees_both_ways() -> None:
    only = Distort(chance=1, brightness=0, contrast=(1, 1), saturation=(1, 1))
    turned = [colorsys.rgb_to_hsv(*(color / 255))[0] for color in many((200, 50, 50), only)]
    degrees = (np.array(turned) * 360 + 180) % 360 - 180
    assert -37.5 < degrees.min() < -33 and 33 < degrees.max() < 37.5


def test_each_change_comes_to_half_of_the_images() -> None:
    tints = [len(Distort()(whole(np.zeros((*SIZE, 3), np.uint8), sample([], SIZE)), generator(s, 0, 0)).tints)
             for s in range(400)]  # fmt: skip
    assert abs(np.mean(tints) - 2) < 0.15
    assert min(tints) == 0 and max(tints) == 4


def test_contrast_comes_before_or_after_saturation() -> None:
    orders = {
        tuple(tint.space for tint in
              Distort(chance=1)(whole(np.zeros((*SIZE, 3), np.uint8), sample([], SIZE)), generator(s, 0, 0)).tints)
        for s in range(30)
    }  # fmt: skip
    assert orders == {("RGB", "RGB", "HSV", "HSV"), ("RGB", "HSV", "HSV", "RGB")}


def test_darknets_exposure_multiplies_or_divides_by_up_to_one_and_a_half() -> None:
    levels = many((100, 100, 100), DistortHsv())[:, 0]
    assert 66 <= levels.min() < 70 and 145 < levels.max() <= 150
    assert 120 < (levels < 100).sum() < 180  # as often darker as brighter


def test_darknets_hue_turns_by_up_to_a_tenth_of_the_circle() -> None:
    only = DistortHsv(saturation=1, exposure=1)
    turned = np.array([colorsys.rgb_to_hsv(*(color / 255))[0] for color in many((200, 50, 50), only)])
    shift = (turned + 0.5) % 1 - 0.5
    assert -0.104 < shift.min() < -0.09 and 0.09 < shift.max() < 0.104
