"""Points, axes, the staircase and the room for labels."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.row_labels import row_labels
from paretodet.report.families import family_of
from paretodet.report.labels import GLYPH, Box, LabelRequest, place
from paretodet.report.scatter import MAX_RADIUS, Point, frontier_plane, lay_out, notes, standings, work_plane

WIDTH = 600


def _plane(rows, **choices):
    return frontier_plane(pareto_frontier(rows, **choices), row_labels(rows), width=WIDTH)


def test_only_usable_rows_of_the_group_are_points(rows):
    plane = _plane(rows)
    assert len(plane.points) == 9  # 12, less one contended, one without accuracy, one on another split
    assert [point.label for point in plane.cost_only] == ["my_detector:make"]
    assert len(_plane(rows, split="mixed").points) == 10


def test_points_carry_the_frontier_s_intervals(rows):
    point = next(p for p in _plane(rows).points if p.label == "ssd-mobilenet_v1-300")
    assert (point.x, point.y) == (33.4, 21.0)
    assert (point.x_low, point.x_high) == (rows[0].latency_ms_p50_low, rows[0].latency_ms_p50_high)
    assert (point.y_low, point.y_high) == (20.5, 21.5)  # the zoo rounds to whole points
    mixed = next(p for p in _plane(rows, split="mixed").points if p.label == "hf:d_fine-n")
    assert mixed.y_high - mixed.y_low == pytest.approx(1.0)  # splits differ by up to half a point either way


def test_a_tooltip_has_the_interval_that_is_drawn(rows):
    disturbed = [replace(row, validity="contended", disturbed_pct=50.0) for row in rows]
    point = next(p for p in _plane(disturbed).points if p.key == rows[8].id)
    assert (round(point.x_low, 1), round(point.x_high)) == (77.3, 180)
    assert notes(disturbed[8], "a")["Latency"] == "118 ms (77.3–180)"


def test_every_point_has_its_standing(rows):
    found = pareto_frontier(rows)
    standing = {row.name: words for row, words, _ in standings(found, row_labels(rows))}
    assert standing["hf:d_fine-n"].startswith("yes, with probability")
    assert standing["yolo_v3-darknet53-608"].startswith("no, beaten by hf:d_fine-")
    assert standing["my_detector:make"] == "no accuracy"
    assert {row.id for row, _, _ in standings(found, row_labels(rows))} == {
        point.key for plane in (_plane(rows),) for point in (*plane.points, *plane.cost_only)
    }


def _laid_out(*places):
    points = [Point(key=f"{x} {y}", label="", family=family_of("ssd"), x=x, y=y) for x, y in places]
    plane = lay_out(points, "Memory", "Gain", WIDTH, 11.5)
    return plane, [plane.scale.to_px(*place) for place in places]


def test_a_cost_that_is_not_above_zero_is_on_the_border():
    plane, px = _laid_out((-3.0, 10.0), (0.0, 20.0), (5.0, 30.0), (50.0, 40.0))
    assert 0 < plane.x_domain[0] < 5 and [x for x, _ in px[:2]] == [0, 0] < [x for x, _ in px[2:]]


@pytest.mark.parametrize("gains", [(-900.0, -500.0, -20.0), (-0.3, -0.2, -0.1), (-90.0, -50.0, 2.0), (0.0, 0.4, 30.0)])
def test_gains_of_either_sign_keep_their_order_inside_the_plot(gains):
    plane, px = _laid_out(*((10.0 + place, gain) for place, gain in enumerate(gains)))
    heights = [y for _, y in px]
    assert plane.height >= heights[0] > heights[1] > heights[2] >= 0
    assert plane.y_domain[0] < plane.y_domain[1] and (gains[2] > 0 or plane.y_domain[1] <= 0)


def test_values_outside_the_domain_are_on_the_border(rows):
    scale = _plane(rows).scale
    assert scale.to_px(1e-9, -5.0) == (0, scale.height) and scale.to_px(1e9, 1e3) == (scale.width, 0)
    x, y = scale.to_data(*scale.to_px(100.0, 30.0))
    assert (x, y) == (pytest.approx(100.0), pytest.approx(30.0))


def test_costs_without_an_interval_have_none_and_keep_their_scale(rows):
    point = next(p for p in _plane(rows, cost="parameters").points if p.label == "yolo_v3-darknet53-320")
    assert point.x == pytest.approx(62.0) and point.x_low is None


def test_the_axes_contain_every_interval(rows):
    plane = _plane(rows)
    for point in (*plane.points, *plane.cost_only):
        low, high = point.x_low or point.x, point.x_high or point.x
        assert plane.x_domain[0] < low <= high < plane.x_domain[1]


def test_a_single_row_still_has_axes(rows):
    plane = _plane(rows[:1])
    assert plane.x_domain[1] / plane.x_domain[0] >= 2 and plane.y_domain[0] < 21 < plane.y_domain[1]


def test_no_rows_at_all_make_an_empty_plane(rows):
    plane = _plane([rows[-1]])
    assert plane.points == () and plane.staircase == () and plane.labels == ()


def test_the_staircase_rises_and_never_runs_below_a_point(rows):
    plane = _plane(rows, split="mixed")
    xs, ys = zip(*plane.staircase, strict=True)
    assert list(xs) == sorted(xs) and list(ys) == sorted(ys) and xs[-1] == plane.x_domain[1]
    for point in plane.points:
        best = max((y for x, y in plane.staircase if x <= point.x), default=-math.inf)
        assert point.y <= best


def test_rows_of_zero_cost_are_not_on_a_log_axis(rows):
    free = replace(rows[0], id="free00000000", latency_ms_p50=0.0, latency_ms_p50_low=None, latency_ms_p50_high=None)
    assert "free00000000" not in {point.key for point in _plane([*rows, free]).points}


def test_long_names_are_shortened_only_beside_points(rows):
    long = replace(rows[8], name="x" * 300)
    assert notes(long, row_labels([long])[long.id])["Detector"] == "x" * 300
    assert all(len(name.text) < 60 for name in _plane([long]).labels)


def test_a_shortened_label_keeps_what_tells_rows_apart(rows):
    twins = [replace(rows[8], name="x" * 300, runtime=name, id=name * 6) for name in ("eager", "openvino")]
    twins[1] = replace(twins[1], ap=50.0, latency_ms_p50=900.0, latency_ms_p50_low=880.0, latency_ms_p50_high=920.0)
    assert {label.text.partition("…")[2] for label in _plane(twins).labels} == {" · eager", " · openvino"}


def test_the_notes_have_what_is_known_of_building_and_of_the_floor(rows):
    assert not {"Floor", "Export", "Compile", "Layers"} & notes(rows[0], "a").keys()
    made = replace(rows[0], floor_ms=16.7, export_ms=900.0, compile_ms=70.0, precision_layers={"bf16": 7})
    found = notes(made, "a")
    assert found["Floor"] == "16.7 ms, 50 % of the latency"
    assert (found["Export"], found["Compile"], found["Layers"]) == ("900 ms", "70.0 ms", "7 bf16")


def test_labels_keep_room_for_enlarged_text(rows):
    frontier, labels = pareto_frontier(rows), row_labels(rows)
    plain, enlarged = (frontier_plane(frontier, labels, width=300, room_font=font).labels for font in (8.0, 24.0))
    assert 0 < len(enlarged) < len(plain)


def test_bubbles_have_areas_in_proportion_to_parameters(rows):
    known = [row for row in rows if row.ap50 and row.flops]
    radius = {p.label: p.radius for p in work_plane(known, row_labels(known), width=WIDTH).points}
    assert max(radius.values()) == MAX_RADIUS
    assert (radius["hf:d_fine-s"] / radius["yolo_v3-darknet53-320"]) ** 2 == pytest.approx(10.2 / 62.0)


def test_a_label_avoids_its_neighbor_and_moves_to_the_next_spot():
    blocked = Box(left=105, top=90, right=200, bottom=110)
    label = place([LabelRequest(key="a", text="name", x=100, y=100)], size=(400, 400), obstacles=[blocked])[0]
    assert label.align == "right" and label.x < 100


def test_a_label_without_room_is_left_out():
    wall = Box(left=-1e3, top=-1e3, right=1e3, bottom=1e3)
    assert place([LabelRequest(key="a", text="name", x=10, y=10)], size=(400, 400), obstacles=[wall]) == ()


points = st.lists(st.tuples(st.floats(0, 500), st.floats(0, 300), st.integers(1, 40)), max_size=25)


@settings(max_examples=60)
@given(points)
def test_placed_labels_never_overlap_and_stay_inside(spots):
    requests = [LabelRequest(key=str(n), text="m" * length, x=x, y=y) for n, (x, y, length) in enumerate(spots)]
    font = 11.0
    boxes = []
    for label in place(requests, size=(500, 300), font=font):
        width = GLYPH * font * len(label.text)
        left = {"left": label.x, "center": label.x - width / 2, "right": label.x - width}[label.align]
        boxes.append((left, label.y - 0.6 * font, left + width, label.y + 0.6 * font))
    assert all(min(b) >= 0 and b[2] <= 500 and b[3] <= 300 for b in boxes)
    for n, one in enumerate(boxes):
        for two in boxes[n + 1 :]:
            assert one[2] <= two[0] or two[2] <= one[0] or one[3] <= two[1] or two[3] <= one[1]
