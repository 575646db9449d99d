"""One self-contained HTML page about rows: it makes no network request, and no row's text becomes markup or code."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from paretodet.errors import InputError
from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.frontier.row_labels import differing_execution, row_labels
from paretodet.records.measurement import Measurement
from paretodet.report import frontier_wording, wording
from paretodet.report.boxes import BoxSizes, boxes_section
from paretodet.report.budget_table import BudgetTable, budget_table
from paretodet.report.charts import AXIS, plane_chart
from paretodet.report.document import Deferred, Pool, render
from paretodet.report.drawing import Drawing, DrawingStyle
from paretodet.report.figures import MIN_POINTS, PageFigure, PageSection, costs, survey, timed
from paretodet.report.formats import QUANTITIES
from paretodet.report.row_table import row_table
from paretodet.report.scatter import frontier_plane, notes, standings
from paretodet.report.selection import known_costs
from paretodet.report.theme import by_property
from paretodet.report.tradeoffs import tradeoffs
from paretodet.writing import write_text

COSTS = ("latency_ms_p50", "memory_infer_mib", "memory_device_mib", "parameters", "flops")
MAX_BESIDE = 8  # members that have room beside the chart
MAX_WHOLE = 200  # rows of a first view that shows everything without the script
NARROW_FONT = 16.0  # px in a drawing: the style sheet enlarges the text of charts to it on a narrow screen
PLANE = DrawingStyle(width=600, paint=by_property, largest_font=NARROW_FONT)
FIGURE = DrawingStyle(width=484, paint=by_property, largest_font=NARROW_FONT)


@dataclass(frozen=True, kw_only=True)
class _PageData:
    """What the page's sections read."""

    rows: list[Measurement]  # of one machine
    labels: dict[str, str]
    first: Frontier  # of the latency
    frontiers: list[Frontier]  # those that have a member
    answers: BudgetTable | None

    @property
    def entered(self) -> list[Measurement]:
        return timed(self.rows, provisional=self.first.provisional)


def page(
    rows: Iterable[Measurement],
    *,
    title: str | None = None,
    split: str | None = None,
    boxes: BoxSizes | None = None,
    total: int | None = None,
) -> str:
    """The page as HTML. If the rows are of several machines, it has a switch between them.

    `split` selects the accuracy that is compared, as in `pareto_frontier`. With `boxes`, the page has a table of how
    small these are on the canvases of the frontier's detectors. If `rows` are a selection (`selection.shown`), `total`
    is the number that they were selected from.

    Raises ValueError if there are no rows or the split is unknown.
    """
    rows = list({row.id: row for row in rows}.values())
    if not rows:
        raise InputError("rows: a report needs at least one row, got none", "rows-none")
    views = _page_views(rows, split)
    return render(
        "page",
        title=title or wording.title(rows),
        lead=" ".join((wording.lead(rows), *wording.without_split(rows, [view.rows for view in views], split))),
        views=[_view(data, place, boxes) for place, data in enumerate(views, 1)],
        machines=[wording.machine_names(rows)[data.rows[0].machine] for data in views],
        selected=wording.selected(len(rows), total),
        footer=wording.FOOTER,
    )


def write_page(
    rows: Iterable[Measurement],
    path: str | Path,
    *,
    title: str | None = None,
    split: str | None = None,
    boxes: BoxSizes | None = None,
    total: int | None = None,
) -> Path:
    """Write the page atomically and return its path. Raises OSError, and what `page` raises.

    >>> import paretodet
    >>> store = paretodet.Store("rows.db")
    >>> counts = store.import_jsonl("rows.jsonl")
    >>> paretodet.write_page(store.rows(), "report.html", split="mixed").name
    'report.html'
    """
    path, text = Path(path), page(rows, title=title, split=split, boxes=boxes, total=total)
    write_text(path, text)
    return path


def _page_views(rows: list[Measurement], split: str | None) -> list[_PageData]:
    """What each machine's part of the page reads, the machine with most rows first.

    Machines without the split are left out. Raises InputError if no machine has it.
    """
    by_machine: dict[str, list[Measurement]] = {}
    for row in rows:
        by_machine.setdefault(row.machine, []).append(row)
    views, refused = list[_PageData](), list[InputError]()
    for some in sorted(by_machine.values(), key=len, reverse=True):
        try:
            views.append(_page_data(some, split))
        except InputError as error:
            refused.append(error)
    if not views:
        raise refused[0]
    return views


