"""The bootstrap of the ratio of two APs: equal to COCO's on all images, and right where the truth is known."""

import numpy as np
import pytest
from evaluation_sets import FREE_LABELS, FREE_RESULTS, known, labels, results
from hypothesis import given, settings

from paretodet.evaluation.coco import score
from paretodet.evaluation.resampling import ap_ratios

FIELDS = {"all": "ap", "small": "ap_small", "medium": "ap_medium", "large": "ap_large"}


@settings(max_examples=40)
@given(FREE_LABELS, FREE_RESULTS, FREE_RESULTS)
def test_the_ratio_on_all_images_is_that_of_the_official_aps(truth, first, second):
    truth = known(truth)
    before, after = score(truth, first), score(truth, second)
    for size, ratio in ap_ratios(truth, first, second, resamples=3).items():
        wanted, got = getattr(before, FIELDS[size]), getattr(after, FIELDS[size])
        if wanted:
            assert ratio.ratio == pytest.approx(got / wanted, abs=1e-5)
        else:
            assert ratio.ratio is None


def made(random, images=200, found=1.0):
    """One object an image, of either size, and results that find a share of them, without mistakes."""
    sides = random.choice((16.0, 64.0), images)
    rows = [(n, 1, [8.0, 8.0, side, side], False) for n, side in enumerate(sides.tolist())]
    truth = labels(rows, images=tuple(range(images)), categories=(1,))
    scores = random.permutation(images) / images
    every = [(n, 1, box, float(scores[n]) + 0.1) for n, _, box, _ in rows]
    return known(truth), results(every), results([row for row in every if random.random() < found])


def test_equal_results_have_a_ratio_of_one_without_doubt():
    truth, every, _ = made(np.random.default_rng(0))
    ratios = ap_ratios(truth, every, every)
    assert {size for size, ratio in ratios.items() if ratio == (1.0, 1.0, 1.0)} == {"all", "small", "medium"}
    assert ratios["large"] == (None, None, None)


def test_the_bounds_hold_as_often_as_they_say():
    """A detector that loses every fifth object has 0.8 of the AP: each bound may miss it in one of twenty sets."""
    random = np.random.default_rng(1)
    below = above = 0
    for seed in range(30):
        truth, every, fewer = made(random, images=80, found=0.8)
        ratio = ap_ratios(truth, every, fewer, resamples=100, seed=seed)["all"]
        assert ratio.lower < ratio.ratio < ratio.upper
        below, above = below + (ratio.lower > 0.8), above + (ratio.upper < 0.8)
    assert below <= 5 and above <= 5


def test_the_size_that_loses_is_told_apart():
    truth, every, _ = made(np.random.default_rng(2))
    large_only = [row for row in every if row["bbox"][2] > 32 or row["image_id"] % 2]
    ratios = ap_ratios(truth, every, large_only)
    assert ratios["medium"].lower == 1.0
    assert ratios["small"].upper < 0.7
    assert ratios["small"].ratio < ratios["all"].ratio < 1


def test_the_same_seed_gives_the_same_bounds():
    truth, every, fewer = made(np.random.default_rng(3), images=50, found=0.7)
    first, again, other = (ap_ratios(truth, every, fewer, resamples=50, seed=seed) for seed in (5, 5, 6))
    assert first == again != other
