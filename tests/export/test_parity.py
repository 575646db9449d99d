"""Detections of two candidates matched by overlap: what is missing, extra, shifted, or at the end of a list."""

from typing import Any

import numpy as np
import pytest

from paretodet.export.parity import Boxes, Comparison, Tolerance, add_image

IMAGE = np.zeros((100, 200, 3), np.uint8)
TOLERANCE = Tolerance()


def boxes(*rows: tuple[float, float, float, float, float, int], full: bool = False, masks: Any = None) -> Boxes:
    """Rows of x1, y1, x2, y2, score and label."""
    columns = np.array(rows, np.float32).reshape(-1, 6)
    return Boxes(columns[:, :4], columns[:, 4], columns[:, 5].astype(np.int64), masks, full)


def compared(reference: Boxes, other: Boxes, **thresholds: Any) -> Comparison:
    comparison = Comparison()
    add_image(comparison, reference, other, image=IMAGE, name="one", tolerance=TOLERANCE, **thresholds)
    return comparison


FIRST, SECOND, THIRD = (10, 10, 50, 50, 0.9, 1), (60, 20, 90, 80, 0.6, 2), (100, 0, 180, 60, 0.3, 1)


def test_equal_detections_in_another_order_are_equal() -> None:
    found = compared(boxes(FIRST, SECOND, THIRD), boxes(THIRD, FIRST, SECOND))
    assert found.is_equal(TOLERANCE)
    assert (found.detections, found.matched, found.at_cutoff, found.box, found.score) == (3, 3, 0, 0.0, 0.0)


def test_no_detections_on_both_sides_are_equal() -> None:
    found = compared(boxes(), boxes())
    assert found.is_equal(TOLERANCE) and found.detections == 0 and found.agreement is None


def test_a_box_without_counterpart_is_missing_or_extra() -> None:
    found = compared(boxes(FIRST, SECOND), boxes(FIRST, THIRD))
    assert not found.is_equal(TOLERANCE)
    (missing,), (extra,) = found.missing, found.extra
    assert (missing.label, missing.box, missing.image) == (2, (60, 20, 90, 80), "one")
    assert (extra.label, extra.box) == (1, (100, 0, 180, 60))


def test_boxes_that_the_reference_changes_by_rounding_are_neither_missing_nor_extra() -> None:
    other_of_two = (12, 10, 52, 50, 0.9, 1)  # either suppresses the other one
    asked = list[int]()

    def compare(other: Boxes, *rounded: Boxes) -> Comparison:
        comparison = Comparison()
        add_image(comparison, boxes(FIRST, SECOND), other, image=IMAGE, name="one", tolerance=TOLERANCE,
                  rounded=lambda: (asked.append(1), rounded)[1])  # fmt: skip
        return comparison

    swapped = boxes(other_of_two, SECOND)
    found = compare(swapped, boxes(FIRST, SECOND), swapped)
    assert found.is_equal(TOLERANCE) and (found.equal, found.by_rounding, found.at_cutoff) == (1, 2, 0)
    assert not compare(swapped).is_equal(TOLERANCE)
    assert not compare(swapped, boxes(FIRST, SECOND)).is_equal(TOLERANCE)
    lost = compare(boxes(SECOND), swapped)
    assert lost.is_equal(TOLERANCE) and lost.by_rounding == 1
    assert [row.box for row in compare(boxes(FIRST, THIRD), swapped).missing] == [SECOND[:4]]
    assert len(asked) == 5 and compare(boxes(SECOND, FIRST)).is_equal(TOLERANCE) and len(asked) == 5


def test_another_label_is_a_missing_and_an_extra_box() -> None:
    found = compared(boxes(FIRST), boxes((*FIRST[:5], 3)))
    assert (len(found.missing), len(found.extra), found.matched) == (1, 1, 0)


def test_a_shifted_box_is_matched_and_its_difference_is_a_share_of_the_longer_side() -> None:
    shifted = (FIRST[0] + 2, *FIRST[1:4], FIRST[4] - 0.25, 1)
    found = compared(boxes(FIRST), boxes(shifted))
    assert not found.missing and not found.extra and not found.is_equal(TOLERANCE)
    assert found.box == pytest.approx(2 / 200) and found.score == pytest.approx(0.25)
    near = (FIRST[0] + 0.1, *FIRST[1:])
    assert compared(boxes(FIRST), boxes(near)).is_equal(TOLERANCE)


def test_of_two_boxes_that_overlap_each_has_its_own_counterpart() -> None:
    """The nearest is not always the one with the best score."""
    twin = (11, 10, 51, 50, 0.9, 1)
    found = compared(boxes(FIRST, twin), boxes(twin, FIRST))
    assert found.is_equal(TOLERANCE) and found.box == 0.0


def test_a_box_without_area_is_matched_by_its_place() -> None:
    line = (10, 10, 10, 50, 0.9, 1)
    assert compared(boxes(line), boxes(line)).is_equal(TOLERANCE)


def test_other_boxes_at_the_end_of_full_lists_are_no_pair_even_if_they_overlap() -> None:
    swapped = (104, 0, 180, 60, 0.3004, 1)
    found = compared(boxes(FIRST, swapped, full=True), boxes(FIRST, THIRD, full=True))
    assert found.is_equal(TOLERANCE) and (found.equal, found.at_cutoff) == (1, 2)
    assert not compared(boxes(FIRST, swapped), boxes(FIRST, THIRD)).is_equal(TOLERANCE)


