"""Geometric augmentations: noise depends only on its key, properties of all augmentations, and of each one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn_sets import rectangle, sample
from paretodet.loader.targets import crop_mask, truth
from paretodet.transforms.augment import Augmentation, Expand, Flip, Jitter, ScaleJitter, generator
from paretodet.transforms.color import Distort, DistortHsv
from paretodet.transforms.crops import CoveringCrop, SampledCrop
from paretodet.transforms.resize_policy import Letterbox, ResizePolicy, ShortSide, ShortSideCrop, Stretch
from paretodet.transforms.view import ImageView, mirror, render, whole

GEOMETRY: tuple[Augmentation, ...] = (
    Flip(), Expand(), Jitter(), Jitter(scale=(0.25, 2.0), aspect=1.5), ScaleJitter(low=0.4, high=2.0), SampledCrop(),
    CoveringCrop(),
)  # fmt: skip
COLOR: tuple[Augmentation, ...] = (Distort(), DistortHsv())
WHOLE_BOXES = st.lists(
    st.tuples(st.integers(0, 79), st.integers(0, 49), st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=6
)
FITS = st.sampled_from(
    [Stretch(height=33, width=64), Letterbox(height=33, width=64), ShortSide(short=20, long=50, multiple=8),
     ShortSideCrop(height=33, width=64)]
)  # fmt: skip
SEEDS = st.integers(0, 2**32)


def view_of(corners: list[tuple[int, int, int, int]], size: tuple[int, int] = (50, 80)) -> ImageView:
    """Gray, boxes as left, top, width, height."""
    boxes = [(x, y, min(x + w, size[1]), min(y + h, size[0])) for x, y, w, h in corners]
    return whole(np.full((*size, 3), 90, np.uint8), sample(boxes, size))


def same(one: ImageView, other: ImageView) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True) if isinstance(a, np.ndarray)) and (
        (one.window, one.mirrored, one.tints, one.fill) == (other.window, other.mirrored, other.tints, other.fill)
    )


@given(corners=WHOLE_BOXES)
def test_flip_twice_is_identity(corners: list[tuple[int, int, int, int]]) -> None:
    view = view_of(corners)
    assert same(mirror(mirror(view)), view)
    assert same(Flip(chance=1)(Flip(chance=1)(view, generator(0, 0, 0)), generator(0, 0, 0)), view)


@pytest.mark.parametrize("augmentation", GEOMETRY, ids=repr)
@given(corners=WHOLE_BOXES, seed=SEEDS)
def test_boxes_stay_inside_in_order_and_have_an_area(
    augmentation: Augmentation, corners: list[tuple[int, int, int, int]], seed: int
) -> None:
    moved = augmentation(view_of(corners), generator(seed, 0, 0))
    left, top, right, bottom = moved.window
    assert (moved.boxes >= [left, top, left, top]).all() and (moved.boxes <= [right, bottom, right, bottom]).all()
    assert (moved.boxes[:, 2:] > moved.boxes[:, :2]).all()
    assert (np.diff(moved.rows) > 0).all()
    assert moved.labels.tolist() == moved.rows.tolist()
    fit = Stretch(height=64, width=48)
    learned = truth(moved, fit)
    assert (learned.boxes >= 0).all() and (learned.boxes <= [48, 64, 48, 64]).all()
    assert render(moved, fit).canvas.shape == (64, 48, 3)


@given(steps=st.lists(st.sampled_from([*GEOMETRY, *COLOR]), max_size=5), fit=FITS, corners=WHOLE_BOXES, seed=SEEDS)
def test_any_choices_in_any_order_give_a_canvas_and_boxes_inside(
    steps: list[Augmentation], fit: ResizePolicy, corners: list[tuple[int, int, int, int]], seed: int
) -> None:
    view, noise = view_of(corners), generator(seed, 0, 0)
    for step in steps:
        view = step(view, noise)
    drawn, learned = render(view, fit), truth(view, fit)
    assert drawn.canvas.shape[:2] == fit.canvas(view.window.size)
    assert (learned.boxes >= 0).all() and (learned.boxes <= [drawn.width, drawn.height] * 2).all()
    assert (learned.boxes[:, 2:] > learned.boxes[:, :2]).all()


@pytest.mark.parametrize("augmentation", [*GEOMETRY, *COLOR], ids=repr)
@given(seed=SEEDS)
def test_a_rectangle_its_mask_and_its_box_stay_together(augmentation: Augmentation, seed: int) -> None:
    """White in the pixels, all of its crop, and a box within a pixel of both."""
    size, box = (120, 160), (50, 40, 100, 80)
    mask = rectangle(box, size)
    pixels = np.where(mask.shape[..., None], np.uint8(255), np.uint8(0)).repeat(3, 2)
    moved = augmentation(whole(pixels, sample([box], size)), generator(seed, 0, 0))._replace(fill=(0, 0, 0))
    fit = Stretch(height=150, width=200)
    learned = truth(moved, fit, masks=(mask,))
    white = render(moved._replace(tints=()), fit).canvas[..., 0] > 127
    if not len(learned.boxes):
        return
    assert learned.masks is not None and (learned.masks[0] > 0.99).all()
    found = learned.boxes[0]
    if (found[2:] - found[:2] < 3).any():  # too small to be seen for sure
        return
    rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
    seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
    assert np.abs(seen - found).max() <= 1.01


@pytest.mark.parametrize("augmentation", GEOMETRY, ids=repr)
@given(seed=SEEDS)
def test_the_mask_of_an_l_is_cropped_as_the_canvas_shows_it(augmentation: Augmentation, seed: int) -> None:
    """A mask without symmetry: its crop equals the pixels of the canvas inside the moved box."""
    size, box = (120, 160), (40, 30, 110, 90)
    shape = rectangle((40, 30, 70, 90), size)
    shape.shape[70:90, 40:110] = True
    pixels = np.where(shape.shape[..., None], np.uint8(255), np.uint8(0)).repeat(3, 2)
    moved = augmentation(whole(pixels, sample([box], size)), generator(seed, 0, 0))._replace(fill=(0, 0, 0))
    fit = Stretch(height=240, width=320)
    learned = truth(moved, fit, masks=(shape,), side=8)
    if not len(learned.boxes) or (learned.boxes[0, 2:] - learned.boxes[0, :2] < 32).any():
        return
    assert learned.masks is not None
    read = crop_mask(render(moved, fit).canvas[..., 0] > 127, learned.boxes[0], 8)
    assert np.abs(read - learned.masks[0]).max() < 0.25


@pytest.mark.parametrize("augmentation", COLOR, ids=repr)
@given(corners=WHOLE_BOXES, seed=SEEDS)
def test_color_leaves_boxes_and_window_alone(
    augmentation: Augmentation, corners: list[tuple[int, int, int, int]], seed: int
) -> None:
    view = view_of(corners)
    assert same(augmentation(view, generator(seed, 0, 0))._replace(tints=()), view)


@pytest.mark.parametrize("augmentation", [*GEOMETRY, *COLOR], ids=repr)
def test_the_same_key_draws_the_same(augmentation: Augmentation) -> None:
    view = view_of([(10, 10, 30, 30)])
    drawn = [augmentation(view, generator(3, 1, "a")) for _ in range(2)]
    assert same(*drawn)
    assert not all(same(augmentation(view, generator(3, epoch, "a")), drawn[0]) for epoch in range(2, 30))


def test_each_part_of_the_key_counts_and_the_numbers_do_not_change_between_versions() -> None:
    keys = [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, "a")]
    firsts = [generator(*key).random() for key in keys]
    assert len(set(firsts)) == len(keys)
    assert generator(0, 0, 0, "order").random() != firsts[0]
    assert generator(0, 0, 0).integers(0, 2**32, 3).tolist() == GOLDEN


GOLDEN = [352300744, 89073725, 624749903]


def test_expansion_is_up_to_four_times_and_holds_the_image() -> None:
    view = view_of([(10, 10, 30, 30)])
    ratios = []
    for seed in range(300):
        window = Expand(chance=1)(view, generator(seed, 0, 0)).window
        assert window.left <= 0 and window.top <= 0 and window.right >= 80 and window.bottom >= 50
        ratios.append(window.size[1] / 80)
        assert abs(window.size[0] / 50 - ratios[-1]) < 0.03
    assert 1 <= min(ratios) < 1.1 and 3.9 < max(ratios) <= 4
    assert abs(np.mean(ratios) - 2.5) < 0.15


def test_half_of_the_images_are_flipped_and_half_expanded() -> None:
    view = view_of([(10, 10, 30, 30)])
    flipped = [Flip()(view, generator(seed, 0, 0)).mirrored for seed in range(400)]
    grown = [Expand()(view, generator(seed, 0, 0)).window != view.window for seed in range(400)]
    assert 160 < sum(flipped) < 240 and 160 < sum(grown) < 240


def test_darknets_jitter_changes_the_aspect_within_its_bounds_and_shows_the_whole_image() -> None:
    """416 x 416, jitter 0.3: new_ar in (0.7 / 1.3, 1.3 / 0.7) of the image's; one side of the canvas is filled."""
    view = view_of([(10, 10, 30, 30)], (400, 600))
    for seed in range(200):
        height, width = Jitter()(view, generator(seed, 0, 0)).window.size
        placed = 600 / width, 400 / height  # shares of the canvas
        assert abs(max(placed) - 1) < 2e-3
        ratio = placed[0] / placed[1]
        assert 1.5 * 0.7 / 1.3 - 0.01 < ratio < 1.5 * 1.3 / 0.7 + 0.01


