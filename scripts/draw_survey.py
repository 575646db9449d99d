"""Draws the four plots of the 2018 survey from this project's counts beside the survey's values.

    python scripts/draw_survey.py

writes `docs/survey-{work,ap50,parameters,operations}.png` and prints the survey's table of `docs/systems.md`. The
survey has no table; its values were read from its plots (operations within 0.3 G, parameters from the disc areas).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt

from paretodet.detectors.catalogue import DetectorEntry, entries, published
from paretodet.report import charts, drawing
from paretodet.report.charts import Bar, bar_chart
from paretodet.report.drawing import FONT, Drawing, DrawingStyle
from paretodet.report.families import family_of
from paretodet.report.formats import significant
from paretodet.report.theme import LIGHT
from vegalite import save_png, titled

DOCS = Path(__file__).resolve().parents[1] / "docs"
STYLE = DrawingStyle(width=620, paint=LIGHT.__getitem__)
SUBTITLE = "Bars: counts of this project. Ticks: values of the survey."


@dataclass(frozen=True, kw_only=True)
class Surveyed:
    """A detector of the survey: the name here, the values that the survey plotted, and why the two differ."""

    name: str
    title: str
    ap50: float
    parameters: float  # millions
    operations: float  # G
    reason: str


SAME = "equal within the precision of the plot"
SURVEY = (
    Surveyed(name="yolo_v2-darknet19-416", title="YOLO v2 416", ap50=44.0, parameters=67.2, operations=34.9,
             reason="the survey counted the definition of 2016, `yolo_v2_2016-darknet19-416` (67.45 M, 35.00 G), of "
                    "which 44.0 was published, at an unstated size"),
    Surveyed(name="yolo_v2-darknet19-608", title="YOLO v2 608", ap50=48.1, parameters=67.2, operations=74.6,
             reason="as at 416: 2016's has 67.45 M and 74.77 G, while 48.1 was published of the current one"),
    Surveyed(name="yolo_v3_tiny-416", title="YOLO v3-tiny", ap50=33.1, parameters=8.9, operations=5.5, reason=SAME),
    Surveyed(name="yolo_v3-darknet53-320", title="YOLO v3 320", ap50=51.5, parameters=62.0, operations=39.0,
             reason=SAME),
    Surveyed(name="yolo_v3-darknet53-416", title="YOLO v3 416", ap50=55.3, parameters=62.0, operations=65.9,
             reason=SAME),
    Surveyed(name="yolo_v3-darknet53-608", title="YOLO v3 608", ap50=57.9, parameters=62.0, operations=140.8,
             reason=SAME),
    Surveyed(name="ssd_liu-vgg16-300", title="SSD300", ap50=41.2, parameters=35.0, operations=70.8,
             reason="six default boxes on conv4_3 give 35.09 M and 70.98 G; the published network has four"),
    Surveyed(name="ssd_liu-vgg16-512", title="SSD512", ap50=46.5, parameters=36.7, operations=203.3,
             reason="six default boxes on conv4_3 give 36.82 M and 203.68 G; the published network has four"),
    Surveyed(name="retinanet-resnet101-800", title="RetinaNet", ap50=59.1, parameters=37.4, operations=297.8,
             reason="the survey counted a ResNet-50 whose pyramid has two smoothing convolutions (37.38 M, 297.65 G); "
                    "59.1 is a ResNet-101's after longer training with scale jitter, 57.5 without"),
    Surveyed(name="faster_rcnn_ren-vgg16-600x850-p300", title="Faster R-CNN", ap50=42.7, parameters=131.0,
             operations=344.0,
             reason="300 proposals cost 396.3 G, 393.2 with pooling that rounds down; 344 is reached with 85 to 100 of "
                    "them. 131 M may be 138.3 M floats in units of 2^20"),
    Surveyed(name="mask_rcnn-resnet101-800x1024", title="Mask R-CNN", ap50=58.0, parameters=64.1, operations=672.2,
             reason="58.0 is the AP50 of the masks, that of the boxes is 60.3; 64.16 M is a Keras version's with a "
                    "wider proposal head; 672 G was not reproduced (636.7 G for that version with 1000 proposals)"),
)  # fmt: skip


def ours() -> dict[str, DetectorEntry]:
    return {entry.name: entry for entry in entries()}


def ap50(entry: DetectorEntry) -> float:
    """The published AP50 on test-dev, else the first published AP50."""
    known = [source for source in published(entry.name) if source.ap50 is not None]
    known.sort(key=lambda source: source.split != "test-dev")
    return known[0].ap50 or 0.0 if known else 44.0  # YOLO v2 416: Redmon and Farhadi 2017 do not state the size


def bars(value: Any, theirs: Any, note: str) -> list[Bar]:
    bars = []
    for surveyed in SURVEY:
        number = value(ours()[surveyed.name])
        bars.append(
            Bar(key=surveyed.name, label=surveyed.title, value=number, mark=theirs(surveyed), text=significant(number),
                tone=family_of(surveyed.name).tone, note=note)
        )  # fmt: skip
    return sorted(bars, key=lambda bar: -bar.value)


def work() -> dict[str, Any]:
    """AP50 against operations; areas are parameters. Discs: this project; rings: the survey; lines connect them."""
    rows, links = [], []
    for surveyed in SURVEY:
        entry = ours()[surveyed.name]
        mine = {"title": surveyed.title, "x": entry.flops / 1e9, "y": ap50(entry), "size": entry.parameters / 1e6,
                "tone": LIGHT[family_of(surveyed.name).tone], "who": "ours"}  # fmt: skip
        survey = mine | {"x": surveyed.operations, "y": surveyed.ap50, "size": surveyed.parameters, "who": "survey"}
        rows += [mine, survey]
        links.append({"x": mine["x"], "y": mine["y"], "x2": survey["x"], "y2": survey["y"], "tone": mine["tone"]})
    x = (
        alt.X("x:Q", title="GFLOPs per image (a multiply-add counts as 2)")
        .scale(type="log", domain=[4, 1100])
        .axis(values=[5, 10, 20, 50, 100, 200, 500, 1000])
    )
    y = alt.Y("y:Q", title="AP50, %").scale(domain=[30, 64])
    color = alt.Color("tone:N").scale(None).legend(None)
    size = alt.Size("size:Q").scale(domain=[0, 140], range=[0, 1400]).legend(None)
    base = alt.Chart(alt.Data(values=rows)).encode(x=x, y=y, color=color, size=size)
    filled = base.transform_filter("datum.who === 'ours'").mark_circle(opacity=0.6)
    rings = base.transform_filter("datum.who === 'survey'").mark_point(strokeWidth=1.6, filled=False)
    link = (
        alt.Chart(alt.Data(values=links))
        .mark_rule(strokeDash=[3, 3])
        .encode(x=x, y=y, x2="x2:Q", y2="y2:Q", color=color)
    )
    names = (
        alt.Chart(alt.Data(values=[row for row in rows if row["who"] == "ours"]))
        .mark_text(dy=-22, fontSize=11, color=LIGHT["ink"])
        .encode(x=x, y=y, text="title:N")
    )
    chart = alt.layer(link, filled, rings, names).properties(width=STYLE.width, height=380)
    chart = chart.configure(font=FONT, background=LIGHT["paper"], padding=20).configure_view(stroke=None)
    chart = chart.configure_axis(gridColor=LIGHT["hair"], labelColor=LIGHT["soft"], titleFontWeight="normal")
    return dict(chart.to_dict(validate=False))


def table() -> str:
    """The counts here, the published AP50 and the survey's values, in Markdown."""
    lines = [
        "| Name | Parameters | GFLOPs | AP50 published | Survey: M parameters, GFLOPs, AP50 | Why they differ |",
        "|---|---|---|---|---|---|",
    ]
    for surveyed in SURVEY:
        entry = ours()[surveyed.name]
        lines.append(
            f"| `{surveyed.name}` | {entry.parameters:,} | {entry.flops / 1e9:.2f} | {ap50(entry)} | "
            f"{surveyed.parameters}, {surveyed.operations}, {surveyed.ap50} | {surveyed.reason} |"
        )
    return "\n".join(lines)


def main() -> None:
    def draw(key: str, title: str, bars: Drawing, line: str) -> None:
        chart = drawing.titled(bars, title=title, subtitle=[line], style=STYLE)
        charts.save_png(chart, DOCS / f"survey-{key}.png", scale=1.5)

    discs = ["Discs: this project. Rings: the survey. Areas are in proportion to parameters."]
    save_png(titled(work(), title="AP50 against work", subtitle=discs), DOCS / "survey-work.png")
    draw("ap50", "AP50 of each network", bar_chart(bars(ap50, lambda s: s.ap50, "AP50"), STYLE),
         "Bars: published, test-dev. Ticks: values of the survey.")  # fmt: skip
    draw(
        "parameters",
        "AP50 per million parameters",
        bar_chart(bars(lambda e: ap50(e) / (e.parameters / 1e6), lambda s: s.ap50 / s.parameters, "AP50 per M"), STYLE),
        SUBTITLE,
    )
    draw(
        "operations",
        "AP50 per GFLOP",
        bar_chart(bars(lambda e: ap50(e) / (e.flops / 1e9), lambda s: s.ap50 / s.operations, "AP50 per GFLOP"), STYLE),
        SUBTITLE,
    )
    print(table())


if __name__ == "__main__":
    main()
