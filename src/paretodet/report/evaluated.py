"""An evaluation for the terminal, and the picture of where its AP is lost."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from rich.text import Text

from paretodet.evaluation.coco import FederatedScores, Scores
from paretodet.evaluation.curves import RECALLS, best_threshold, sampled
from paretodet.evaluation.errors import CAUSES, SIZES, Errors
from paretodet.evaluation.voc import Areas, means
from paretodet.report.drawing import DrawingStyle, below, titled
from paretodet.report.formats import UNKNOWN, plain, plural
from paretodet.report.theme import LIGHT
from paretodet.writing import check_target

if TYPE_CHECKING:
    from paretodet.report.charts import Line, StagePart

WIDTH = 720  # px of a picture
BARS, LINES = 12, 7  # categories that a picture has room for
COLUMNS = {
    "AP": "ap", "AP50": "ap50", "AP75": "ap75", "small": "ap_small", "medium": "ap_medium", "large": "ap_large",
    "AR1": "ar1", "AR10": "ar10", "AR100": "ar100",
}  # fmt: skip


def scores_table(rows: Iterable[tuple[str, Scores]], first: str) -> Table:
    """One line of COCO's numbers in percent each."""
    table = _table(first, *COLUMNS)
    for name, scores in rows:
        table.add_row(Text(plain(name)), *(_percent(getattr(scores, field)) for field in COLUMNS.values()))
    return table


def federated_table(scores: FederatedScores) -> Table:
    """What LVIS adds, in percent."""
    table = _table("LVIS", "AP rare", "AP common", "AP frequent", "AR300")
    table.add_row("classes by frequency", *map(_percent, scores))
    return table


def voc_table(found: dict[int, Areas], names: dict[int, str]) -> Table:
    """Pascal VOC's AP50 by both definitions, in percent: the means, then each category with something to find."""
    table = _table("Pascal VOC", "AP50, 11 points", "AP50, all points")
    rows = [("mean of categories", means(found)), *((names[key], each) for key, each in found.items())]
    for name, areas in rows:
        if areas.all is not None:
            table.add_row(Text(plain(name)), _percent(areas.eleven), _percent(areas.all))
    return table


def lost_table(found: Errors, names: dict[int, str]) -> Table:
    """Points of AP50 that mending one cause alone would win: of each size, then of each category with its threshold."""
    table = _table("AP50 lost to", "AP50", *CAUSES, "best score", "F1")
    for size in SIZES:
        ap, lost = found.mean(size)
        table.add_row(size, _percent(ap), *(_percent(lost.get(cause)) for cause in CAUSES), "", "")
    for place in _worst(found):
        name, lost_here = plain(names[found.categories[place]]), map(_percent, found.lost[0, place].tolist())
        table.add_row(Text(name), _percent(found.ap[0, place]), *lost_here, *_best(found, place))
    return table


def picture(found: Errors, names: dict[int, str], path: Path, *, title: str, subtitle: Sequence[str]) -> None:
    """Where AP50 is lost, by size and category, above precision against recall, as PNG or SVG by the path's ending.

    Raises as `check_picture`, and ValueError where there is no ground truth.
    """
    check_picture(path)
    if found.mean()[0] is None:
        raise ValueError("plot: the labels hold nothing to find, so there is nothing to draw")
    from paretodet.report import charts

    style = DrawingStyle(width=WIDTH, paint=LIGHT.__getitem__)
    bars = charts.stage_chart(_parts(found, names), CAUSES, style)
    lines = charts.curve_chart(_lines(found, names), style, x="Recall at overlap 0.5, %", y="Precision, %")
    about = [*subtitle, f"The longest bar: {_longest(found, names):.1f} points."]
    chart = titled(below([bars, lines]), title=title, subtitle=about, style=style)
    (charts.save_png if path.suffix.lower() == ".png" else charts.save_svg)(chart, path)


