"""The charts, as drawings, and the only place that uses the library that turns SVG into PNG."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paretodet.extras import MissingExtra
from paretodet.report.drawing import (
    Attributes,
    Drawing,
    DrawingStyle,
    at,
    cut,
    element,
    group,
    legend,
    moved,
    points,
    stacked,
)
from paretodet.report.families import DetectorFamily
from paretodet.report.labels import GLYPH
from paretodet.report.scatter import LABEL_FONT, TICK, Point, ScatterPlot
from paretodet.report.theme import STAGES
from paretodet.writing import write_bytes, write_text

try:
    import vl_convert
except ImportError as error:
    raise MissingExtra("pages and charts need vl-convert: pip install 'paretodet[report]'") from error

LEFT, RIGHT, FOOT = 46, 8, 44  # px beside and below a plot
AXIS = LEFT + RIGHT
_HEAD = 26  # px above a plot, for the title of the vertical axis
_BAND = 38  # px of a bar with its name above it
_VALUE = 11  # characters of the value at a bar's end
_SMALL = 11  # px, the font of ticks and bars
_BASELINE = 12  # px from a bar's top to the baseline of its name
_CORNERS = {  # of symbols with the area of a circle of radius 1
    "square": ((-0.89, -0.89), (0.89, -0.89), (0.89, 0.89), (-0.89, 0.89)),
    "diamond": ((0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)),
    "triangle-up": ((0, -1.55), (1.35, 0.78), (-1.35, 0.78)),
    "triangle-down": ((0, 1.55), (1.35, -0.78), (-1.35, -0.78)),
    "triangle-left": ((-1.55, 0), (0.78, 1.35), (0.78, -1.35)),
    "triangle-right": ((1.55, 0), (-0.78, 1.35), (-0.78, -1.35)),
    "pentagon": ((0, -1.15), (1.09, -0.36), (0.68, 0.93), (-0.68, 0.93), (-1.09, -0.36)),
    "star": (
        (0, -1.65), (0.38, -0.52), (1.57, -0.51), (0.62, 0.2), (0.97, 1.33),
        (0, 0.65), (-0.97, 1.33), (-0.62, 0.2), (-1.57, -0.51), (-0.38, -0.52),
    ),
    "cross": (
        (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
        (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4),
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar under its `label`, with `text` at its end; `mark` is a second value, drawn as a tick."""

    key: str
    label: str
    value: float
    text: str
    tone: str
    note: str
    mark: float | None = None


