"""One self-contained page about rows: no request leaves it, no row's text can become markup or code."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.frontier.row_labels import row_labels
from paretodet.records.measurement import Measurement
from paretodet.report import wording
from paretodet.report.boxes import BoxSizes, boxes_section
from paretodet.report.budget_table import BudgetTable, answer_table
from paretodet.report.charts import AXIS, plane_chart
from paretodet.report.drawing import Drawing, DrawingStyle
from paretodet.report.figures import FEWEST, PageFigure, PageSection, costs, survey, timed
from paretodet.report.formats import QUANTITIES
from paretodet.report.row_table import listing
from paretodet.report.scatter import frontier_planes, notes, standings
from paretodet.report.theme import DARK, LIGHT, by_property, custom_properties
from paretodet.writing import write_text

COSTS = ("latency_ms_p50", "memory_infer_mib", "memory_device_mib", "parameters", "flops")
PLANE_WIDTHS = {"narrow": 358, "middle": 620, "wide": 1016}  # px; the style sheet shows one, as wide as its room
FIGURE_WIDTHS = {"narrow": 340, "middle": 484}


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the rows say, asked once."""

    rows: list[Measurement]
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
    of: int | None = None,
) -> str:
    """The page as HTML. `split` chooses whose accuracy is compared, as for `pareto_frontier`; with `boxes` it says how
    small these are on the canvases of the frontier. Where `rows` were selected (`selection.shown`), `of` is how many
    there are in all.

    Raises ValueError without rows or on an unknown split.
    """
    rows = list({row.id: row for row in rows}.values())
    if not rows:
        raise ValueError("rows: a report needs at least one row, got none")
    found = _find(rows, split)
    sections = _sections(found)
    members = [member.row for member in found.first.members]
    return _render(
        title=title or wording.title(rows),
        lead=wording.lead(rows),
        provisional=found.first.provisional and wording.provisional(found.first),
        undecided=wording.undecided(found.first, found.labels),
        answers=found.answers and found.answers.to_json(),
        frontier_lead=wording.frontier_lead(found.first, rows),
        planes=[_plane(each, found.labels) for each in found.frontiers],
        facts=wording.facts(rows, found.first.split),
        warnings=[*wording.warnings(rows), *wording.selected(len(rows), of)],
        reading=wording.READING,
        sections=sections,
        boxes=boxes and boxes_section(boxes, members or rows, found.labels),
        table=_table(found),
        footnote=wording.footnote(rows),
        footer=wording.FOOTER,
        data=_data(found),
    )


def write_page(
    rows: Iterable[Measurement],
    path: str | Path,
    *,
    title: str | None = None,
    split: str | None = None,
    boxes: BoxSizes | None = None,
    of: int | None = None,
) -> Path:
    """Write the page whole or not at all, and return its path. Raises what `page` raises, and OSError.

    >>> import paretodet
    >>> store = paretodet.Store("rows.db")
    >>> counts = store.import_jsonl("rows.jsonl")
    >>> paretodet.write_page(store.rows(), "report.html", split="mixed").name
    'report.html'
    """
    path, text = Path(path), page(rows, title=title, split=split, boxes=boxes, of=of)
    write_text(path, text)
    return path


def _find(rows: list[Measurement], split: str | None) -> _Found:
    labels = row_labels(rows)
    every = {cost: pareto_frontier(rows, cost=cost, split=split) for cost in COSTS}
    return _Found(
        rows=rows,
        labels=labels,
        first=every["latency_ms_p50"],
        frontiers=[each for each in every.values() if each.members],
        answers=answer_table(rows, labels, split=split),
    )


def _sections(found: _Found) -> list[dict[str, Any]]:
    lead = wording.COSTS_PROVISIONAL if found.first.provisional else wording.COSTS
    figures = costs(found.entered, found.labels)
    sections = (
        PageSection(
            key="survey", title="Accuracy against work", lead=wording.SURVEY, figures=survey(found.rows, found.labels)
        ),
        PageSection(key="costs", title="Time and memory", lead=lead, figures=figures),
    )
    return [{"of": section, "figures": [(figure, _drawn(figure)) for figure in section.drawn]} for section in sections]


def _table(found: _Found) -> dict[str, object]:
    standing = {member.row.id: member.probability for member in found.first.members}
    entered = {row.id for row in found.entered}
    return listing(found.rows, found.labels, standing, entered=entered, said=wording.unwatched(found.rows))


def _render(**values: object) -> str:
    script = _file("page.js")
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment.from_string(_file("page.html")).render(
        **values,
        script=Markup(script),
        css=Markup(_file("page.css")),
        light=Markup(custom_properties(LIGHT)),
        dark=Markup(custom_properties(DARK)),
        hash=Markup(_hash(script)),
    )


def _file(name: str) -> str:
    return resources.files("paretodet.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The script's source expression of a content security policy: nothing but this script may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _plane(found: Frontier, labels: Mapping[str, str]) -> dict[str, object]:
    title = QUANTITIES[found.cost].title
    enough = len(found.members) + len(found.dominated) >= FEWEST
    return {
        "field": found.cost,
        "title": title,
        "alt": f"Accuracy against {title.lower()}; the frontier's members are listed below the picture.",
        "drawings": _planes(found, labels) if enough else (),
        "caption": wording.plane_caption(found, labels) if enough else wording.undrawn(found, labels),
        "members": [wording.member_line(member, found, labels) for member in found.members],
    }


def _planes(found: Frontier, labels: Mapping[str, str]) -> list[Markup]:
    planes = frontier_planes(found, labels, widths=(room - AXIS for room in PLANE_WIDTHS.values()))
    return [
        _inline(kind, plane_chart(plane, _style(plane.width))) for kind, plane in zip(PLANE_WIDTHS, planes, strict=True)
    ]


def _drawn(figure: PageFigure) -> Sequence[Markup]:
    if figure.draw is None:
        return ()
    beside = AXIS if figure.plot else 0
    return [_inline(kind, figure.draw(_style(room - beside))) for kind, room in FIGURE_WIDTHS.items()]


def _inline(kind: str, drawing: Drawing) -> Markup:
    """What `Drawing` writes is markup: it escapes every text."""
    return Markup(drawing.inline(kind))


def _style(width: int) -> DrawingStyle:
    return DrawingStyle(width=width, paint=by_property)


def _data(found: _Found) -> dict[str, object]:
    """What the page's script reads: the answers, and what tooltips say of a row and of its standing on a plane."""
    return {
        "notes": {row.id: list(notes(row, found.labels[row.id]).items()) for row in found.rows},
        "standing": {
            each.cost: {row.id: line for row, line, _ in standings(each, found.labels)} for each in found.frontiers
        },
        "answers": found.answers and found.answers.to_json(),
    }