def check_picture(path: Path) -> None:
    """To be asked before the work that is drawn. Raises ValueError where `path` has another ending or cannot be
    written, ImportError where the extra is missing.
    """
    check_target(path, "plot", endings=(".png", ".svg"))
    from paretodet.report import charts  # noqa: F401


def captions(found: Errors) -> list[str]:
    """What the bars mean, and what the picture leaves out."""
    meaning = "Each piece: the points of AP50 that mending this cause alone would win. Overlap 0.5; near from 0.1."
    known = int((~np.isnan(found.ap[0])).sum())
    if known <= LINES:
        return [meaning]
    return [
        meaning,
        f"Of {plural(known, 'category', 'categories')}: bars of the lowest AP50, lines of the most objects.",
    ]


def _longest(found: Errors, names: dict[int, str]) -> float:
    return max((sum(lost.values()) for _, _, lost in _bars(found, names)), default=0.0)


def _bars(found: Errors, names: dict[int, str]) -> list[tuple[str, float | None, dict[str, float]]]:
    """Name, AP50 and what each cause loses, of the sizes and the categories of the lowest AP50."""
    rows = [(f"{size} sizes" if size == "all" else size, *found.mean(size)) for size in SIZES]
    for place in _worst(found)[:BARS]:
        lost = dict(zip(CAUSES, found.lost[0, place].tolist(), strict=True))
        rows.append((names[found.categories[place]], float(found.ap[0, place]), lost))
    return [(plain(name), ap, {cause: max(0.0, each) for cause, each in lost.items()}) for name, ap, lost in rows]


def _parts(found: Errors, names: dict[int, str]) -> "list[StagePart]":
    most = _longest(found, names) or 1.0
    return [part for number, bar in enumerate(_bars(found, names)) for part in _pieces(number, *bar, most)]


def _pieces(number: int, name: str, ap: float | None, lost: dict[str, float], most: float) -> "list[StagePart]":
    from paretodet.report.charts import StagePart

    pieces, start = [], 0.0
    for cause, points in (lost or {CAUSES[0]: 0.0}).items():
        end, note = start + points / most, f"{points:.1f} points"
        total = f"AP50 {_percent(ap)}"
        pieces.append(
            StagePart(key=f"{number:03}", label=name, stage=cause, start=start, end=end, note=note, total=total)
        )
        start = end
    return [piece for piece in pieces if piece.end > piece.start] or pieces[:1]


def _lines(found: Errors, names: dict[int, str]) -> "list[Line]":
    from paretodet.report.charts import Line

    known = [each for each in found.curves if each is not None]
    whole = np.mean([sampled(each) for each in known], 0)
    lines = [Line(name="mean of categories", points=_points(whole))] if len(known) > 1 else []
    for place in np.argsort(-found.truths[0], kind="stable")[:LINES].tolist():
        if (line := found.curves[place]) is not None:
            lines.append(Line(name=plain(names[found.categories[place]]), points=_points(sampled(line))))
    return lines


def _points(precision: np.ndarray) -> list[tuple[float, float]]:
    """As far as the recall reaches."""
    pairs = zip((100 * RECALLS).tolist(), (100 * precision).tolist(), strict=True)
    return [(x, y) for x, y in pairs if y > 0]


def _worst(found: Errors) -> list[int]:
    """Places of the categories with something to find, the lowest AP50 first."""
    known = np.flatnonzero(~np.isnan(found.ap[0])).tolist()
    return sorted(known, key=lambda place: found.ap[0, place])


def _best(found: Errors, place: int) -> tuple[str, str]:
    line = found.curves[place]
    best = None if line is None else best_threshold(line)
    return (UNKNOWN, UNKNOWN) if best is None else (f"{best.score:.3f}", _percent(best.f1))


def _percent(value: Any) -> str:
    return UNKNOWN if value is None or np.isnan(value) else f"{value:.1f}"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table