@dataclass(frozen=True, kw_only=True)
class StagePart:
    """One stage's piece of a row's bar, from `start` to `end` in shares of the row."""

    key: str
    label: str
    stage: str
    start: float
    end: float
    note: str
    total: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line through `points`, (x, y) in percent."""

    name: str
    points: Sequence[tuple[float, float]]


def plane_chart(plane: ScatterPlot, style: DrawingStyle) -> Drawing:
    """Accuracy against cost: points with their intervals, the frontier as a staircase, labels that have room.

    The lines of class `limit` and `floor` and the `ring` are hidden; the page's script shows and moves them. A
    provisional frontier is dashed.
    """
    entries = [(family.title, symbol(family, 62, fill=style.paint(family.tone))) for family in plane.key]
    inside = (
        _staircase(plane, style),
        *_intervals(plane, style),
        *(_point(point, plane, style) for point in sorted(plane.points, key=lambda point: point.on_frontier)),
        *_budget_marks(plane, style),
        *(_tick(point, plane, style) for point in plane.cost_only),
        *_labels(plane, style),
    )
    return stacked([legend(entries, style), on_axes(plane, style, inside)], gap=0)


def bubble_chart(plane: ScatterPlot, style: DrawingStyle) -> Drawing:
    """A scatter plot whose points are discs of `Point.radius` px."""
    entries = [(family.title, element("circle", r=5, fill=style.paint(family.tone))) for family in plane.key]
    discs = [_disc(point, plane, style) for point in plane.points]
    inside = (*discs, *_labels(plane, style))
    return stacked([legend(entries, style), on_axes(plane, style, inside)], gap=0)


def bar_chart(bars: Sequence[Bar], style: DrawingStyle) -> Drawing:
    """Horizontal bars from zero, each below its name, with its value at its end."""
    longest = max((max(bar.value, bar.mark or 0.0) for bar in bars), default=1.0) or 1.0
    scale = (style.width - _value_width(style)) / longest
    rows = [moved(_bar(bar, scale, style), y=_BAND * place) for place, bar in enumerate(bars)]
    return Drawing(width=style.width, height=_BAND * len(bars), body="".join(rows))


def stage_chart(parts: Sequence[StagePart], stages: Sequence[str], style: DrawingStyle) -> Drawing:
    """The share of time of every stage: one bar for each row. `stages` gives the order of the legend."""
    tones = {stage: style.paint(STAGES[place % len(STAGES)]) for place, stage in enumerate(stages)}
    entries = [(stage, element("rect", x=-5, y=-5, width=10, height=10, fill=tone)) for stage, tone in tones.items()]
    rows: dict[str, list[StagePart]] = {}
    for part in parts:
        rows.setdefault(part.key, []).append(part)
    drawn = [moved(_stages(row, tones, style), y=_BAND * place) for place, row in enumerate(rows.values())]
    body = Drawing(width=style.width, height=_BAND * len(rows), body="".join(drawn))
    return stacked([legend(entries, style), body], gap=10)


def curve_chart(lines: Sequence[Line], style: DrawingStyle, *, x: str, y: str) -> Drawing:
    """Lines with both axes in percent, named in a legend in the order given; the first line is thicker."""
    tones = [style.paint("ink"), *(style.paint(tone) for tone in STAGES)][: len(lines)]
    wide, high = style.width - AXIS, round(0.5 * style.width)
    entries = [
        (line.name, element("line", x1=-6, x2=6, y1=0, y2=0, stroke=tone, stroke_width=2))
        for line, tone in zip(lines, tones, strict=True)
    ]
    drawn = [
        element(
            "polyline",
            points=points((across * wide / 100, high - up * high / 100) for across, up in line.points),
            fill="none",
            stroke=tone,
            stroke_width=1.4 if place else 2.75,
        )
        for place, (line, tone) in enumerate(zip(lines, tones, strict=True))
    ]
    ticks = [(share * 20 / 100, f"{share * 20}") for share in range(6)]
    frame = _frame(
        [(share * wide, text) for share, text in ticks], [((1 - share) * high, text) for share, text in ticks],
        size=(wide, high), titles=(x, y), style=style,
    )  # fmt: skip
    body = moved(frame + "".join(drawn), x=LEFT, y=_HEAD)
    return stacked([legend(entries, style), Drawing(width=style.width, height=high + _HEAD + FOOT, body=body)], gap=10)


def save_png(drawing: Drawing, path: Path, *, scale: float = 2.0) -> None:
    """Write a drawing whose colors are values (not CSS properties) as a PNG, `scale` pixels for each px."""
    write_bytes(path, vl_convert.svg_to_png(drawing.file(), scale=scale))


def save_svg(drawing: Drawing, path: Path) -> None:
    """Write a drawing whose colors are values as an SVG file."""
    write_text(path, drawing.file())


def round_ticks(domain: tuple[float, float]) -> list[float]:
    """1, 2 and 5 times powers of ten inside `domain`."""
    powers = range(math.floor(math.log10(domain[0])), math.ceil(math.log10(domain[1])) + 1)
    ticks = (float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5))
    return [tick for tick in ticks if domain[0] <= tick <= domain[1]]


def round_steps(domain: tuple[float, float], *, limit: int = 7) -> list[float]:
    """At most `limit` multiples of 1, 2 or 5 times a power of ten inside `domain`."""
    low, high = domain
    power = math.floor(math.log10((high - low) / limit))
    steps = (float(f"{digit}e{power + more}") for more in (0, 1) for digit in (1, 2, 5))
    step = next(step for step in steps if math.floor(high / step) - math.ceil(low / step) < limit)
    return [float(f"{place * step:.12g}") for place in range(math.ceil(low / step), math.floor(high / step) + 1)]


def on_axes(plane: ScatterPlot, style: DrawingStyle, inside: Iterable[str]) -> Drawing:
    """Elements in px of the plot, with its axes, ticks and titles. A cost with a minus sign has ticks without it."""
    frame = _frame(
        [(plane.scale.to_px(tick, plane.y_domain[0])[0], f"{tick:,.10g}") for tick in _cost_ticks(plane, style)],
        [(plane.scale.to_px(plane.x_domain[0], tick)[1], f"{abs(tick):g}") for tick in round_steps(plane.y_domain)],
        size=(plane.width, plane.height), titles=(plane.x_title, plane.y_title), style=style,
    )  # fmt: skip
    body = moved(frame + "".join(inside), x=LEFT, y=_HEAD)
    return Drawing(width=plane.width + AXIS, height=plane.height + _HEAD + FOOT, body=body)


def _cost_ticks(plane: ScatterPlot, style: DrawingStyle) -> list[float]:
    """Ticks of the logarithmic axis: fewer if they would touch, evenly spaced if it spans less than a power of ten."""
    ticks = round_ticks(plane.x_domain)
    if len(ticks) < 2:
        return round_steps(plane.x_domain, limit=4)
    room = max(3, plane.width // round(4 * style.room_font(_SMALL)))
    return ticks if len(ticks) <= room else [tick for tick in ticks if f"{tick:e}".startswith("1.")]


def _frame(
    across: Sequence[tuple[float, str]],
    up: Sequence[tuple[float, str]],
    *,
    size: tuple[float, float],
    titles: tuple[str, str],
    style: DrawingStyle,
) -> str:
    """Grid, ticks at (px, text) and the titles of both axes."""
    (wide, high), soft, hair = size, style.paint("soft"), style.paint("hair")
    grid = [element("line", x1=x, x2=x, y1=0, y2=high) for x, _ in across]
    grid += [element("line", x1=0, x2=wide, y1=y, y2=y) for y, _ in up]
    base = element("line", x1=0, x2=wide, y1=high, y2=high, stroke=style.paint("line"))
    last, half = wide + RIGHT, GLYPH * style.room_font(_SMALL) / 2
    ticks = [
        element("text", text, x=min(x, last - half * len(text)), y=high + 17, text_anchor="middle")
        for x, text in across
    ]
    ticks += [element("text", text, x=-7, y=y + 4, text_anchor="end") for y, text in up]
    named = (
        element("text", titles[0], x=wide / 2, y=high + 36, text_anchor="middle", font_size=12),
        element("text", titles[1], x=-LEFT + 6, y=-12, font_size=12),
    )
    return group(grid, stroke=hair) + base + group([*ticks, *named], fill=soft, font_size=_SMALL)


def _staircase(plane: ScatterPlot, style: DrawingStyle) -> str:
    corners: list[tuple[float, float]] = []
    for x, y in (plane.scale.to_px(*step) for step in plane.staircase):
        corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
    dashes = "6 5" if plane.provisional else None
    look: Attributes = {"stroke": style.paint("ink"), "stroke_width": 1.25, "stroke_dasharray": dashes}
    return element("polyline", class_="staircase", points=points(corners), fill="none", opacity=0.5, **look)


def _intervals(plane: ScatterPlot, style: DrawingStyle) -> Iterable[str]:
    """The intervals, one path for each family; those of points off the frontier are paler."""
    paths: dict[tuple[DetectorFamily, bool], str] = {}
    for point in plane.points:
        kind = (point.family, point.on_frontier)
        paths[kind] = paths.get(kind, "") + _bars(point, plane)
    for (family, on_frontier), path in paths.items():
        look: Attributes = {
            "stroke": style.paint(family.tone),
            "stroke_width": 1.5,
            "opacity": 0.75 if on_frontier else 0.45,
        }
        yield element("path", class_="intervals", d=path or "M0 0", **look)


def _bars(point: Point, plane: ScatterPlot) -> str:
    x, y = _px(point, plane)
    path = ""
    if point.x_low is not None and point.x_high is not None:
        low, high = (plane.scale.to_px(end, plane.y_domain[0])[0] for end in (point.x_low, point.x_high))
        path += f"M{low:.1f} {y:.1f}H{high:.1f}"
    if point.y_low is not None and point.y_high is not None:
        low, high = (plane.scale.to_px(plane.x_domain[0], end)[1] for end in (point.y_low, point.y_high))
        path += f"M{x:.1f} {low:.1f}V{high:.1f}"
    return path


def _point(point: Point, plane: ScatterPlot, style: DrawingStyle) -> str:
    tone, place = style.paint(point.family.tone), at(*_px(point, plane))
    thick = 2.4 if point.on_frontier else 1.6
    look: Attributes = (
        {"fill": tone} if point.filled else {"fill": style.paint("paper"), "stroke": tone, "stroke_width": thick}
    )
    look["opacity"] = 0.6 if point.pale else None
    area = 92 if point.on_frontier else 62
    return symbol(point.family, area, class_="point", data_key=point.key, transform=place, **look)


def _disc(point: Point, plane: ScatterPlot, style: DrawingStyle) -> str:
    look: Attributes = {"fill": style.paint(point.family.tone), "opacity": 0.72, "stroke": style.paint("paper")}
    place = at(*_px(point, plane))
    return element("circle", class_="point", data_key=point.key, r=point.radius, transform=place, **look)


def symbol(family: DetectorFamily, area: float, **attributes: str | float | None) -> str:
    """The shape of a family around (0, 0), of `area` px."""
    radius = math.sqrt(area / math.pi)
    if family.shape not in _CORNERS:
        return element("circle", r=radius, **attributes)
    return element("polygon", points=points((radius * x, radius * y) for x, y in _CORNERS[family.shape]), **attributes)


def _px(point: Point, plane: ScatterPlot) -> tuple[float, float]:
    return plane.scale.to_px(point.x, plane.y_domain[0] if point.y is None else point.y)


def _budget_marks(plane: ScatterPlot, style: DrawingStyle) -> Iterable[str]:
    """Hidden elements that the page's script shows and moves: the budget's limits and a ring around the choice."""
    look: Attributes = {"stroke": style.paint("accent"), "fill": "none", "visibility": "hidden"}
    lines: Attributes = {"stroke_width": 1.5, "stroke_dasharray": "5 4", **look}
    (left, right), (bottom, top) = plane.x_domain, plane.y_domain
    across, up = f"{left!r} {right!r} 0 {plane.width}", f"{bottom!r} {top!r} {plane.height} 0"
    yield element("line", class_="limit", data_scale=across, y1=0, y2=plane.height, **lines)
    yield element("line", class_="floor", data_scale=up, x1=0, x2=plane.width, **lines)
    yield element("circle", class_="ring", r=10, stroke_width=2.25, **look)


def _tick(point: Point, plane: ScatterPlot, style: DrawingStyle) -> str:
    look: Attributes = {"stroke": style.paint("other"), "stroke_width": 2, "class_": "point", "data_key": point.key}
    x, _ = _px(point, plane)
    return element("line", x1=x, x2=x, y1=plane.height - TICK + 2, y2=plane.height, **look)


def _labels(plane: ScatterPlot, style: DrawingStyle) -> Iterable[str]:
    anchors = {"left": "start", "center": "middle", "right": "end"}
    covers = any(point.estimated for point in plane.points)  # labels may then lie on bars
    halo: Attributes = {"stroke": style.paint("paper"), "stroke_width": 3, "paint_order": "stroke"} if covers else {}
    for label in plane.labels:
        x, y = plane.scale.to_px(label.x, label.y)
        look: Attributes = {
            "fill": style.paint("ink"),
            "font_size": LABEL_FONT,
            "opacity": None if label.strong else 0.7,
            **halo,
        }
        yield element("text", label.text, x=x, y=y + 0.34 * LABEL_FONT, text_anchor=anchors[label.align], **look)


def _bar(bar: Bar, scale: float, style: DrawingStyle) -> str:
    end, ink = scale * max(bar.value, bar.mark or 0.0), style.paint("ink")
    name = cut(bar.label, style.width, font=style.room_font(_SMALL))
    parts = [
        element("text", name, y=_BASELINE, font_size=_SMALL, fill=ink),
        element("rect", y=20, width=max(0.5, scale * bar.value), height=9, rx=1.5, fill=style.paint(bar.tone)),
        element("text", bar.text, x=end + 6, y=28.5, font_size=_SMALL, fill=ink),
    ]
    if bar.mark is not None:
        parts.append(element("rect", x=scale * bar.mark - 1, y=17, width=2, height=15, fill=ink))
    return group(parts, data_note=f"{bar.label}: {bar.note}")


def _value_width(style: DrawingStyle) -> float:
    return _VALUE * GLYPH * style.room_font(_SMALL)


def _stages(row: Sequence[StagePart], tones: dict[str, str], style: DrawingStyle) -> str:
    first, paper = row[0], style.paint("paper")
    label = cut(first.label, style.width - _value_width(style), font=style.room_font(_SMALL))
    name = element("text", label, y=_BASELINE, fill=style.paint("ink"))
    total = element("text", first.total, x=style.width, y=_BASELINE, text_anchor="end", fill=style.paint("soft"))
    pieces = [
        element(
            "rect",
            x=style.width * part.start,
            y=17,
            width=style.width * (part.end - part.start),
            height=13,
            fill=tones[part.stage],
            stroke=paper,
            data_note=f"{part.label}, {part.stage}: {part.note}",
        )
        for part in row
    ]
    return group([name, total, *pieces], font_size=_SMALL)
