"""Huang et al.'s Figure 2 from rows: accuracy against time, colors by backbone, shapes by architecture."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from paretodet.detectors.estimates import estimate
from paretodet.detectors.names import parse
from paretodet.frontier.pareto import pareto_frontier
from paretodet.frontier.values import MIXED, value
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import Measurement
from paretodet.report.charts import AXIS, plane_chart
from paretodet.report.drawing import Drawing, DrawingStyle
from paretodet.report.families import FAMILIES, DetectorFamily, family_of
from paretodet.report.figures import MIN_POINTS, PageFigure
from paretodet.report.formats import few, plural
from paretodet.report.scatter import LABEL_FONT, ScatterPlot, tradeoff_plane

BACKBONES = {  # as Huang et al. order them, by their accuracy on ImageNet
    "vgg16": DetectorFamily(title="VGG-16", prefixes=(), shape="square", tone="backbone-1"),
    "mobilenet_v1": DetectorFamily(title="MobileNet", prefixes=(), shape="square", tone="backbone-2"),
    "inception_v2": DetectorFamily(title="Inception V2", prefixes=(), shape="square", tone="backbone-3"),
    "resnet101": DetectorFamily(title="ResNet-101", prefixes=(), shape="square", tone="backbone-4"),
    "inception_v3": DetectorFamily(title="Inception V3", prefixes=(), shape="square", tone="backbone-5"),
    "inception_resnet_v2": DetectorFamily(title="Inception-ResNet V2", prefixes=(), shape="square", tone="backbone-6"),
}


def tradeoffs(rows: Sequence[Measurement], labels: Mapping[str, str]) -> PageFigure | None:
    """The figure of the rows of Huang et al.'s systems that have an AP and a latency.

    None if no AP is estimated, or if there are fewer than three such rows.
    """
    known = [row for row in rows if estimate(row.name) and not row.ap_measured and value(row, "ap")]
    timed = [row for row in known if row.latency_ms_p50]
    estimated = sum(estimate_of(row) is not None for row in timed)
    if not estimated or len(timed) < MIN_POINTS:
        return None
    return PageFigure(
        key="tradeoffs",
        title="Accuracy against time, as in Figure 2 of Huang et al. 2017",
        caption=_caption(timed, estimated, [labels[row.id] for row in known if not row.latency_ms_p50]),
        draw=lambda style: _chart(timed, labels, style),
        wide=True,
    )


def _caption(rows: Sequence[Measurement], estimated: int, untimed: Sequence[str]) -> str:
    missing = f" Not shown, because they have no latency: {few(untimed)}." if untimed else ""
    return (
        f"{plural(len(rows), 'row')}. The color is that of the backbone, the shape that of the architecture; labels "
        "say the rest of a name: side, stride and proposals. "
        f"{len(rows) - estimated} filled points have a published AP, {estimated} hollow ones an estimated AP; the bar "
        f"through a hollow point is its 90 % interval. The staircase joins the points that no other one beats.{missing}"
    )


def _chart(rows: Sequence[Measurement], labels: Mapping[str, str], style: DrawingStyle) -> Drawing:
    return plane_chart(_plane(rows, labels, style), style)


def _plane(rows: Sequence[Measurement], labels: Mapping[str, str], style: DrawingStyle) -> ScatterPlot:
    frontier = pareto_frontier(rows, split=MIXED, include_invalid=True)
    looks = {row.id: _look(row) for row in rows}
    short = {row.id: _rest(row, labels[row.id]) for row in rows}
    plane = tradeoff_plane(frontier, looks, short, width=style.width - AXIS, room_font=style.room_font(LABEL_FONT))
    shown = [family_of(row.name) for row in rows]
    shapes = (replace(family, tone="ink") for family in FAMILIES if family in shown)
    tones = {parse(row.name).backbone for row in rows}
    return replace(plane, key=(*shapes, *(look for name, look in BACKBONES.items() if name in tones)))


def _rest(row: Measurement, label: str) -> str:
    """The label without architecture and backbone: `600-s16-p300`."""
    part = parse(row.name)
    return label.removeprefix(f"{part.architecture}-{part.backbone}-")


def _look(row: Measurement) -> DetectorFamily:
    """The shape of the row's architecture in the color of its backbone."""
    backbone = parse(row.name).backbone
    assert backbone
    return replace(family_of(row.name), tone=BACKBONES[backbone].tone)
