"""An evaluation as terminal tables, and as a chart of the AP lost to every cause."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from paretodet.errors import InputError
from paretodet.evaluation.coco import FederatedScores, Scores
from paretodet.evaluation.curves import RECALLS, best_threshold, sampled
from paretodet.evaluation.errors import CAUSES, Errors
from paretodet.evaluation.matching import SIZES
from paretodet.evaluation.voc import Areas, means
from paretodet.report.drawing import DrawingStyle, stacked, titled
from paretodet.report.formats import UNKNOWN, plain, plural
from paretodet.report.theme import LIGHT
from paretodet.writing import check_target

if TYPE_CHECKING:
    from paretodet.report.charts import Line, StagePart

WIDTH = 720  # px of a chart
BARS, LINES = 12, 7  # categories that a chart has room for
COLUMNS = {
    "AP": "ap", "AP50": "ap50", "AP75": "ap75", "small": "ap_small", "medium": "ap_medium", "large": "ap_large",
    "AR1": "ar1", "AR10": "ar10", "AR100": "ar100",
}  # fmt: skip


def scores_table(rows: Iterable[tuple[str, Scores]], first: str) -> Table:
    """One line of COCO's numbers, in percent, for each row."""
    table = _table(first, *COLUMNS)
    for name, scores in rows:
        table.add_row(Text(plain(name)), *(_percent(getattr(scores, field)) for field in COLUMNS.values()))
    return table


def federated_table(scores: FederatedScores) -> Table:
    """What LVIS adds, in percent."""
    table = _table("LVIS", "AP rare", "AP common", "AP frequent", "AR300")
    table.add_row("classes by frequency", *map(_percent, scores))
    return table


def voc_table(areas: dict[int, Areas], names: dict[int, str]) -> Table:
    """Pascal VOC's AP50 by both definitions, in percent: the means, then every category that has objects."""
    table = _table("Pascal VOC", "AP50, 11 points", "AP50, all points")
    rows = [("mean of categories", means(areas)), *((names[key], each) for key, each in areas.items())]
    for name, area in rows:
        if area.all is not None:
            table.add_row(Text(plain(name)), _percent(area.eleven), _percent(area.all))
    return table


def lost_table(errors: Errors, names: dict[int, str]) -> Table:
    """The AP50 that is lost to every cause alone, in percentage points: by size, then by category.

    The last columns are the score threshold with the best F1 of a category, and that F1.
    """
    table = _table("AP50 lost to", "AP50", *CAUSES, "best score", "F1")
    for size in SIZES:
        ap, lost = errors.mean(size)
        table.add_row(size, _percent(ap), *(_percent(lost.get(cause)) for cause in CAUSES), "", "")
    for place in _worst(errors):
        name, lost_here = plain(names[errors.categories[place]]), map(_percent, errors.lost[0, place].tolist())
        table.add_row(Text(name), _percent(errors.ap[0, place]), *lost_here, *_best(errors, place))
    return table


def plot_errors(errors: Errors, names: dict[int, str], path: Path, *, title: str, subtitle: Sequence[str]) -> None:
    """Write a PNG or SVG, by the path's suffix: AP50 lost to every cause, and precision against recall.

    Raises what `check_plot` raises, and ValueError if the labels have no objects.
    """
    check_plot(path)
    if errors.mean()[0] is None:
        raise InputError("plot: the labels have no objects, so there is nothing to draw", "labels-none")
    from paretodet.report import charts

    style = DrawingStyle(width=WIDTH, paint=LIGHT.__getitem__)
    bars = charts.stage_chart(_parts(errors, names), CAUSES, style)
    lines = charts.curve_chart(_lines(errors, names), style, x="Recall at overlap 0.5, %", y="Precision, %")
    about = [*subtitle, f"The longest bar is {_longest(errors, names):.1f} points."]
    chart = titled(stacked([bars, lines]), title=title, subtitle=about, style=style)
    (charts.save_png if path.suffix.lower() == ".png" else charts.save_svg)(chart, path)


