"""Drawings: text stays text, charts show what their data say."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.row_labels import row_labels
from paretodet.report.charts import (
    Bar,
    Line,
    StagePart,
    bar_chart,
    curve_chart,
    plane_chart,
    save_png,
    save_svg,
    stage_chart,
)
from paretodet.report.drawing import Drawing, DrawingStyle, cut, element, legend, stacked, titled
from paretodet.report.families import FAMILIES
from paretodet.report.scatter import frontier_plane
from paretodet.report.theme import LIGHT

STYLE = DrawingStyle(width=400, paint=LIGHT.__getitem__)
HOSTILE = "</text><script>alert(1)</script>\"'&\x00\u2028"


def _shapes(drawing, tag):
    """Elements of a kind, as a reader of XML finds them."""
    return ET.fromstring(drawing.file()).findall(f".//{{http://www.w3.org/2000/svg}}{tag}")


def _plane(rows, *, provisional=False):
    plane = frontier_plane(pareto_frontier(rows), row_labels(rows), width=STYLE.width)
    return replace(plane, provisional=provisional)


def test_text_and_attributes_never_become_markup():
    drawing = Drawing(width=10, height=10, body=element("text", HOSTILE, data_note=HOSTILE, x=None))
    (text,) = _shapes(drawing, "text")
    assert text.text.startswith("</text><script>") and text.get("data-note").startswith("</text>")
    assert "<script" not in drawing.body and "\x00" not in drawing.inline() and text.get("x") is None


def test_hostile_names_stay_text_in_every_chart(tmp_path):
    part = StagePart(key="1", label=HOSTILE, stage=HOSTILE, start=0.0, end=1.0, note=HOSTILE, total=HOSTILE)
    bar = Bar(key="1", label=HOSTILE, value=1.0, text=HOSTILE, tone="ssd", note=HOSTILE, mark=0.5)
    line = Line(name=HOSTILE, points=[(0, 100), (100, 0)])
    drawings = (
        stage_chart([part], [HOSTILE], STYLE),
        bar_chart([bar], STYLE),
        curve_chart([line], STYLE, x=HOSTILE, y="y"),
    )
    whole = titled(stacked(drawings), title=HOSTILE, subtitle=[HOSTILE], style=STYLE)
    assert "<script" not in whole.body and len(_shapes(whole, "text")) > 10
    save_svg(whole, tmp_path / "a.svg")
    assert ET.parse(tmp_path / "a.svg").getroot().get("width") == f"{whole.width:.1f}".removesuffix(".0")
    save_png(whole, tmp_path / "a.png", scale=1.0)
    content = (tmp_path / "a.png").read_bytes()
    assert int.from_bytes(content[16:20], "big") == pytest.approx(whole.width, abs=1)


def test_stacked_drawings_do_not_touch():
    one, two = (Drawing(width=wide, height=20, body=element("rect", width=1)) for wide in (10, 30))
    both = stacked([one, two], gap=5)
    assert (both.width, both.height) == (30, 45) and both.body.count("<rect") == 2
    assert re.findall(r"translate\(0 ([\d.]+)\)", both.body) == ["0", "25"]


def test_a_legend_takes_as_many_lines_as_it_needs():
    entries = [(f"stage {n}", "") for n in range(9)]
    narrow, wide = (legend(entries, DrawingStyle(width=width, paint=str)) for width in (200, 2000))
    assert narrow.height > wide.height and legend([], STYLE).height == 0
    assert max(float(x) for x in re.findall(r"translate\(([\d.]+) ", narrow.body)) < 200


def test_long_text_is_cut():
    assert cut("abc", 100, font=10) == "abc" and cut("a" * 100, 60, font=10) == "a" * 9 + "…"


def test_a_plane_shows_every_point_once_with_its_interval(rows):
    plane = _plane(rows)
    chart = plane_chart(plane, STYLE)
    keys = [each.get("data-key") for each in ET.fromstring(chart.file()).iter() if each.get("class") == "point"]
    assert sorted(keys) == sorted(point.key for point in (*plane.points, *plane.cost_only))
    bars = [each.get("d") for each in _shapes(chart, "path") if each.get("class") == "intervals"]
    assert sum(path.count("H") for path in bars) == sum(point.x_low is not None for point in plane.points) == 9
    assert {each.get("visibility") for each in ET.fromstring(chart.file()).iter()} == {None, "hidden"}


def test_a_provisional_staircase_is_dashed(rows):
    dashes = [
        each.get("stroke-dasharray")
        for provisional in (False, True)
        for each in _shapes(plane_chart(_plane(rows, provisional=provisional), STYLE), "polyline")
        if each.get("class") == "staircase"
    ]
    assert dashes == [None, "6 5"]


def test_the_staircase_goes_level_then_up(rows):
    (stairs,) = (e for e in _shapes(plane_chart(_plane(rows), STYLE), "polyline") if e.get("class") == "staircase")
    corners = [tuple(map(float, corner.split(","))) for corner in stairs.get("points").split()]
    assert all(a[0] == b[0] or a[1] == b[1] for a, b in zip(corners, corners[1:], strict=False))
    assert [x for x, _ in corners] == sorted(x for x, _ in corners) and corners[-1][0] == STYLE.width


def test_bars_are_as_long_as_their_values():
    bars = [
        Bar(key=str(n), label="a", value=value, text="", tone="ssd", note="", mark=None)
        for n, value in enumerate((8, 4, 0))
    ]
    widths = [float(each.get("width")) for each in _shapes(bar_chart(bars, STYLE), "rect")]
    assert widths[0] == 2 * widths[1] and widths[2] == 0.5 and widths[0] < STYLE.width


def test_an_axis_of_many_powers_has_few_ticks(rows):
    wide = [replace(rows[0], id="w", latency_ms_p50=1e-3), replace(rows[1], latency_ms_p50=1e6)]
    narrow = DrawingStyle(width=310, paint=LIGHT.__getitem__)
    plane = frontier_plane(pareto_frontier(wide), row_labels(wide), width=310)
    texts = [each.text for each in _shapes(plane_chart(plane, narrow), "text") if each.get("text-anchor") == "middle"]
    assert {"0.001", "1", "1,000", "1,000,000"} <= set(texts) and not {"2", "500"} & set(texts)


def test_every_family_has_its_symbol_and_its_entry_in_the_legend(rows):
    prefixes = [family.prefixes[0] if family.prefixes else "mine" for family in FAMILIES]
    named = [
        replace(rows[0], id=prefix, name=f"{prefix}-net", latency_ms_p50=10.0 + 10 * number)
        for number, prefix in enumerate(prefixes)
    ]
    chart = plane_chart(_plane(named), STYLE)
    titles = {family.title for family in FAMILIES}
    assert titles <= {each.text for each in _shapes(chart, "text")}
    drawn = [each for each in ET.fromstring(chart.file()).iter() if each.get("class") == "point"]
    assert len({each.get("points") for each in drawn}) == len(drawn) == len(FAMILIES)
