"""Scatter plots of accuracy against cost: points, intervals, axes and label positions."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from paretodet.frontier.pareto import Frontier, Member
from paretodet.frontier.values import MIXED, MIXED_AP, Columns, columns
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import Measurement
from paretodet.report.families import FAMILIES, DetectorFamily, family_of
from paretodet.report.formats import QUANTITIES, Quantity, accuracy, details, probability
from paretodet.report.frontier_wording import widened_latency
from paretodet.report.labels import Box, LabelRequest, place, shortened

MAX_LABEL = 44  # characters of a label beside a point
LABEL_FONT = 11.5  # px
TICK = 14  # px along the lower edge, kept free for rows without an accuracy
MAX_RADIUS = 17.0  # px of a disc
NOTES = ("Detector", "AP", "AP50", "Latency", "Memory", "Parameters", "Work", "Settings")


@dataclass(frozen=True, kw_only=True)
class Point:
    """One row; x and y in the units of the axes, `radius` in px for discs."""

    key: str
    label: str
    family: DetectorFamily
    x: float
    y: float | None
    x_low: float | None = None
    x_high: float | None = None
    y_low: float | None = None
    y_high: float | None = None
    estimated: bool = False  # y is not measured or published
    radius: float = 4.0
    on_frontier: bool = False
    filled: bool = False
    pale: bool = False


@dataclass(frozen=True, kw_only=True)
class PointLabel:
    """A label that has room: x and y in data units; labels of the frontier are `strong`."""

    key: str
    text: str
    x: float
    y: float
    align: str
    strong: bool


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Data units to px and back: logarithmic to the right, linear upwards, (0, 0) px at the top left."""

    x_domain: tuple[float, float]
    y_domain: tuple[float, float]
    width: int
    height: int

    def to_px(self, x: float, y: float) -> tuple[float, float]:
        """A value outside its domain is drawn on the border."""
        (left, right), (bottom, top) = self.x_domain, self.y_domain
        along = math.log(min(max(x, left), right) / left) / math.log(right / left)
        return along * self.width, (top - min(max(y, bottom), top)) / (top - bottom) * self.height

    def to_data(self, x: float, y: float) -> tuple[float, float]:
        (left, right), (bottom, top) = self.x_domain, self.y_domain
        return left * (right / left) ** (x / self.width), top - y / self.height * (top - bottom)


@dataclass(frozen=True, kw_only=True)
class ScatterPlot:
    """What a scatter plot shows, in data units; `width` and `height` in px."""

    points: tuple[Point, ...]
    cost_only: tuple[Point, ...]  # y is None
    staircase: tuple[tuple[float, float], ...]  # the frontier, from its first member to the right edge
    labels: tuple[PointLabel, ...]
    x_domain: tuple[float, float]
    y_domain: tuple[float, float]
    x_title: str
    y_title: str
    width: int
    height: int
    provisional: bool = False
    key: tuple[DetectorFamily, ...] = ()  # the entries of the legend

    @property
    def scale(self) -> Scale:
        return Scale(x_domain=self.x_domain, y_domain=self.y_domain, width=self.width, height=self.height)


def standings(frontier: Frontier, labels: Mapping[str, str]) -> list[tuple[Measurement, str, bool]]:
    """Every row of a frontier's plane, a text on whether it is on the frontier, and the same as a bool."""
    return [
        *((member.row, _standing(member), True) for member in frontier.members),
        *((beaten.row, f"no, beaten by {labels[beaten.by.id]}", False) for beaten in frontier.dominated),
        *((row, "no accuracy", False) for row in frontier.cost_only),
    ]


def frontier_plane(
    frontier: Frontier, labels: Mapping[str, str], *, width: int, room_font: float = LABEL_FONT
) -> ScatterPlot:
    """The plane of `frontier.cost` and `frontier.gain`, `width` px wide, without rows whose cost is 0.

    Labels get room for text of `room_font` px. Members of the frontier are filled. If an accuracy is estimated, every
    known one is filled instead, and the members are the points that are not pale.
    """
    cost, gain = QUANTITIES[frontier.cost], QUANTITIES[frontier.gain]
    slack = MIXED_AP if frontier.split == MIXED else 0.0
    standing = [(row, on) for row, _, on in standings(frontier, labels) if (cost.of(row) or 0.0) > 0]
    points = _points([row for row, _ in standing], cost, gain, labels, slack=slack)
    estimated = any(point.estimated for point in points)
    points = [
        replace(point, on_frontier=on, filled=not point.estimated if estimated else on, pale=estimated and not on)
        for point, (_, on) in zip(points, standing, strict=True)
    ]
    title = _gain_title(gain, frontier.split)
    plane = lay_out(points, cost.axis, title, width, room_font)
    return replace(plane, provisional=frontier.provisional)