def test_scale_jitter_keeps_the_aspect_and_draws_evenly() -> None:
    view = view_of([(10, 10, 30, 30)], (400, 600))
    scales = []
    for seed in range(200):
        height, width = ScaleJitter(low=0.5, high=2.0)(view, generator(seed, 0, 0)).window.size
        assert abs(width / height - 1.5) < 0.02
        scales.append(400 / height)
    assert 0.49 < min(scales) < 0.6 and 1.9 < max(scales) < 2.01


def test_boxes_of_less_than_a_thousandth_of_the_canvas_are_dropped_as_darknet_drops_them() -> None:
    view = whole(np.zeros((2000, 2000, 3), np.uint8), sample([[0, 0, 1, 900], [0, 0, 40, 900]], (2000, 2000)))
    assert Jitter(amount=0)(view, generator(0, 0, 0)).rows.tolist() == [1]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        (lambda: Flip(chance=1.5), "chance"),
        (lambda: Expand(most=0.5), "most"),
        (lambda: Jitter(amount=1), "amount"),
        (lambda: Jitter(aspect=0), "aspect"),
        (lambda: ScaleJitter(low=2, high=1), "scale"),
        (lambda: SampledCrop(scale=(0.5, 2)), "scale"),
        (lambda: CoveringCrop(unchanged=-1), "unchanged"),
        (lambda: Distort(contrast=(0, 1)), "contrast"),
        (lambda: DistortHsv(saturation=0.5), "saturation"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field(wrong, field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: got .*allowed"):
        wrong()
