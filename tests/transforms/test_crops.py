"""Random crops: sizes, aspects and constraints of both sources, and which objects stay."""

import numpy as np

from drawn_sets import sample
from paretodet.transforms.augment import generator
from paretodet.transforms.crops import CoveringCrop, SampledCrop
from paretodet.transforms.view import ImageView, ViewWindow, whole

SIZE = (300, 500)


def view_of(boxes: object) -> ImageView:
    return whole(np.zeros((*SIZE, 3), np.uint8), sample(boxes, SIZE))


def windows(crop: SampledCrop | CoveringCrop, boxes: object, count: int = 400) -> list[ImageView]:
    return [crop(view_of(boxes), generator(seed, 0, 0)) for seed in range(count)]


def iou(one: ViewWindow, other: tuple[int, int, int, int]) -> float:
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    both = (high - low).clip(0).prod()
    areas = [(b[2] - b[0]) * (b[3] - b[1]) for b in (one, other)]
    return float(both / (sum(areas) - both))


def test_parts_have_the_papers_sizes_and_aspects() -> None:
    found = [view.window for view in windows(SampledCrop(constraints=((0.0, 1.0),)), [[0, 0, 500, 300]])]
    parts = np.array([[w.size[1] / 500, w.size[0] / 300] for w in found if w.size != SIZE])
    scale, aspect = np.sqrt(parts.prod(1)), parts[:, 0] / parts[:, 1]
    assert 0.29 < scale.min() < 0.34 and 0.95 < scale.max() <= 1.001
    assert 0.48 < aspect.min() < 0.56 and 1.8 < aspect.max() < 2.04
    assert parts.max() <= 1


def test_a_part_overlaps_some_object_and_the_whole_image_is_one_choice_of_two() -> None:
    box = (100, 60, 330, 220)
    found = [view.window for view in windows(SampledCrop(constraints=((0.5, 1.0),)), [box])]
    parts = [window for window in found if window.size != SIZE]
    assert 150 < len(parts) < 250
    assert min(iou(window, box) for window in parts) > 0.49  # a little less than the limit, as parts are whole pixels


def test_all_constraints_are_equally_likely_where_all_can_be_met() -> None:
    """With one object as large as the image six parts and the whole image compete."""
    whole_ones = sum(view.window.size == SIZE for view in windows(SampledCrop(), [[0, 0, 500, 300]], 700))
    assert 60 < whole_ones < 160  # a seventh, and parts of scale 1


def test_objects_stay_where_their_center_is_seen_and_are_cut() -> None:
    boxes = [[0, 0, 100, 100], [200, 100, 300, 200], [380, 200, 500, 300]]
    for view in windows(SampledCrop(), boxes, 200):
        left, top, right, bottom = view.window
        middles = [((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in boxes]
        inside = [i for i, (x, y) in enumerate(middles) if left <= x <= right and top <= y <= bottom]
        assert view.rows.tolist() == inside
        cut = np.array([boxes[i] for i in inside]).reshape(-1, 4).clip([left, top] * 2, [right, bottom] * 2)
        assert np.array_equal(view.boxes, cut)


def test_an_image_without_objects_stays_whole() -> None:
    assert {view.window.size for view in windows(SampledCrop(), [], 50)} == {SIZE}
    assert {view.window.size for view in windows(CoveringCrop(), [], 50)} == {SIZE}


def test_tensorflows_parts_have_a_tenth_to_all_of_the_area_and_aspects_in_pixels() -> None:
    crop = CoveringCrop(covered=(0.0,), unchanged=0)
    sizes = np.array([view.window.size for view in windows(crop, [[0, 0, 500, 300]])])
    area, aspect = sizes.prod(1) / (300 * 500), sizes[:, 1] / sizes[:, 0]
    assert 0.1 <= area.min() < 0.14 and 0.85 < area.max() <= 1
    assert 0.48 < aspect.min() < 0.6 and 1.9 < aspect.max() < 2.05


def test_tensorflows_part_covers_some_object_and_drops_those_covered_less() -> None:
    boxes = [[100, 60, 330, 220], [0, 0, 60, 60], [420, 200, 500, 300]]
    for least in (0.0, 0.5, 1.0):
        changed = 0
        for view in windows(CoveringCrop(covered=(least,), unchanged=0), boxes, 100):
            changed += view.window.size != SIZE
            left, top, right, bottom = view.window
            area = lambda b: (b[:, 2:] - b[:, :2]).clip(0).prod(1)  # noqa: E731
            cut = np.array(boxes).clip([left, top] * 2, [right, bottom] * 2)
            share = area(cut) / area(np.array(boxes))
            assert len(view.rows) >= 1
            assert view.rows.tolist() == np.flatnonzero((share >= least) & (share > 0)).tolist()
        assert changed > 90


def test_a_box_inside_is_fully_covered_with_any_fractions() -> None:
    """Boxes with two decimals, as in COCO: none is dropped by rounding if all of it must be covered."""
    noise = np.random.default_rng(5)
    corner, sides = noise.uniform(100, 220, (40, 2)), noise.uniform(10, 60, (40, 2))
    boxes = np.concatenate([corner, corner + sides], 1).round(2).astype(np.float32)
    kept = [p for p in windows(CoveringCrop(covered=(1.0,), unchanged=0), boxes, 60) if p.window.size != SIZE]
    assert kept
    for view in kept:
        left, top, right, bottom = view.window
        inside = ((boxes >= [left, top, left, top]) & (boxes <= [right, bottom, right, bottom])).all(1)
        assert len(view.boxes) == inside.sum()


def test_a_share_of_the_images_is_left_whole() -> None:
    found = windows(CoveringCrop(covered=(0.0,)), [[0, 0, 500, 300]])
    assert 35 < sum(view.window.size == SIZE for view in found) < 90  # 0.15 of 400