def tradeoff_plane(
    frontier: Frontier,
    looks: Mapping[str, DetectorFamily],
    labels: Mapping[str, str],
    *,
    width: int,
    room_font: float = LABEL_FONT,
) -> ScatterPlot:
    """The same for rows that look as `looks` says, by row id: known accuracies are filled, estimated ones are not.

    Only the steps of the frontier have labels.
    """
    cost, gain = QUANTITIES[frontier.cost], QUANTITIES[frontier.gain]
    steps = {member.row.id for member in frontier.members if not member.tied}
    rows = [row for row, _, _ in standings(frontier, labels) if row.id in looks]
    points = [
        replace(
            point,
            family=looks[point.key],
            label=point.label if point.key in steps else "",
            on_frontier=point.key in steps,
            filled=not point.estimated,
        )
        for point in _points(rows, cost, gain, labels)
    ]
    return lay_out(points, cost.axis, _gain_title(gain, frontier.split), width, room_font)


def work_plane(
    rows: Sequence[Measurement], labels: Mapping[str, str], *, width: int, room_font: float = LABEL_FONT
) -> ScatterPlot:
    """AP50 against GFLOPs; the area of a point is in proportion to the parameters. `rows` must have all three."""
    cost, gain = QUANTITIES["flops"], QUANTITIES["ap50"]
    largest = max((row.parameters or 0 for row in rows), default=1)
    radii = [MAX_RADIUS * math.sqrt((row.parameters or 0) / largest) for row in rows]
    points = _points(rows, cost, gain, labels)
    sized = [replace(point, radius=radius) for point, radius in zip(points, radii, strict=True)]
    return lay_out(sized, cost.axis, "AP50 (%)", width, room_font)


def notes(row: Measurement, label: str) -> dict[str, str]:
    """The tooltip of a row, by title."""
    of_split = row.ap_split if row.ap is not None else estimate.split if (estimate := estimate_of(row)) else None
    split = f" ({of_split})" if of_split else ""
    texts = (
        label,
        accuracy(row) + split,
        accuracy(row, "ap50"),
        widened_latency(row),
        *(QUANTITIES[field].text(row) for field in ("memory_infer_mib", "parameters", "flops")),
        f"{row.runtime}, {row.precision}, {row.device}, batch {row.batch}",
    )
    return dict(zip(NOTES, texts, strict=True)) | details(row)


def _points(
    rows: Sequence[Measurement], cost: Quantity, gain: Quantity, labels: Mapping[str, str], *, slack: float = 0.0
) -> list[Point]:
    gains = columns(rows, gain.field, slack=slack)
    across, up = _ends(columns(rows, cost.field), cost.scale), _ends(gains, gain.scale)
    heights = [None if math.isnan(point) else point / gain.scale for point in gains.point.tolist()]
    return [
        Point(
            key=row.id,
            label=labels[row.id],
            family=family_of(row.name),
            x=cost.of(row) or math.nan,
            y=y,
            x_low=x_low,
            x_high=x_high,
            y_low=y_low,
            y_high=y_high,
            estimated=gain.field == "ap" and estimate_of(row) is not None,
        )
        for row, y, (x_low, x_high), (y_low, y_high) in zip(rows, heights, across, up, strict=True)
    ]


def _ends(column: Columns, scale: float) -> list[tuple[float, float] | tuple[None, None]]:
    """The ends of every row's interval; (None, None) for a row that has none."""
    pairs = zip((column.low / scale).tolist(), (column.high / scale).tolist(), strict=True)
    return [(low, high) if low < high else (None, None) for low, high in pairs]


def _standing(member: Member) -> str:
    return f"yes, with probability {probability(member.probability)}" + (
        ", tied within intervals" if member.tied else ""
    )


def _gain_title(gain: Quantity, split: str | None) -> str:
    return f"{gain.title} (%, {'splits mixed' if split == MIXED else split})" if split else f"{gain.title} (%)"


