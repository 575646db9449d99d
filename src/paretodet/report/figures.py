"""The page's figures beside the frontier: the four plots of the 2018 survey, and where time and memory go.

The survey compared AP50 with operations (area: parameters), listed AP50 a network, and divided AP50 by the millions of
parameters and by the billions of operations. Each figure leaves out the rows that have no number for it and says so;
fewer than three rows are told in a sentence, not drawn.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from paretodet.records.measurement import Measurement
from paretodet.report.charts import Bar, StagePart, bar_chart, bubble_chart, stage_chart
from paretodet.report.drawing import Drawing, DrawingStyle
from paretodet.report.families import family_of
from paretodet.report.formats import QUANTITIES, few, finite, listed, significant
from paretodet.report.scatter import work_plane

Labels = Mapping[str, str]
FEWEST = 3  # points of a plot


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """A titled chart; `draw` makes it at a style's width and is None where the caption tells all there is."""

    key: str
    title: str
    caption: str
    draw: Callable[[DrawingStyle], Drawing] | None
    plot: bool = False  # it has axes beside it

    @property
    def drawn(self) -> bool:
        return self.draw is not None


@dataclass(frozen=True, kw_only=True)
class PageSection:
    """Figures under one heading."""

    key: str
    title: str
    lead: str
    figures: tuple[PageFigure, ...]

    @property
    def drawn(self) -> list[PageFigure]:
        return [figure for figure in self.figures if figure.drawn]

    @property
    def sentences(self) -> list[tuple[str, str]]:
        """Titles and caption of what is not drawn; figures that say the same say it once."""
        by_caption: dict[str, list[str]] = {}
        for figure in self.figures:
            if not figure.drawn:
                by_caption.setdefault(figure.caption, []).append(figure.title)
        return [(listed(titles), caption) for caption, titles in by_caption.items()]


def survey(rows: Sequence[Measurement], labels: Labels) -> tuple[PageFigure, ...]:
    """The four plots of the 2018 survey; accuracy and work do not depend on timing, so every distinct row is here."""
    rows = _distinct(rows)
    parameters, flops = QUANTITIES["parameters"].of, QUANTITIES["flops"].of
    return (
        _work_figure(rows, labels),
        _ratio_figure("ap50", "AP50 of each network", rows, labels, lambda row: 1.0),
        _ratio_figure("ap50-parameters", "AP50 per million parameters", rows, labels, parameters),
        _ratio_figure("ap50-flops", "AP50 per GFLOP", rows, labels, flops),
    )


def timed(rows: Iterable[Measurement], *, provisional: bool) -> list[Measurement]:
    """The rows whose time and memory are shown: the usable ones, or all that have a time."""
    return [row for row in rows if row.usable or (provisional and row.validity != "error" and row.latency_ms_p50)]


def costs(rows: Sequence[Measurement], labels: Labels) -> tuple[PageFigure, ...]:
    """Where the time goes, stage by stage, and what memory is needed."""
    on_device = any(finite(row.memory_device_mib) for row in rows)
    device = (_device_figure(rows, labels),) if on_device else ()
    return (_stage_figure(rows, labels), _memory_figure(rows, labels), *device)


def _distinct(rows: Iterable[Measurement]) -> list[Measurement]:
    """One row for each name with the same accuracy and work, whatever it ran on."""
    return list({(row.name, row.ap50, row.parameters, row.flops): row for row in rows}.values())


def _figure(
    key: str,
    title: str,
    caption: str,
    *,
    told: Sequence[str],
    left_out: str,
    draw: Callable[[DrawingStyle], Drawing],
    plot: bool = False,
) -> PageFigure:
    """The chart, or, of fewer than three rows, what each of them has: `told`."""
    if len(told) >= FEWEST:
        return PageFigure(key=key, title=title, caption=caption + left_out, draw=draw, plot=plot)
    found = f"{'; '.join(told)}." if told else "no row has a number for it."
    return PageFigure(key=key, title=title, caption=found, draw=None, plot=plot)


def _work_figure(rows: Sequence[Measurement], labels: Labels) -> PageFigure:
    known = [row for row in rows if all(_positive(row, field) for field in ("ap50", "flops", "parameters"))]
    return _figure(
        "work",
        "AP50 against work",
        "The area of a disc is in proportion to the parameters. ",
        told=[_told(row, labels[row.id]) for row in known],
        left_out=_left_out(rows, known, labels),
        draw=lambda style: bubble_chart(work_plane(known, labels, width=style.width), style),
        plot=True,
    )


def _told(row: Measurement, label: str) -> str:
    numbers = listed([QUANTITIES[field].text(row) for field in ("flops", "parameters")])
    return f"{label}: AP50 {QUANTITIES['ap50'].text(row)} with {numbers}"


