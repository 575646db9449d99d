"""The chart of a search: marks that the page's script moves, as they stand at the end, and the frontier's staircase."""

from collections.abc import Sequence

from paretodet.report.charts import on_axes, symbol
from paretodet.report.drawing import Attributes, Drawing, DrawingStyle, at, element, group, legend, points, stacked
from paretodet.report.families import FAMILIES
from paretodet.report.scatter import LABEL_FONT, Point, ScatterPlot

# What a mark is; the style sheet of the page gives each its look.
HIDDEN, BEATEN, OPEN, OFF, MEMBER = range(5)
ANCHORS = {"left": "start", "center": "middle", "right": "end"}


def search_chart(plane: ScatterPlot, keys: Sequence[str], style: DrawingStyle) -> Drawing:
    """A mark for every point, in the order of `keys`; the script sets their places, looks and labels."""
    by_key = {point.key: point for point in plane.points}
    drawn = [by_key[key] for key in keys]
    families = [family for family in FAMILIES if any(point.family == family for point in drawn)]
    entries = [(family.title, symbol(family, 62, fill=style.paint(family.tone))) for family in families]
    stairs = points(stairs_of(plane, [_px(point, plane) for point in drawn if point.on_frontier]))
    line: Attributes = {"stroke": style.paint("ink"), "stroke_width": 1.25, "fill": "none", "opacity": 0.5}
    inside = (
        element("polyline", class_="staircase", points=stairs, **line),
        *(_mark(point, plane, style) for point in drawn),
        *_labels(plane, style),
    )
    return stacked([legend(entries, style), on_axes(plane, style, inside)], gap=0)


def stairs_of(plane: ScatterPlot, places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of the staircase over members at these places in px, to the right edge."""
    corners: list[tuple[float, float]] = []
    for x, y in sorted(places, key=lambda place: (place[0], place[1])):
        if not corners or y < corners[-1][1]:
            corners += [(x, corners[-1][1]), (x, y)] if corners else [(x, y)]
    return [*corners, (float(plane.width), corners[-1][1])] if corners else []


def _mark(point: Point, plane: ScatterPlot, style: DrawingStyle) -> str:
    x, y = _px(point, plane)
    tone = style.paint(point.family.tone)
    area = 92 if point.on_frontier else 62
    ends = [plane.scale.to_px(end or point.x, plane.y_domain[0])[0] for end in (point.x_low, point.x_high)]
    bar = element("path", class_="interval", d=f"M{ends[0]:.1f} {y:.1f}H{ends[1]:.1f}")
    shape = symbol(point.family, area, class_="point", transform=at(x, y))
    kind = MEMBER if point.on_frontier else OFF if point.x_low is not None else BEATEN
    guess = "" if point.estimated else None
    return group(
        [bar, shape], class_=f"mark kind-{kind}", data_key=point.key, data_estimated=guess, stroke=tone, fill=tone
    )


def _labels(plane: ScatterPlot, style: DrawingStyle) -> Sequence[str]:
    """The labels of members, which the script shows while they are members."""
    return [
        element(
            "text",
            label.text,
            class_="label",
            data_of=label.key,
            x=x,
            y=y + 0.34 * LABEL_FONT,
            text_anchor=ANCHORS[label.align],
            font_size=LABEL_FONT,
            fill=style.paint("ink"),
        )
        for label in plane.labels
        if label.strong
        for x, y in (plane.scale.to_px(label.x, label.y),)
    ]


def _px(point: Point, plane: ScatterPlot) -> tuple[float, float]:
    return plane.scale.to_px(point.x, plane.y_domain[0] if point.y is None else point.y)