def lay_out(plotted: Sequence[Point], x_title: str, y_title: str, width: int, room_font: float) -> ScatterPlot:
    """The plot of points, `width` px wide, with its domains, its staircase and the labels that have room."""
    points, cost_only = [p for p in plotted if p.y is not None], [p for p in plotted if p.y is None]
    height = round(min(520, max(300, width * 0.56)))
    x_domain = _log_domain([x for p in plotted for x in (p.x, p.x_low, p.x_high) if x and x > 0])
    y_domain = _linear_domain([y for p in points for y in (p.y, p.y_low, p.y_high) if y is not None])
    scale = Scale(x_domain=x_domain, y_domain=y_domain, width=width, height=height)
    stairs = _staircase(points, x_domain[1])
    return ScatterPlot(
        points=tuple(points),
        cost_only=tuple(cost_only),
        staircase=stairs,
        labels=place_labels(points, scale, room_font, stairs, TICK if cost_only else 0),
        x_domain=x_domain,
        y_domain=y_domain,
        x_title=x_title,
        y_title=y_title,
        width=width,
        height=height,
        key=tuple(family for family in FAMILIES if any(point.family == family for point in points)),
    )


def _log_domain(values: Sequence[float]) -> tuple[float, float]:
    """The range of `values` > 0 with a margin of 7 % on either side, at least a factor of two wide."""
    low, high = min(values, default=1.0), max(values, default=10.0)
    margin = max((high / low) ** 0.07, math.sqrt(2 * low / high) if high < 2 * low else 1.0)
    return low / margin, high * margin


def _linear_domain(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values, default=0.0), max(values, default=100.0)
    margin = max(0.08 * (high - low), 1.0)
    if high < -low:  # costs with a minus sign
        return low - margin, max(high, min(0.0, high + margin))
    return max(0.0, low - margin), high + margin


def _staircase(points: Sequence[Point], right: float) -> tuple[tuple[float, float], ...]:
    """The best accuracy at every cost: the members that raise it, then level to the right edge."""
    steps: list[tuple[float, float]] = []
    for point in sorted((p for p in points if p.on_frontier and p.y is not None), key=lambda p: (p.x, -(p.y or 0.0))):
        if point.y is not None and (not steps or point.y > steps[-1][1]):
            steps.append((point.x, point.y))
    return (*steps, (right, steps[-1][1])) if steps else ()


def place_labels(
    points: Sequence[Point], scale: Scale, font: float, stairs: Sequence[tuple[float, float]], foot: float
) -> tuple[PointLabel, ...]:
    """The labels that have room beside their points, `foot` px above the lower edge; those of the frontier first."""
    ranked = sorted((p for p in points if p.y is not None), key=lambda p: (not p.on_frontier, -(p.y or 0.0)))
    requests = [_request(point, scale) for point in ranked]
    obstacles = [box for p, request in zip(ranked, requests, strict=True) for box in _covered(p, request, scale)]
    obstacles += _lines([scale.to_px(*corner) for corner in stairs])
    named = [request for request in requests if request.text]
    placed = place(named, size=(scale.width, scale.height - foot), font=font, obstacles=obstacles)
    strong = {point.key for point in points if point.on_frontier}
    return tuple(
        PointLabel(key=label.key, text=label.text, x=x, y=y, align=label.align, strong=label.key in strong)
        for label in placed
        for x, y in (scale.to_data(label.x, label.y),)
    )


def _request(point: Point, scale: Scale) -> LabelRequest:
    x, y = scale.to_px(point.x, point.y or 0.0)
    text = shortened(point.label, MAX_LABEL)
    return LabelRequest(key=point.key, text=text, x=x, y=y, radius=point.radius)


def _covered(point: Point, request: LabelRequest, scale: Scale) -> tuple[Box, ...]:
    """The point's symbol and its two error bars; the long bar of an estimate may be covered."""
    x, y, r = request.x, request.y, request.radius + 1
    x_low, x_high = (scale.to_px(v or point.x, point.y or 0.0)[0] for v in (point.x_low, point.x_high))
    y_low, y_high = (scale.to_px(point.x, v or point.y or 0.0)[1] for v in (point.y_low, point.y_high))
    symbol = Box(left=x - r, top=y - r, right=x + r, bottom=y + r)
    bars = (
        Box(left=x_low, top=y - 1, right=x_high, bottom=y + 1),
        Box(left=x - 1, top=y_high, right=x + 1, bottom=y_low),
    )
    return (symbol, *(bars[:1] if point.estimated else bars))


def _lines(corners: Sequence[tuple[float, float]]) -> list[Box]:
    """The horizontal and vertical lines of a staircase."""
    boxes = []
    for (x, y), (next_x, next_y) in pairwise(corners):
        boxes.append(Box(left=x, top=y - 1, right=next_x, bottom=y + 1))
        boxes.append(Box(left=next_x - 1, top=next_y, right=next_x + 1, bottom=y))
    return boxes
