"""Draws Figures 2 and 6 (the time half) to 10 of Huang et al. 2017 from measured rows, and compares stated ratios.

    python scripts/draw_huang.py results/2026-11-21-intel-xeon-2-cores-systems.jsonl

writes `docs/huang-figure-{2,6,7,8,9,10}.png` and prints the table of `docs/systems.md`. The axes follow the captions of
the paper's figures; the marks do not. The AP of Figure 2 is estimated where none was published.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import altair as alt

from paretodet.detectors.names import DetectorName, parse
from paretodet.frontier.row_labels import row_labels
from paretodet.records.measurement import Measurement
from paretodet.report import charts
from paretodet.report.drawing import FONT, DrawingStyle, titled
from paretodet.report.formats import significant
from paretodet.report.theme import LIGHT
from paretodet.report.tradeoffs import tradeoffs
from paretodet.report.wording import machines
from paretodet.sweep.read import complete_rows, read_rows
from vegalite import save_png

DOCS = Path(__file__).resolve().parents[1] / "docs"
METAS = {"ssd": "SSD", "faster_rcnn": "Faster R-CNN", "rfcn": "R-FCN"}
BACKBONES = {
    "mobilenet_v1": "MobileNet",
    "inception_v2": "Inception V2",
    "inception_v3": "Inception V3",
    "vgg16": "VGG-16",
    "resnet101": "ResNet-101",
    "inception_resnet_v2": "Inception-ResNet V2",
}
TONES = ("#0072b2", "#3a9bd0", "#00875f", "#a6761d", "#d55e00", "#b0448a")
SHAPES = ("circle", "triangle-up", "square")
OPACITY = alt.condition("datum.steady", alt.value(0.9), alt.value(0.4))
TIME, MEMORY, WORK = "CPU time per image, ms", "Memory during detection, MiB", "Work per image, GFLOPs"


def read(path: str) -> list[dict[str, Any]]:
    """The rows of the paper's three meta-architectures, of any validity but errors, as flat dictionaries."""
    return [flat(row, parse(row.name)) for row in read_rows(path) if row.name.split("-")[0] in METAS and not row.error]


def flat(row: Measurement, name: DetectorName) -> dict[str, Any]:
    stride = f", stride {name.output_stride}" if name.output_stride == 8 else ""
    return {
        "meta": METAS[name.architecture],
        "backbone": BACKBONES[name.backbone or ""],
        "label": BACKBONES[name.backbone or ""] + stride,
        "side": row.height,
        "stride": name.output_stride,
        "proposals": row.proposals,
        "ms": row.latency_ms_p50,
        "low": row.latency_ms_p50_low,
        "high": row.latency_ms_p50_high,
        "mib": row.memory_infer_mib,
        "gflops": (row.flops or 0) / 1e9,
        "steady": row.usable and row.validity != "noisy",
    }


