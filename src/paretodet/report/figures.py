"""The page's figures beside the frontier: the four plots of the 2018 survey, and where time and memory go.

The survey compared AP50 with operations (area: parameters), listed AP50 a network, and divided AP50 by the millions of
parameters and by the billions of operations. Each figure leaves out the rows that have no number for it and says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from paretodet.bench.record import Measurement
from paretodet.report.charts import Bar, Part, Spec, Style, bar_chart, bubble_chart, stage_chart
from paretodet.report.families import family_of
from paretodet.report.formats import QUANTITIES, finite, listed, plural, significant
from paretodet.report.plane import work_plane

Labels = Mapping[str, str]
AXIS = 48  # px that an axis with its labels takes beside a plot
_NAMED = 6  # rows that a caption names one by one


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A titled chart; `draw` makes it at a style's width and is None where there is nothing to draw."""

    key: str
    title: str
    caption: str
    draw: Callable[[Style], Spec] | None
    beside: int = 0  # px that an axis takes beside the plot

    @property
    def drawn(self) -> bool:
        return self.draw is not None


def survey(rows: Sequence[Measurement], labels: Labels) -> list[Figure]:
    """The four plots of the 2018 survey; accuracy and work do not depend on timing, so every distinct row is here."""
    rows = _distinct(rows)
    return [
        _work_figure(rows, labels),
        _ratio_figure("ap50", "AP50 of each network", "", rows, labels, lambda row: 1.0),
        _ratio_figure(
            "ap50-parameters",
            "AP50 per million parameters",
            "parameter count",
            rows,
            labels,
            QUANTITIES["parameters"].of,
        ),
        _ratio_figure("ap50-flops", "AP50 per GFLOP", "operation count", rows, labels, QUANTITIES["flops"].of),
    ]


def costs(rows: Sequence[Measurement], labels: Labels) -> list[Figure]:
    """Where the time goes, stage by stage, and what memory is needed; of usable rows alone."""
    usable = [row for row in rows if row.usable]
    figures = [_stage_figure(usable, labels), _memory_figure(usable, labels)]
    if any(finite(row.memory_device_mib) for row in usable):
        figures.append(_device_figure(usable, labels))
    return figures


def _distinct(rows: Iterable[Measurement]) -> list[Measurement]:
    """One row for each name with the same accuracy and work, whatever it ran on."""
    return list({(row.name, row.ap50, row.parameters, row.flops): row for row in rows}.values())


def _work_figure(rows: Sequence[Measurement], labels: Labels) -> Figure:
    known = [row for row in rows if all(_positive(row, field) for field in ("ap50", "flops", "parameters"))]
    return Figure(
        key="work",
        title="AP50 against work",
        caption="The area of a disc is in proportion to the parameters. " + _left_out(rows, known, labels),
        draw=(lambda style: bubble_chart(work_plane(known, labels, width=style.width), style)) if known else None,
        beside=AXIS,
    )


def _ratio_figure(
    key: str,
    title: str,
    divisor: str,
    rows: Sequence[Measurement],
    labels: Labels,
    by: Callable[[Measurement], float | None],
) -> Figure:
    pairs = [(row, (row.ap50 or 0.0) / amount) for row in rows if _positive(row, "ap50") and (amount := by(row))]
    bars = [
        Bar(
            key=row.id,
            label=labels[row.id],
            value=value,
            text=significant(value),
            tone=family_of(row.name).tone,
            note=f"{significant(value)} {title.removeprefix('AP50 ')}" if divisor else f"AP50 {significant(value)}",
        )
        for row, value in sorted(pairs, key=lambda pair: -pair[1])
    ]
    caption = _left_out(rows, [row for row, _ in pairs], labels)
    return Figure(key=key, title=title, caption=caption, draw=(lambda style: bar_chart(bars, style)) if bars else None)


def _stage_figure(rows: Sequence[Measurement], labels: Labels) -> Figure:
    known = [row for row in rows if any(finite(value) for value in (row.stages_ms or {}).values())]
    known.sort(key=lambda row: row.latency_ms_p50 or 0.0)
    parts = [part for row in known for part in _parts(row, labels[row.id])]
    order = _stage_order(known)
    return Figure(
        key="stages",
        title="Where the time goes",
        caption="Shares of the time inside the network and after it, with the sum at the right. "
        + _left_out(rows, known, labels),
        draw=(lambda style: stage_chart(parts, order, style)) if parts else None,
    )


def _parts(row: Measurement, label: str) -> list[Part]:
    stages = [(stage, value) for stage, ms in (row.stages_ms or {}).items() if (value := finite(ms)) is not None]
    whole, parts, start = sum(value for _, value in stages), [], 0.0
    for stage, value in stages:
        note = f"{significant(value)} ms, {100 * value / whole:.0f} %"
        total = f"{significant(whole)} ms"
        end = start + value / whole
        parts.append(Part(key=row.id, label=label, stage=stage, start=start, end=end, note=note, total=total))
        start = end
    return parts


def _stage_order(rows: Iterable[Measurement]) -> list[str]:
    """The order of the longest pipeline; stages that only others have follow."""
    pipelines = sorted((list(row.stages_ms or {}) for row in rows), key=len, reverse=True)
    return list(dict.fromkeys(stage for pipeline in pipelines for stage in pipeline))


def _memory_figure(rows: Sequence[Measurement], labels: Labels) -> Figure:
    caption = "Bars: peak while detecting. Marks: peak while loading. "
    return _bytes_figure("memory_infer_mib", "Memory of the process", caption, rows, labels, mark="memory_load_mib")


def _device_figure(rows: Sequence[Measurement], labels: Labels) -> Figure:
    caption = "Bars: peak of the process on the device. Marks: what was allocated of it. "
    return _bytes_figure(
        "memory_device_mib", "Memory of the device", caption, rows, labels, mark="memory_allocated_mib"
    )


def _bytes_figure(
    field: str, title: str, caption: str, rows: Sequence[Measurement], labels: Labels, *, mark: str
) -> Figure:
    known = sorted((row for row in rows if _positive(row, field)), key=QUANTITIES[field].of)  # type: ignore[arg-type]
    bars = [_bytes_bar(row, labels[row.id], field, mark) for row in known]
    return Figure(
        key=f"bytes-{field}",
        title=title,
        caption=caption + _left_out(rows, known, labels),
        draw=(lambda style: bar_chart(bars, style)) if bars else None,
    )


def _bytes_bar(row: Measurement, label: str, field: str, mark: str) -> Bar:
    value, second, text = finite(getattr(row, field)), finite(getattr(row, mark)), QUANTITIES[field].text(row)
    note = text if second is None else f"{text}, mark at {significant(second)} MiB"
    tone = family_of(row.name).tone
    return Bar(key=row.id, label=label, value=value or 0.0, text=text, tone=tone, note=note, mark=second)


def _positive(row: Measurement, field: str) -> bool:
    return (finite(getattr(row, field)) or 0.0) > 0


def _left_out(rows: Sequence[Measurement], known: Sequence[Measurement], labels: Labels) -> str:
    """`Left out, having no number for it: a, b and 3 more.`, or nothing."""
    kept = {row.id for row in known}
    missing = [labels[row.id] for row in rows if row.id not in kept]
    if not missing:
        return ""
    named = missing[:_NAMED] + ([plural(len(missing) - _NAMED, "more", "more")] if len(missing) > _NAMED else [])
    return f"Left out, having no number for it: {listed(named)}."