def _ratio_figure(
    key: str, title: str, rows: Sequence[Measurement], labels: Labels, by: Callable[[Measurement], float | None]
) -> PageFigure:
    pairs = [(row, (row.ap50 or 0.0) / amount) for row in rows if _positive(row, "ap50") and (amount := by(row))]
    bars = [
        Bar(
            key=row.id,
            label=labels[row.id],
            value=value,
            text=significant(value),
            tone=family_of(row.name).tone,
            note=f"{significant(value)} {title.removeprefix('AP50 ')}" if "per" in title else f"AP50 {value:.1f}",
        )
        for row, value in sorted(pairs, key=lambda pair: -pair[1])
    ]
    left_out = _left_out(rows, [row for row, _ in pairs], labels)
    told = [f"{bar.label}: {bar.text}" for bar in bars]
    return _figure(key, title, "", told=told, left_out=left_out, draw=lambda style: bar_chart(bars, style))


def _stage_figure(rows: Sequence[Measurement], labels: Labels) -> PageFigure:
    known = [row for row in rows if any(finite(value) for value in (row.stages_ms or {}).values())]
    known.sort(key=lambda row: row.latency_ms_p50 or 0.0)
    by_row = [_parts(row, labels[row.id]) for row in known]
    order = _stage_order(known)
    return _figure(
        "stages",
        "Where the time goes",
        "Shares of the time inside the network and after it, with the sum at the right. ",
        told=[_shares(parts) for parts in by_row],
        left_out=_left_out(rows, known, labels),
        draw=lambda style: stage_chart([part for parts in by_row for part in parts], order, style),
    )


def _shares(parts: Sequence[StagePart]) -> str:
    told = [f"{part.stage} {100 * share:.0f} %" for part in parts if (share := part.end - part.start) >= 0.005]
    return f"{parts[0].label}: {listed(told)} of {parts[0].total}"


def _parts(row: Measurement, label: str) -> list[StagePart]:
    stages = [(stage, value) for stage, ms in (row.stages_ms or {}).items() if (value := finite(ms)) is not None]
    whole, parts, start = sum(value for _, value in stages), [], 0.0
    for stage, value in stages:
        note = f"{significant(value)} ms, {100 * value / whole:.0f} %"
        total = f"{significant(whole)} ms"
        end = start + value / whole
        parts.append(StagePart(key=row.id, label=label, stage=stage, start=start, end=end, note=note, total=total))
        start = end
    return parts


def _stage_order(rows: Iterable[Measurement]) -> list[str]:
    """The order of the longest pipeline; stages that only others have follow."""
    pipelines = sorted((list(row.stages_ms or {}) for row in rows), key=len, reverse=True)
    return list(dict.fromkeys(stage for pipeline in pipelines for stage in pipeline))


def _memory_figure(rows: Sequence[Measurement], labels: Labels) -> PageFigure:
    caption = "Bars: peak while detecting. Marks: peak while loading. "
    return _bytes_figure("memory_infer_mib", "Memory of the process", caption, rows, labels, mark="memory_load_mib")


def _device_figure(rows: Sequence[Measurement], labels: Labels) -> PageFigure:
    caption = "Bars: peak of the process on the device. Marks: what was allocated of it. "
    return _bytes_figure(
        "memory_device_mib", "Memory of the device", caption, rows, labels, mark="memory_allocated_mib"
    )


def _bytes_figure(
    field: str, title: str, caption: str, rows: Sequence[Measurement], labels: Labels, *, mark: str
) -> PageFigure:
    known = sorted((row for row in rows if _positive(row, field)), key=QUANTITIES[field].of)  # type: ignore[arg-type]
    bars = [_bytes_bar(row, labels[row.id], field, mark) for row in known]
    return _figure(
        f"bytes-{field}",
        title,
        caption,
        told=[f"{bar.label}: {bar.note}" for bar in bars],
        left_out=_left_out(rows, known, labels),
        draw=lambda style: bar_chart(bars, style),
    )


def _bytes_bar(row: Measurement, label: str, field: str, mark: str) -> Bar:
    value, second, text = finite(getattr(row, field)), finite(getattr(row, mark)), QUANTITIES[field].text(row)
    note = text if second is None else f"{text}, mark at {significant(second)} MiB"
    tone = family_of(row.name).tone
    return Bar(key=row.id, label=label, value=value or 0.0, text=text, tone=tone, note=note, mark=second)


def _positive(row: Measurement, field: str) -> bool:
    return (finite(getattr(row, field)) or 0.0) > 0


def _left_out(rows: Sequence[Measurement], known: Sequence[Measurement], labels: Labels) -> str:
    """`Not here, having no number for it: a, b and 3 more.`, or nothing."""
    kept = {row.id for row in known}
    missing = [labels[row.id] for row in rows if row.id not in kept]
    return f"Not here, having no number for it: {few(missing)}." if missing else ""