def figure_6(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """Time against the number of proposals, 600 px."""
    swept = [r for r in rows if r["side"] == 600 and r["proposals"] and r["stride"] != 8]
    line = alt.Chart(values(swept)).mark_line(point=alt.OverlayMarkDef(filled=True, size=55), strokeWidth=2)
    line = line.encode(
        x=alt.X("proposals:Q", title="Proposals")
        .scale(type="log", domain=[9, 330])
        .axis(values=[10, 20, 50, 100, 300]),
        y=alt.Y("ms:Q", title=TIME).scale(type="log"),
        color=color(swept),
    ).properties(width=300, height=300)
    return line.facet(column=alt.Column("meta:N", title=None, sort=list(METAS.values())))


def figure_7(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """Time of each model at 300 px."""
    return bars(default(rows), "ms", TIME)


def figure_8(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """Work against time."""
    return scatter(rows, ("gflops", WORK), ("ms", TIME))


def figure_9(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """Memory of each model at 300 px."""
    return bars(default(rows), "mib", MEMORY)


def figure_10(rows: Sequence[dict[str, Any]]) -> alt.Chart:
    """Memory against time."""
    return scatter(rows, ("mib", MEMORY), ("ms", TIME))


def default(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows at 300 px, with 300 proposals if they have proposals."""
    return [r for r in rows if r["side"] == 300 and r["proposals"] in (None, 300)]


def bars(rows: Sequence[dict[str, Any]], field: str, title: str) -> alt.Chart:
    labels = sorted({r["label"] for r in rows}, key=lambda label: min(r[field] for r in rows if r["label"] == label))
    base = alt.Chart(values(rows)).encode(y=alt.Y("label:N", title=None, sort=labels))
    bar = base.mark_bar(height=12).encode(
        x=alt.X(f"{field}:Q", title=title), color=color(rows).legend(None), opacity=OPACITY
    )
    text = base.transform_calculate(text=f"format(datum.{field}, ',.3r')").mark_text(align="left", dx=4, fontSize=11)
    text = text.encode(x=f"{field}:Q", text="text:N")
    layered = alt.layer(bar, text).properties(width=260, height=alt.Step(22))
    return layered.facet(column=alt.Column("meta:N", title=None, sort=list(METAS.values())))


def scatter(rows: Sequence[dict[str, Any]], x: tuple[str, str], y: tuple[str, str]) -> alt.Chart:
    shape = alt.Shape("meta:N", title=None).scale(domain=list(METAS.values()), range=list(SHAPES))
    base = alt.Chart(values(rows)).mark_point(size=70, filled=True)
    return base.encode(
        x=alt.X(f"{x[0]}:Q", title=x[1]).scale(type="log", zero=False),
        y=alt.Y(f"{y[0]}:Q", title=y[1]).scale(type="log", zero=False),
        color=color(rows),
        shape=shape,
        opacity=OPACITY,
    ).properties(width=560, height=380)


def color(rows: Iterable[dict[str, Any]]) -> alt.Color:
    present = {r["backbone"] for r in rows}
    pairs = [pair for pair in zip(BACKBONES.values(), TONES, strict=True) if pair[0] in present]
    return alt.Color("backbone:N", title=None).scale(domain=[p[0] for p in pairs], range=[p[1] for p in pairs])


def values(rows: Sequence[dict[str, Any]]) -> alt.Data:
    return alt.Data(values=list(rows))


def with_theme(chart: alt.Chart, title: str) -> dict[str, Any]:
    """The chart's Vega-Lite specification with a title, fonts and colors."""
    text = {"labelColor": LIGHT["soft"], "titleColor": LIGHT["soft"], "titleFontWeight": "normal"}
    chart = chart.configure(font=FONT, background=LIGHT["paper"], padding=20).configure_view(stroke=None)
    chart = chart.configure_axis(**text, gridColor=LIGHT["hair"], domainColor=LIGHT["line"], tickColor=LIGHT["line"])
    chart = chart.configure_title(anchor="start", fontSize=16, offset=14, color=LIGHT["ink"])
    chart = chart.configure_legend(labelColor=LIGHT["ink"], symbolOpacity=1)
    chart = chart.configure_header(labelFontSize=13, labelColor=LIGHT["ink"])
    return dict(chart.properties(title=title).to_dict(validate=False))


def ratio(rows: Sequence[dict[str, Any]], over: dict[str, Any], under: dict[str, Any]) -> dict[str, float]:
    """Time with the settings `over` divided by the time with `under`, for every model measured with both."""
    keys = ("meta", "backbone", "side", "stride", "proposals")
    free = [key for key in keys if key not in over]

    def times(settings: dict[str, Any]) -> dict[tuple[Any, ...], float]:
        matching = (r for r in rows if all(r[key] == value for key, value in settings.items()))
        return {tuple(r[key] for key in free): r["ms"] for r in matching}

    top, bottom = times(over), times(under)
    return {label(dict(zip(free, key, strict=True))): top[key] / bottom[key] for key in top if key in bottom}


def label(parts: dict[str, Any]) -> str:
    described = {"side": "{} px", "stride": "stride {}", "proposals": "{} proposals"}
    return " ".join(described.get(k, "{}").format(v) for k, v in parts.items() if v is not None)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The ratios of time that the paper states, beside the measured ones, in Markdown."""
    lines = ["| Ratio | Paper (GPU) | Measured (CPU), mean | Measured, by model |", "|---|---|---|---|"]
    both = ("Faster R-CNN", "R-FCN")
    ratios: list[tuple[str, str, Callable[[], dict[str, float]]]] = [
        ("stride 8 over stride 16", "1.63", lambda: ratio(rows, {"stride": 8}, {"stride": 16})),
        ("300 px over 600 px", "0.726", lambda: ratio(rows, {"side": 300}, {"side": 600})),
        *(
            (
                f"50 over 300 proposals, {meta}",
                "1/3 with Inception-ResNet V2" if meta == both[0] else "near 1",
                lambda meta=meta: ratio(rows, {"proposals": 50, "meta": meta}, {"proposals": 300, "meta": meta}),
            )
            for meta in both
        ),
    ]
    for name, paper, measured in ratios:
        by_model = measured()
        mean = f"{fmean(by_model.values()):.2f} of {len(by_model)}" if by_model else "not measured"
        detail = "; ".join(f"{model} {value:.2f}" for model, value in sorted(by_model.items()))
        lines.append(f"| {name} | {paper} | {mean} | {detail} |")
    return "\n".join(lines)


def times(rows: Sequence[dict[str, Any]]) -> str:
    """Every row, in Markdown."""
    lines = ["| Model | px | Stride | Proposals | ms | GFLOPs | MiB |", "|---|---|---|---|---|---|---|"]
    order = product(METAS.values(), BACKBONES.values())
    places = {pair: place for place, pair in enumerate(order)}
    for r in sorted(
        rows, key=lambda r: (places[r["meta"], r["backbone"]], r["side"], r["stride"] or 0, r["proposals"] or 0)
    ):
        shown = [
            r["side"],
            r["stride"] or "",
            r["proposals"] or "",
            *(significant(r[f]) for f in ("ms", "gflops", "mib")),
        ]
        lines.append(f"| {r['meta']} {r['backbone']} | " + " | ".join(map(str, shown)) + " |")
    return "\n".join(lines)


def draw_figure_2(path: str) -> None:
    rows = complete_rows(path, read_rows(path, estimates=True))
    figure, style = tradeoffs(rows, row_labels(rows)), DrawingStyle(width=860, paint=LIGHT.__getitem__)
    assert figure and figure.draw
    title, subtitle = "Figure 2: AP, published (filled) or estimated, and CPU time", "; ".join(machines(rows))
    drawn = titled(figure.draw(style), title=title, subtitle=[subtitle], style=style)
    charts.save_png(drawn, DOCS / "huang-figure-2.png")


def main() -> None:
    draw_figure_2(sys.argv[1])
    rows = read(sys.argv[1])
    for number, (draw, title) in enumerate(
        (
            (figure_6, "Figure 6, time: the number of proposals, 600 px"),
            (figure_7, "Figure 7: CPU time at 300 px"),
            (figure_8, "Figure 8b: work and CPU time"),
            (figure_9, "Figure 9: memory at 300 px"),
            (figure_10, "Figure 10b: memory and CPU time"),
        ),
        6,
    ):
        save_png(with_theme(draw(rows), title), DOCS / f"huang-figure-{number}.png")
    print(table(rows), times(rows), sep="\n\n")


if __name__ == "__main__":
    main()
