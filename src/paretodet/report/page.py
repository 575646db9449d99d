"""One self-contained page about rows: no request leaves it, no row's text can become markup or code."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from paretodet.bench.record import Measurement
from paretodet.frontier.called import row_labels
from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.report import charts, words
from paretodet.report.answers import Answers, answer_table
from paretodet.report.boxes import BoxSizes, boxes_section
from paretodet.report.charts import Spec, Style, plane_chart
from paretodet.report.figures import AXIS, Figure, costs, survey
from paretodet.report.formats import QUANTITIES
from paretodet.report.listing import listing
from paretodet.report.plane import frontier_plane
from paretodet.report.theme import DARK, LIGHT, by_property, custom_properties
from paretodet.writing import write_text

COSTS = ("latency_ms_p50", "memory_infer_mib", "memory_device_mib", "parameters", "flops")
PLANE_ROOMS = (340, 560, 760, 1016)  # px across; the page shows the widest that fits
FIGURE_ROOMS = (340, 484, 640)
Drawings = dict[str, dict[int, Spec]]


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

    Raises ValueError without rows or on an unknown split, ImportError, naming the extra, without Altair.
    """
    rows = list({row.id: row for row in rows}.values())
    if not rows:
        raise ValueError("rows: a report needs at least one row, got none")
    labels = row_labels(rows)
    every = {cost: pareto_frontier(rows, cost=cost, split=split) for cost in COSTS}
    first, frontiers = every["latency_ms_p50"], [found for found in every.values() if found.members]
    answers = answer_table(rows, labels, split=split)
    sections = [
        _section("survey", "Accuracy against work", words.SURVEY, survey(rows, labels)),
        _section("costs", "Time and memory", words.COSTS, costs(rows, labels)),
    ]
    standing = {member.row.id: member.probability for member in first.members}
    return _render(
        title=title or words.title(rows),
        lead=words.lead(rows),
        facts=words.facts(rows, first.split),
        warnings=[*words.warnings(rows), *words.selected(len(rows), of)],
        reading=words.READING,
        answers=answers and answers.to_json(),
        frontier_lead=words.frontier_lead(first),
        planes=[_plane(found, labels) for found in frontiers],
        sections=sections,
        boxes=boxes and boxes_section(boxes, [member.row for member in first.members] or rows, labels),
        table=listing(rows, labels, standing),
        footer=words.FOOTER,
        data=_data(frontiers, sections, answers, labels),
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
    """Write the page whole or not at all, and return its path. Raises what `page` raises, and OSError."""
    path, text = Path(path), page(rows, title=title, split=split, boxes=boxes, of=of)
    write_text(path, text)
    return path


def _render(**values: object) -> str:
    scripts = {"vega": charts.script(), "js": _file("page.js")}
    environment = Environment(autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True)
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment.from_string(_file("page.html")).render(
        **values,
        **{name: Markup(script) for name, script in scripts.items()},
        css=Markup(_file("page.css")),
        light=Markup(custom_properties(LIGHT)),
        dark=Markup(custom_properties(DARK)),
        hashes=Markup(" ".join(map(_hash, scripts.values()))),
    )


def _file(name: str) -> str:
    return resources.files("paretodet.report").joinpath(name).read_text(encoding="utf-8")


def _hash(script: str) -> str:
    """The script's source expression of a content security policy: nothing but these scripts may run."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _plane(found: Frontier, labels: Mapping[str, str]) -> dict[str, object]:
    title = QUANTITIES[found.cost].title
    return {
        "field": found.cost,
        "title": title,
        "alt": f"Accuracy against {title.lower()}; the frontier's members are listed below the picture.",
        "caption": words.plane_caption(found, labels),
        "members": [words.member_line(member, found, labels) for member in found.members],
    }


def _section(key: str, title: str, lead: str, figures: Sequence[Figure]) -> dict[str, Any]:
    return {"key": key, "title": title, "lead": lead, "figures": figures}


def _data(
    frontiers: Sequence[Frontier],
    sections: Sequence[Mapping[str, Any]],
    answers: Answers | None,
    labels: Mapping[str, str],
) -> dict[str, object]:
    """What the page's script reads: drawings by the room they need in px, and the answers."""
    drawings: Drawings = {found.cost: _drawings(found, labels) for found in frontiers}
    for figure in (figure for section in sections for figure in section["figures"] if figure.draw):
        drawings[figure.key] = {room: figure.draw(_style(room - figure.beside)) for room in FIGURE_ROOMS}
    return {"charts": drawings, "planes": [found.cost for found in frontiers], "answers": answers and answers.to_json()}


def _drawings(found: Frontier, labels: Mapping[str, str]) -> dict[int, Spec]:
    return {
        room: plane_chart(frontier_plane(found, labels, width=room - AXIS), _style(room - AXIS)) for room in PLANE_ROOMS
    }


def _style(width: int) -> Style:
    return Style(width=width, paint=by_property)
