"""The answer for all machines in a table and in sentences."""

from typing import Any

from rich.console import Console

from paretodet.frontier.all_machines import recommend_on_all
from paretodet.frontier.budget import Budget
from paretodet.records.measurement import Measurement
from paretodet.report.all_machines import absent_notes, machines_table, reason

NAMES = {"a": "Example EPYC", "b": "Example Cortex"}


def row(name: str, machine: str, latency: float, ap: float, half: float = 1.0, **fields: Any) -> Measurement:
    ends = {"latency_ms_p50_low": latency / half, "latency_ms_p50_high": latency * half, "memory_infer_mib": 100.0}
    values = {"id": f"{name}-{machine}", "run": "r", "at": "2026-01-01", "machine": machine, "ap_split": "val2017"}
    return Measurement(name=name, latency_ms_p50=latency, ap=ap, flops=10**9, **{**values, **ends, **fields})


ROWS = (
    row("wide", "a", 10, 40), row("wide", "b", 29, 40, 1.2), row("sure", "a", 8, 30), row("sure", "b", 20, 30),
    row("slow", "a", 90, 60), row("half", "a", 5, 50),
)  # fmt: skip
WITHIN_30 = Budget(maximum={"latency_ms_p50": 30.0})


def test_the_choice_and_the_safe_choice_in_sentences() -> None:
    text = reason(recommend_on_all(ROWS, WITHIN_30), NAMES)
    assert text.startswith(
        "wide (AP 40) has the highest AP of the 2 detectors (of 2) that fit on all 2 machines: latency"
    )
    assert "It fits on all with probability 0.64." in text and "The safe choice is sure (AP 30)" in text
    latency = Budget(goal="latency_ms_p50", minimum={"ap": 35.0})
    text = reason(recommend_on_all(ROWS, latency), NAMES)
    assert text.startswith("wide (at worst latency p50 29 ms, on Example Cortex) is the only detector (of 2) that fits")


def test_without_a_choice_the_nearest_is_named() -> None:
    text = reason(recommend_on_all(ROWS, Budget(maximum={"latency_ms_p50": 28.0}, minimum={"ap": 35.0})), NAMES)
    assert (
        text.startswith("No detector (of 2) fits on all 2 machines: ") and "most probable to fit is wide, with" in text
    )
    apart = reason(recommend_on_all([ROWS[0], ROWS[3]], WITHIN_30), NAMES)
    assert apart == "No detector has a usable row on all 2 machines: Example EPYC, Example Cortex."
    alone = reason(recommend_on_all([ROWS[0]], WITHIN_30), {"a": "Example EPYC"})
    assert "All rows are of one machine" in alone


def test_the_table_has_a_column_for_each_machine_and_limited_cost() -> None:
    console = Console(width=200, record=True)
    budget = Budget(maximum={"latency_ms_p50": 30.0, "flops": 2e9})
    console.print(machines_table(recommend_on_all(ROWS, budget), NAMES))
    head, first, _ = console.export_text().splitlines()
    assert "Latency p50, Example EPYC" in head and "Latency p50, Example Cortex" in head and "Flops" not in head
    assert first.split() == ["wide", "40", "0.64", "10.0", "ms", "29.0", "ms"]


def test_what_is_not_everywhere_is_named_with_the_command_to_run_there() -> None:
    answer = recommend_on_all(ROWS, WITHIN_30)
    notes = list(absent_notes(answer, NAMES, "paretodet.db"))
    assert notes[0] == "On Example Cortex: not measured: half."
    assert "`paretodet store copy`" in notes[1] and "paretodet measure half --patience 10m" in notes[1]
    assert notes[2].endswith("beyond the limits where measured: 1 detector.") and len(notes) == 3
    (_, run, _) = absent_notes(answer, NAMES, "postgresql://host/rows")
    assert run.endswith("--patience 10m --store postgresql://host/rows.")