def _view(data: _PageData, place: int, boxes: BoxSizes | None) -> dict[str, object]:
    """The texts and drawings of one machine; `n` is the suffix of the ids in all views but the first."""
    rows, members = data.rows, [member.row for member in data.first.members]
    return {
        "n": f"-{place}" if place > 1 else "",
        "provisional": data.first.provisional and frontier_wording.provisional(data.first),
        "undecided": frontier_wording.undecided(data.first, data.labels),
        "answers": data.answers and data.answers.to_json(),
        "first_answer": data.answers and data.answers.unlimited,
        "frontier_lead": frontier_wording.frontier_lead(data.first, rows),
        "planes": [_plane(frontier, data.labels) for frontier in data.frontiers],
        "facts": wording.facts(rows, data.first.split),
        "warnings": wording.warnings(rows),
        "reading": wording.reading(rows),
        "sections": _sections(data),
        "boxes": boxes and boxes_section(boxes, members or rows, data.labels),
        "table": _table(data),
        "footnotes": [*filter(None, [wording.legend(rows)]), *wording.row_notes(rows, data.labels)],
        "data": _script_data(data),
        "deferred": Deferred(whole=place == 1 and len(rows) <= MAX_WHOLE),
    }


def _page_data(rows: list[Measurement], split: str | None) -> _PageData:
    labels = row_labels(rows, stated=differing_execution(rows))
    frontiers = {cost: pareto_frontier(rows, cost=cost, split=split) for cost in known_costs(rows, COSTS)}
    return _PageData(
        rows=rows,
        labels=labels,
        first=frontiers["latency_ms_p50"],
        frontiers=[frontier for frontier in frontiers.values() if frontier.members],
        answers=budget_table(rows, labels, split=split),
    )


def _sections(data: _PageData) -> list[dict[str, Any]]:
    lead = wording.COSTS_PROVISIONAL if data.first.provisional else wording.COSTS
    figures = costs(data.entered, data.labels)
    paper = tradeoffs(data.entered, data.labels)
    sections = (
        *_paper_section(paper),
        PageSection(
            key="survey", title="Accuracy against work", lead=wording.SURVEY, figures=survey(data.rows, data.labels)
        ),
        PageSection(key="costs", title="Time and memory", lead=lead, figures=figures),
    )
    return [{"of": section, "figures": [(figure, _drawn(figure)) for figure in section.drawn]} for section in sections]


def _paper_section(figure: PageFigure | None) -> tuple[PageSection, ...]:
    """The figure of Huang et al. under its own heading, if there is one."""
    if figure is None:
        return ()
    return (PageSection(key="paper", title="The trade-offs of 2017", lead=wording.PAPER, figures=(figure,)),)


def _table(data: _PageData) -> dict[str, object]:
    standing = {member.row.id: member.probability for member in data.first.members}
    return row_table(data.rows, data.labels, standing, entered={row.id for row in data.entered})


def _plane(frontier: Frontier, labels: Mapping[str, str]) -> dict[str, object]:
    title = QUANTITIES[frontier.cost].title
    enough = len(frontier.members) + len(frontier.dominated) >= MIN_POINTS
    lines = frontier_wording.member_lines(frontier, labels)
    return {
        "field": frontier.cost,
        "title": title,
        "alt": f"Accuracy against {title.lower()}; the members of the frontier are listed beside the chart.",
        "drawing": _drawn_plane(frontier, labels) if enough else None,
        "caption": frontier_wording.plane_caption(frontier, labels)
        if enough
        else frontier_wording.too_few_points(frontier, labels),
        "members": lines,
        "long": len(lines) > MAX_BESIDE and frontier_wording.is_estimated(frontier),
    }


def _drawn_plane(frontier: Frontier, labels: Mapping[str, str]) -> Markup:
    plane = frontier_plane(frontier, labels, width=PLANE.width - AXIS, room_font=NARROW_FONT)
    return _inline(plane_chart(plane, PLANE))


def _drawn(figure: PageFigure) -> Markup | None:
    return figure.draw and _inline(figure.draw(PLANE if figure.wide else FIGURE))


def _inline(drawing: Drawing) -> Markup:
    """The drawing as trusted markup: `Drawing` has escaped its texts."""
    return Markup(drawing.inline())


def _script_data(data: _PageData) -> dict[str, object]:
    """What the page's script reads: the answers, and the tooltips of rows and of their places on every plane."""
    texts = Pool()
    standing = {
        frontier.cost: {row.id: texts.add(line) for row, line, _ in standings(frontier, data.labels)}
        for frontier in data.frontiers
    }
    return {
        "notes": {row.id: list(notes(row, data.labels[row.id]).items()) for row in data.rows},
        "standing": standing,
        "standings": texts.parts,
        "answers": data.answers and data.answers.to_json(),
    }