def check_plot(path: Path) -> None:
    """Check before a long evaluation that `plot_errors` can write `path`.

    Raises ValueError if its suffix is not .png or .svg or it cannot be written, and ImportError without the extra.
    """
    check_target(path, "plot", endings=(".png", ".svg"))
    from paretodet.report import charts  # noqa: F401


def captions(errors: Errors) -> list[str]:
    """What the bars mean, and which categories the chart leaves out."""
    meaning = (
        "A segment is the AP50 gained if only this cause were fixed. Boxes match at IoU 0.5 and are near from 0.1."
    )
    known = int((~np.isnan(errors.ap[0])).sum())
    if known <= LINES:
        return [meaning]
    categories = plural(known, "category", "categories")
    return [meaning, f"Of {categories}, bars show those with the lowest AP50, lines those with the most objects."]


def _longest(errors: Errors, names: dict[int, str]) -> float:
    return max((sum(lost.values()) for _, _, lost in _bars(errors, names)), default=0.0)


def _bars(errors: Errors, names: dict[int, str]) -> list[tuple[str, float | None, dict[str, float]]]:
    """Name, AP50 and the loss to every cause, for the sizes and for the categories with the lowest AP50."""
    rows = [(f"{size} sizes" if size == "all" else size, *errors.mean(size)) for size in SIZES]
    for place in _worst(errors)[:BARS]:
        lost = dict(zip(CAUSES, errors.lost[0, place].tolist(), strict=True))
        rows.append((names[errors.categories[place]], float(errors.ap[0, place]), lost))
    return [(plain(name), ap, {cause: max(0.0, points) for cause, points in lost.items()}) for name, ap, lost in rows]


def _parts(errors: Errors, names: dict[int, str]) -> "list[StagePart]":
    longest = _longest(errors, names) or 1.0
    return [part for number, bar in enumerate(_bars(errors, names)) for part in _segments(number, *bar, longest)]


def _segments(number: int, name: str, ap: float | None, lost: dict[str, float], longest: float) -> "list[StagePart]":
    from paretodet.report.charts import StagePart

    segments, start = [], 0.0
    for cause, points in (lost or {CAUSES[0]: 0.0}).items():
        end, note = start + points / longest, f"{points:.1f} points"
        total = f"AP50 {_percent(ap)}"
        segments.append(
            StagePart(key=f"{number:03}", label=name, stage=cause, start=start, end=end, note=note, total=total)
        )
        start = end
    return [segment for segment in segments if segment.end > segment.start] or segments[:1]


def _lines(errors: Errors, names: dict[int, str]) -> "list[Line]":
    from paretodet.report.charts import Line

    known = [curve for curve in errors.curves if curve is not None]
    whole = np.mean([sampled(curve) for curve in known], 0)
    lines = [Line(name="mean of categories", points=_points(whole))] if len(known) > 1 else []
    for place in np.argsort(-errors.truths[0], kind="stable")[:LINES].tolist():
        if (curve := errors.curves[place]) is not None:
            lines.append(Line(name=plain(names[errors.categories[place]]), points=_points(sampled(curve))))
    return lines


def _points(precision: np.ndarray) -> list[tuple[float, float]]:
    """(recall, precision) in percent, up to the highest recall."""
    pairs = zip((100 * RECALLS).tolist(), (100 * precision).tolist(), strict=True)
    return [(x, y) for x, y in pairs if y > 0]


def _worst(errors: Errors) -> list[int]:
    """Indices of the categories that have objects, the lowest AP50 first."""
    known = np.flatnonzero(~np.isnan(errors.ap[0])).tolist()
    return sorted(known, key=lambda place: errors.ap[0, place])


def _best(errors: Errors, place: int) -> tuple[str, str]:
    curve = errors.curves[place]
    best = None if curve is None else best_threshold(curve)
    return (UNKNOWN, UNKNOWN) if best is None else (f"{best.score:.3f}", _percent(best.f1))


def _percent(value: Any) -> str:
    return UNKNOWN if value is None or np.isnan(value) else f"{value:.1f}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table
