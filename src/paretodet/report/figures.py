"""The page's figures besides the frontier: the four plots of a 2018 survey, and how time and memory are spent.

The survey plotted AP50 against operations (area: parameters), AP50 for each network, and AP50 divided by millions of
parameters and by billions of operations. A figure leaves out the rows that lack its numbers and names them; with
fewer than three rows it is a sentence instead of a chart.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from paretodet.records.measurement import Measurement
from paretodet.report.charts import AXIS, Bar, StagePart, bar_chart, bubble_chart, stage_chart
from paretodet.report.drawing import Drawing, DrawingStyle
from paretodet.report.families import family_of
from paretodet.report.formats import QUANTITIES, few, finite, listed, significant
from paretodet.report.scatter import LABEL_FONT, work_plane

Labels = Mapping[str, str]
MIN_POINTS = 3  # of a chart


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """A titled chart of a style's width; `draw` is None if the caption says everything."""

    key: str
    title: str
    caption: str
    draw: Callable[[DrawingStyle], Drawing] | None
    wide: bool = False  # over both columns of the page

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
        """Titles and caption of the figures without a chart; figures with the same caption share one entry."""
        by_caption: dict[str, list[str]] = {}
        for figure in self.figures:
            if not figure.drawn:
                by_caption.setdefault(figure.caption, []).append(figure.title)
        return [(listed(titles), caption) for caption, titles in by_caption.items()]


def survey(rows: Sequence[Measurement], labels: Labels) -> tuple[PageFigure, ...]:
    """The four plots of the 2018 survey; they do not depend on timing, so rows of any validity are included.

    Measured and published accuracy are not shown together: the one that fewer rows have is left out.
    """
    rows = _distinct(_of_one_origin(rows))
    parameters, flops = QUANTITIES["parameters"].of, QUANTITIES["flops"].of
    return (
        _work_figure(rows, labels),
        _ratio_figure("ap50", "AP50 of each network", rows, labels, lambda row: 1.0),
        _ratio_figure("ap50-parameters", "AP50 per million parameters", rows, labels, parameters),
        _ratio_figure("ap50-flops", "AP50 per GFLOP", rows, labels, flops),
    )


def timed(rows: Iterable[Measurement], *, provisional: bool) -> list[Measurement]:
    """The rows whose time and memory are shown: the usable ones; if `provisional`, all that have a latency."""
    return [row for row in rows if row.usable or (provisional and row.validity != "error" and row.latency_ms_p50)]


def costs(rows: Sequence[Measurement], labels: Labels) -> tuple[PageFigure, ...]:
    """The time of every stage, and the memory."""
    on_device = any(finite(row.memory_device_mib) for row in rows)
    device = (_device_figure(rows, labels),) if on_device else ()
    return (_stage_figure(rows, labels), _memory_figure(rows, labels), *device)


def _of_one_origin(rows: Sequence[Measurement]) -> list[Measurement]:
    """The rows without AP50, and those with a measured or those with a published one, of which there are more."""
    scored = [row for row in rows if row.ap50 is not None]
    measured = 2 * sum(row.ap_measured for row in scored) >= len(scored)
    return [row for row in rows if row.ap50 is None or row.ap_measured == measured]


def _distinct(rows: Iterable[Measurement]) -> list[Measurement]:
    """One row for each name with the same accuracy and work, whatever it ran on."""
    return list({(row.name, row.ap50, row.parameters, row.flops): row for row in rows}.values())


def _figure(
    key: str,
    title: str,
    caption: str,
    *,
    texts: Sequence[str],
    left_out: str,
    draw: Callable[[DrawingStyle], Drawing],
) -> PageFigure:
    """The chart; for fewer than three rows, their `texts` instead."""
    if len(texts) >= MIN_POINTS:
        return PageFigure(key=key, title=title, caption=caption + left_out, draw=draw)
    sentence = f"{'; '.join(texts)}." if texts else "not available for any row."
    return PageFigure(key=key, title=title, caption=sentence, draw=None)


def _work_figure(rows: Sequence[Measurement], labels: Labels) -> PageFigure:
    known = [row for row in rows if all(_positive(row, field) for field in ("ap50", "flops", "parameters"))]
    return _figure(
        "work",
        "AP50 against work",
        "The area of a disc is in proportion to the parameters. ",
        texts=[_work_text(row, labels[row.id]) for row in known],
        left_out=_left_out(rows, known, labels),
        draw=lambda style: bubble_chart(
            work_plane(known, labels, width=style.width - AXIS, room_font=style.room_font(LABEL_FONT)), style
        ),
    )


def _work_text(row: Measurement, label: str) -> str:
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
    texts = [f"{bar.label}: {bar.text}" for bar in bars]
    return _figure(key, title, "", texts=texts, left_out=left_out, draw=lambda style: bar_chart(bars, style))


def _stage_figure(rows: Sequence[Measurement], labels: Labels) -> PageFigure:
    known = [row for row in rows if any(finite(value) for value in (row.stages_ms or {}).values())]
    known.sort(key=lambda row: row.latency_ms_p50 or 0.0)
    by_row = [_parts(row, labels[row.id]) for row in known]
    order = _stage_order(known)
    return _figure(
        "stages",
        "Time by stage",
        "The share of every stage in the latency; the sum of the stages is at the right. ",
        texts=[_shares(parts) for parts in by_row],
        left_out=_left_out(rows, known, labels),
        draw=lambda style: stage_chart([part for parts in by_row for part in parts], order, style),
    )


def _shares(parts: Sequence[StagePart]) -> str:
    shares = [f"{part.stage} {100 * share:.0f} %" for part in parts if (share := part.end - part.start) >= 0.005]
    return f"{parts[0].label}: {listed(shares)} of {parts[0].total}"


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
    """The stages of the longest pipeline in its order, then the stages that only others have."""
    pipelines = sorted((list(row.stages_ms or {}) for row in rows), key=len, reverse=True)
    return list(dict.fromkeys(stage for pipeline in pipelines for stage in pipeline))


def _memory_figure(rows: Sequence[Measurement], labels: Labels) -> PageFigure:
    caption = "Bars: peak during detection. Marks: peak during loading. "
    return _bytes_figure("memory_infer_mib", "Memory of the process", caption, rows, labels, mark="memory_load_mib")


def _device_figure(rows: Sequence[Measurement], labels: Labels) -> PageFigure:
    caption = "Bars: peak memory of the process on the device. Marks: the part that tensors used. "
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
        texts=[f"{bar.label}: {bar.note}" for bar in bars],
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
    """`Not shown, because the numbers are missing: a, b and 3 more.`; empty if no row is left out."""
    kept = {row.id for row in known}
    missing = [labels[row.id] for row in rows if row.id not in kept]
    return f"Not shown, because the numbers are missing: {few(missing)}." if missing else ""