@pytest.mark.parametrize(
    ("full", "score", "is_lost"),
    [(True, 0.3004, False), (True, 0.31, True), (False, 0.3004, True)],
    ids=["at the end of a full list", "above it", "the list has room"],
)
def test_boxes_may_change_places_at_the_end_of_a_full_list_only(full: bool, score: float, is_lost: bool) -> None:
    swapped = (150, 50, 190, 90, score, 2)
    found = compared(boxes(FIRST, swapped, full=full), boxes(FIRST, THIRD, full=full))
    assert bool(found.missing) == is_lost
    assert found.at_cutoff + len(found.missing) + len(found.extra) == 2


def test_a_box_at_the_threshold_may_be_dropped() -> None:
    lowest = (150, 50, 190, 90, 0.0504, 2)
    assert compared(boxes(FIRST, lowest), boxes(FIRST), threshold=0.05).is_equal(TOLERANCE)
    assert compared(boxes(FIRST, lowest), boxes(FIRST), threshold=0.04).missing


def test_boxes_below_the_threshold_of_other_levels_are_lost_where_the_last_level_has_a_lower_one() -> None:
    """RetinaNet as Detectron selects: the last level has none."""
    thresholds = {"threshold": 0.05, "threshold_last": 0.0}
    for score, is_lost in ((0.03, True), (0.0496, False), (0.0504, False), (0.06, True), (0.0005, False)):
        found = compared(boxes(FIRST, (150, 50, 190, 90, score, 2)), boxes(FIRST), **thresholds)
        assert (len(found.missing), found.at_cutoff) == (is_lost, not is_lost), score


def test_masks_are_compared_cell_by_cell() -> None:
    one, other = np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.float32)
    other[0, 1, 2] = 0.5
    found = compared(boxes(FIRST, masks=one), boxes(FIRST, masks=other))
    assert found.mask == 0.5 and not found.is_equal(TOLERANCE)
    assert compared(boxes(FIRST, masks=one), boxes(FIRST, masks=one)).is_equal(TOLERANCE)
    for nothing in (np.nan, np.inf):
        assert compared(boxes(FIRST, masks=one), boxes(FIRST, masks=np.full_like(one, nothing))).mask == 1.0


def test_agreement_is_the_share_of_likely_boxes_with_a_close_counterpart() -> None:
    moved, weak = (70, 20, 100, 80, 0.6, 2), (100, 0, 180, 60, 0.05, 1)
    found = compared(boxes(FIRST, SECOND, THIRD), boxes(FIRST, moved, weak))
    assert (found.compared, found.agreed) == (5, 2)  # the first of both; the second moved, the third lost its score
    assert found.agreement == pytest.approx(0.4)


def test_boxes_that_rounding_puts_in_or_out_of_a_full_list_do_not_count_in_the_agreement() -> None:
    """Two detectors of equal scores everywhere keep other boxes."""
    near, far = (70, 20, 100, 80, 0.503, 2), (100, 0, 180, 60, 0.5, 1)
    lists = boxes(FIRST, near, full=True), boxes(FIRST, far, full=True)
    assert (compared(*lists).compared, compared(*lists).agreed) == (2, 2)
    assert (compared(boxes(FIRST, near), boxes(FIRST, far)).compared) == 4


def test_an_image_that_is_not_shown_is_the_worst_only_if_it_is_alone() -> None:
    comparison = Comparison()
    for name, shown in (("gray", False), ("photograph", True), ("noise", False)):
        other = boxes() if name != "photograph" else boxes((*FIRST[:4], FIRST[4] - 0.01, FIRST[5]))
        add_image(comparison, boxes(FIRST), other, image=IMAGE, name=name, tolerance=TOLERANCE, shown=shown)
        assert comparison.worst == ("gray" if name == "gray" else "photograph")
    assert len(comparison.missing) == 2


def test_numbers_add_up_over_images_and_the_worst_one_is_kept() -> None:
    comparison = Comparison()
    for name, other in (("same", boxes(FIRST)), ("lost", boxes()), ("again", boxes(FIRST))):
        add_image(comparison, boxes(FIRST), other, image=IMAGE, name=name, tolerance=TOLERANCE)
    assert (comparison.images, comparison.detections, comparison.matched) == (3, 3, 2)
    assert comparison.worst == "lost" and comparison.pixels is IMAGE


def test_masks_agree_where_enough_of_their_cells_do() -> None:
    whole, most, half = (np.zeros((1, 4, 4), np.float32) for _ in range(3))
    whole[0], most[0, :3], half[0, :2] = 0.9, 0.6, 0.6
    for mask, agreed in ((whole, 1), (most, 1), (half, 0), (np.full_like(whole, np.nan), 0)):
        found = compared(boxes(FIRST, masks=whole), boxes(FIRST, masks=mask))
        assert (found.masks_compared, found.masks_agreed) == (1, agreed)
    nothing = compared(boxes(FIRST, masks=np.zeros_like(whole)), boxes(FIRST, masks=np.zeros_like(whole)))
    assert nothing.mask_agreement == 1.0 and compared(boxes(FIRST), boxes(FIRST)).mask_agreement is None
