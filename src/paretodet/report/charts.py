"""The pictures, as Altair charts; the only file that knows Altair and its renderer.

A chart is drawn at one of a few fixed widths, so that labels can be placed to the pixel; the page shows the widest that
fits. Colours are asked of `Style.paint`: custom properties on the page, plain values in a picture file.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from paretodet.report.families import FAMILIES
from paretodet.report.plane import NOTES, Plane, Point
from paretodet.report.theme import STAGES
from paretodet.writing import write_bytes, write_text

try:
    import altair as alt
    import vl_convert
except ImportError as error:
    raise ImportError("pages and pictures need Altair: pip install 'paretodet[report]'") from error

Spec = dict[str, Any]
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
_VEGA_LITE = ".".join(alt.SCHEMA_VERSION.lstrip("v").split(".")[:2])
_BAND = 34  # px a bar with its name above it


@dataclass(frozen=True, kw_only=True)
class Style:
    """Plot width in px, and the colour of a tone of `theme.py`."""

    width: int
    paint: Callable[[str], str]


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
class Part:
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


def plane_chart(plane: Plane, style: Style) -> Spec:
    """Accuracy against cost: points with their intervals, the frontier as a staircase, labels where there is room.

    Its parameters `limit`, `floor` (null: none) and `choice` (a row's id) draw a budget and ring a point.
    """
    layers = (
        *_budget(style),
        _staircase(plane, style),
        *_intervals(plane, style),
        *_points(plane, style),
        _ring(plane, style),
        _rug(plane, style),
        _names(plane, style),
    )
    params = [alt.param(name=name, value=None) for name in ("limit", "floor", "choice")]
    return _on_axes(alt.layer(*layers).add_params(*params), plane, style)


def bubble_chart(plane: Plane, style: Style) -> Spec:
    """A plane whose points are discs of `Point.radius` px."""
    area = alt.Size("area:Q").scale(None).legend(None)
    base = _base("points").transform_calculate(area="4 * datum.radius * datum.radius")
    discs = base.mark_circle(opacity=0.72, stroke=style.paint("paper"), strokeWidth=1.5)
    discs = discs.encode(x=_x(plane), y=_y(plane), size=area, color=_colour(plane, style), tooltip=_tooltip())
    return _on_axes(alt.layer(discs, _names(plane, style)), plane, style)


def bar_chart(bars: Sequence[Bar], style: Style) -> Spec:
    """Horizontal bars from zero, each under its name, with its value at its end."""
    most = max((max(bar.value, bar.mark or 0.0) for bar in bars), default=1.0)
    scale = alt.Scale(domain=[0, most], range=[0, style.width - 70])
    base = alt.Chart(_values(vars(bar) | {"colour": style.paint(bar.tone)} for bar in bars)).encode(y=_bands())
    length = alt.X("value:Q").scale(scale).axis(None)
    colour = alt.Color("colour:N").scale(None).legend(None)
    tips = [alt.Tooltip("label:N", title="Row"), alt.Tooltip("note:N", title="Value")]
    body = base.mark_bar(height=9, yOffset=8, cornerRadiusEnd=2).encode(x=length, color=colour, tooltip=tips)
    end = base.mark_text(align="left", dx=6, dy=8, fontSize=11, color=style.paint("ink"))
    end = end.transform_calculate(reach="max(datum.value, datum.mark)")  # null counts as 0
    end = end.encode(x=alt.X("reach:Q").scale(scale).axis(None), text="text:N")
    second = base.transform_filter("isValid(datum.mark)").mark_tick(
        orient="vertical", thickness=2, height=15, yOffset=8, color=style.paint("ink")
    )
    second = second.encode(x=alt.X("mark:Q").scale(scale).axis(None))
    return _bare(alt.layer(body, second, end, _bar_names(base, style)), style)


def stage_chart(parts: Sequence[Part], stages: Sequence[str], style: Style) -> Spec:
    """Where the time of each row goes: one bar a row, cut into the shares of its `stages`, which order the legend."""
    tones = [style.paint(STAGES[place % len(STAGES)]) for place in range(len(stages))]
    colour = alt.Color("stage:N").scale(domain=list(stages), range=tones)
    colour = colour.legend(orient="top", title=None, columns=_columns(style), symbolType="square", offset=10)
    base = alt.Chart(_values(map(vars, parts))).encode(y=_bands())
    tips = [alt.Tooltip(f"{field}:N", title=field.title()) for field in ("label", "stage", "note")]
    bar = base.mark_bar(height=13, yOffset=8, stroke=style.paint("paper"), strokeWidth=1)
    bar = bar.encode(x=alt.X("start:Q").scale(domain=[0, 1]).axis(None), x2="end:Q", color=colour, tooltip=tips)
    first = base.transform_filter("datum.start === 0")
    total = first.mark_text(align="right", dy=-7, fontSize=11, color=style.paint("soft"))
    total = total.encode(x=alt.value(style.width), text="total:N")
    return _bare(alt.layer(bar, _bar_names(first, style), total), style)


def curve_chart(lines: Sequence[Line], style: Style, *, x: str, y: str) -> Spec:
    """Lines over percent of both axes, named in a legend in the order given; the first is drawn stronger."""
    tones = [style.paint("ink"), *(style.paint(tone) for tone in STAGES)][: len(lines)]
    names = [line.name for line in lines]
    values = [{"name": line.name, "x": x, "y": y, "place": n} for line in lines for n, (x, y) in enumerate(line.points)]
    colour = alt.Color("name:N").scale(domain=names, range=tones)
    colour = colour.legend(orient="top", title=None, columns=_columns(style) // 2, symbolType="stroke", offset=34)
    scale, axis = alt.Scale(domain=[0, 100]), alt.Axis(tickCount=6, tickSize=0, labelPadding=6)
    upright = alt.Axis(tickCount=6, tickSize=0, domain=False, titleAngle=0, titleAlign="left", titleX=-30, titleY=-12)
    chart = (
        alt.Chart(_values(values))
        .mark_line(clip=True)
        .encode(
            x=alt.X("x:Q", title=x).scale(scale).axis(axis),
            y=alt.Y("y:Q", title=y).scale(scale).axis(upright),
            order="place:Q",
            color=colour,
            strokeWidth=alt.condition(alt.datum.name == names[0], alt.value(2.75), alt.value(1.4)),
        )
    )
    return _spec(alt.layer(chart).properties(width=style.width, height=round(0.5 * style.width)), style)


def below(specs: Sequence[Spec], *, gap: int = 30) -> Spec:
    """Charts of one style, one below the other, each with its own colours."""
    shared = {key: value for key, value in specs[0].items() if key in ("$schema", "config")}
    inside = [{key: value for key, value in each.items() if key not in shared} for each in specs]
    return shared | {"vconcat": inside, "spacing": gap, "resolve": {"scale": {"color": "independent"}}}


@cache
def script() -> str:
    """Vega, Vega-Lite and the embedding function, for one inline script element."""
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=_VEGA_LITE))


def save_png(spec: Spec, path: Path, *, scale: float = 2.0) -> None:
    """Draw a chart whose colours are plain values."""
    write_bytes(path, vl_convert.vegalite_to_png(spec, vl_version=_VEGA_LITE, scale=scale))


def save_svg(spec: Spec, path: Path) -> None:
    """As `save_png`, of lines that stay sharp."""
    write_text(path, vl_convert.vegalite_to_svg(spec, vl_version=_VEGA_LITE))


def titled(spec: Spec, *, title: str, subtitle: Sequence[str], style: Style) -> Spec:
    """The chart on paper, under a heading that says what it is and where it was measured."""
    heading = {
        "text": title,
        "subtitle": list(subtitle),
        "anchor": "start",
        "frame": "bounds",
        "fontSize": 18,
        "fontWeight": 600,
        "subtitleFontSize": 12,
        "subtitlePadding": 6,
        "offset": 16,
        "color": style.paint("ink"),
        "subtitleColor": style.paint("soft"),
    }
    return spec | {"title": heading, "background": style.paint("paper"), "padding": 20}


def _budget(style: Style) -> Iterable[alt.Chart]:
    line = {"strokeDash": [5, 4], "color": style.paint("accent"), "strokeWidth": 1.5, "clip": True}
    for channel, parameter in (("x", "limit"), ("y", "floor")):
        base = alt.Chart(_values([{}])).transform_calculate(at=parameter).transform_filter("isValid(datum.at)")
        yield base.mark_rule(**line).encode(**{channel: "at:Q"})


def _staircase(plane: Plane, style: Style) -> alt.Chart:
    steps = alt.Chart(_values({"x": x, "y": y} for x, y in plane.staircase))
    line = steps.mark_line(interpolate="step-after", color=style.paint("ink"), strokeWidth=1.25, opacity=0.5, clip=True)
    return line.encode(x=_x(plane), y=_y(plane))


def _intervals(plane: Plane, style: Style) -> Iterable[alt.Chart]:
    base = _base("points").encode(color=_colour(plane, style))
    mark = {"strokeWidth": 1.5, "opacity": 0.75, "clip": True}
    yield base.transform_filter("isValid(datum.x_low)").mark_rule(**mark).encode(x="x_low:Q", x2="x_high:Q", y="y:Q")
    yield base.transform_filter("isValid(datum.y_low)").mark_rule(**mark).encode(x="x:Q", y="y_low:Q", y2="y_high:Q")


def _points(plane: Plane, style: Style) -> Iterable[alt.Chart]:
    titles = [family.title for family in _families(plane)]
    shape = alt.Shape("family:N").scale(domain=titles, range=[family.shape for family in _families(plane)])
    base = _base("points").encode(
        x=_x(plane), y=_y(plane), color=_colour(plane, style), shape=shape, tooltip=_tooltip()
    )
    hollow = base.transform_filter("!datum.on_frontier")
    yield hollow.mark_point(size=62, strokeWidth=1.6, fill=style.paint("paper"), opacity=1)
    yield base.transform_filter("datum.on_frontier").mark_point(size=92, filled=True, opacity=1)


def _ring(plane: Plane, style: Style) -> alt.Chart:
    chosen = _base("points").transform_filter("datum.key === choice")
    ring = chosen.mark_point(shape="circle", size=300, stroke=style.paint("accent"), strokeWidth=2.25, opacity=1)
    return ring.encode(x=_x(plane), y=_y(plane))


def _rug(plane: Plane, style: Style) -> alt.Chart:
    tick = _base("ticks").mark_tick(orient="vertical", thickness=2, height=12, color=style.paint("other"))
    return tick.encode(x=_x(plane), y=alt.value(plane.height - 6), tooltip=_tooltip())


def _names(plane: Plane, style: Style) -> alt.Chart:
    base = alt.Chart(_values(map(vars, plane.names)))
    ink = style.paint("ink")
    mark = base.mark_text(align=alt.expr("datum.align"), baseline="middle", fontSize=plane.font, color=ink)
    return mark.encode(
        x=_x(plane), y=_y(plane), text="text:N", opacity=alt.condition("datum.strong", alt.value(1), alt.value(0.7))
    )


def _bar_names(base: alt.Chart, style: Style) -> alt.Chart:
    mark = base.mark_text(align="left", dy=-7, fontSize=11, limit=style.width - 70, color=style.paint("ink"))
    return mark.encode(x=alt.value(0), text="label:N")


def _x(plane: Plane) -> alt.X:
    axis = alt.Axis(values=round_ticks(plane.x_domain), format=",~g", tickSize=0, labelPadding=6)
    scale = alt.Scale(type="log", domain=list(plane.x_domain), nice=False)
    return alt.X("x:Q", title=plane.x_title).scale(scale).axis(axis)


def _y(plane: Plane) -> alt.Y:
    title = {"titleAngle": 0, "titleAlign": "left", "titleAnchor": "start", "titleX": -30, "titleY": -14}
    axis = alt.Axis(tickCount=6, domain=False, tickSize=0, **title)
    return alt.Y("y:Q", title=plane.y_title).scale(domain=list(plane.y_domain), nice=False, zero=False).axis(axis)


def round_ticks(domain: tuple[float, float]) -> list[float]:
    """1, 2 and 5 times powers of ten inside `domain`."""
    powers = range(math.floor(math.log10(domain[0])), math.ceil(math.log10(domain[1])) + 1)
    ticks = (float(f"{digit}e{power}") for power in powers for digit in (1, 2, 5))
    return [tick for tick in ticks if domain[0] <= tick <= domain[1]]


def _families(plane: Plane) -> Sequence[Any]:
    present = {point.family for point in plane.points}
    return [family for family in FAMILIES if family in present]


def _colour(plane: Plane, style: Style) -> alt.Color:
    families = _families(plane)
    colour = alt.Color("family:N")
    colour = colour.scale(domain=[f.title for f in families], range=[style.paint(f.tone) for f in families])
    return colour.legend(orient="top", title=None, columns=_columns(style), symbolSize=80, offset=30)


def _columns(style: Style) -> int:
    return max(2, style.width // 100)


def _bands() -> alt.Y:
    return alt.Y("key:N").sort(None).axis(None)


def _tooltip() -> list[alt.Tooltip]:
    return [alt.Tooltip(f"{note}:N") for note in NOTES]


def _base(data: str) -> alt.Chart:
    return alt.Chart(alt.NamedData(data))


def _datum(point: Point) -> dict[str, Any]:
    return vars(point) | {"family": point.family.title} | dict.fromkeys(NOTES, "") | dict(point.notes) | {"notes": None}


def _values(rows: Iterable[dict[str, Any]]) -> alt.Data:
    return alt.Data(values=list(rows))


def _on_axes(chart: alt.LayerChart, plane: Plane, style: Style) -> Spec:
    spec = _spec(chart.properties(width=plane.width, height=plane.height), style)
    return spec | {"datasets": {"points": list(map(_datum, plane.points)), "ticks": list(map(_datum, plane.cost_only))}}


def _bare(chart: alt.LayerChart, style: Style) -> Spec:
    return _spec(chart.properties(width=style.width, height=alt.Step(_BAND)), style)


def _spec(chart: alt.LayerChart, style: Style) -> Spec:
    soft, line = style.paint("soft"), style.paint("line")
    text = {"labelColor": soft, "titleColor": soft, "labelFontSize": 11, "titleFontSize": 12}
    lines = {"gridColor": style.paint("hair"), "domainColor": line, "tickColor": line}
    chart = chart.configure(font=FONT, background="transparent", padding=0).configure_view(stroke=None)
    chart = chart.configure_axis(**text, **lines, titleFontWeight="normal", titlePadding=10)
    chart = chart.configure_legend(labelColor=style.paint("ink"), labelFontSize=12, symbolOpacity=1)
    return dict(chart.to_dict(validate=False))
