"""Sentences about frontiers of any cost and any gain, with rows that lack it."""

from dataclasses import replace
from typing import Any

import pytest

from paretodet.frontier.pareto import Frontier, pareto_frontier
from paretodet.frontier.row_labels import row_labels
from paretodet.frontier.values import COSTS, JOB, noun
from paretodet.records.measurement import GAINS, Measurement
from paretodet.report import frontier_wording
from paretodet.report.formats import field_title
from paretodet.report.tables import frontier_table

NEEDED = {JOB: "load_ms"}  # the field without which a row has no such cost
NUMBERS: dict[str, Any] = dict.fromkeys((*COSTS, "load_ms"), 10.0) | dict.fromkeys(GAINS, 30.0)
FIELDS = {name: number for name, number in NUMBERS.items() if name != JOB}
ROW = Measurement(
    id="whole0",
    run="r",
    at="2030-01-01",
    name="whole",
    ap_split="val",
    **FIELDS,
)


def lacking(field: str) -> list[Measurement]:
    """A row with every number, one that is beaten by it, and one without this number."""
    worse = replace(ROW, id="worse0", name="worse", ap=20.0, latency_ms_p50=30.0, memory_infer_mib=30.0)
    return [ROW, worse, replace(ROW, id="less00", name="less", **{NEEDED.get(field, field): None})]


def everything(frontier: Frontier, rows: list[Measurement]) -> list[str]:
    """All sentences about a frontier."""
    labels = row_labels(rows)
    frontier_table(frontier)
    return [
        frontier_wording.frontier_lead(frontier, rows),
        frontier_wording.plane_caption(frontier, labels),
        frontier_wording.too_few_points(frontier, labels),
        *frontier_wording.member_lines(frontier, labels),
    ]


@pytest.mark.parametrize("gain", [*GAINS, *(f"-{cost}" for cost in COSTS)])
def test_a_row_without_a_gain_is_named_with_what_to_do(gain: str) -> None:
    field, cost = gain.removeprefix("-"), "buffers" if gain != "-buffers" else "parameters"
    rows = lacking(field)
    found = pareto_frontier(rows, cost=cost, gain=gain)
    said = frontier_wording.not_compared(found)
    assert [row.name for row in found.cost_only] == ["less"] and said.startswith("Not compared (no known ")
    called = noun(field) if gain in GAINS else field_title(field).lower()
    assert f"(no known {called}): less; " in said
    assert ("--data DATA" in said) == (gain in GAINS) and (gain in said) == (gain not in GAINS)
    assert ("masks" in said) == gain.startswith("mask")
    assert all(everything(found, rows))


@pytest.mark.parametrize("cost", COSTS)
def test_a_row_without_a_cost_is_counted(cost: str) -> None:
    rows = lacking(cost)
    found = pareto_frontier(rows, cost=cost)
    assert any(note.startswith(f"Left out because they have no {cost}: 1 of 3") for note in found.notes)
    assert frontier_wording.not_compared(found) == "" and all(everything(found, rows))


@pytest.mark.parametrize("gain", [*GAINS, *(f"-{cost}" for cost in COSTS)])
def test_rows_that_all_lack_a_gain_are_told_what_they_lack(gain: str) -> None:
    field, cost = gain.removeprefix("-"), "buffers" if gain != "-buffers" else "parameters"
    rows = [lacking(field)[2]]
    found = pareto_frontier(rows, cost=cost, gain=gain)
    assert not found.members and any(f"The rows have no {noun(field)}" in note for note in found.notes)
    assert frontier_wording.frontier_lead(found, rows).startswith("There is no frontier yet: ")
