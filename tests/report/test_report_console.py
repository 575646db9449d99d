"""Tables for the terminal and a frontier as data."""

import io

from rich.console import Console

from paretodet.backbones.catalogue import entries as backbones
from paretodet.detectors.catalogue import entries
from paretodet.frontier.pareto import pareto_frontier
from paretodet.records.compare import diff
from paretodet.records.measurement import Measurement
from paretodet.report.console import backbones_table, catalogue_table, changes_table, frontier_json
from paretodet.report.tables import COLUMNS, footnote, frontier_table, rows_table


def row(name: str, latency: float, ap: float | None, **more: object) -> Measurement:
    known = {"latency_ms_p50": latency, "ap": ap, "ap_split": ap and "val2017", "ap_rounding": 0.05}
    return Measurement(id=name, run="r", at="2030-01-01T00:00:00+00:00", name=name, **known, **more)  # type: ignore[arg-type]


def text(table: object) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_the_catalogue_names_every_entry_once() -> None:
    lines = text(catalogue_table(entries(), {})).splitlines()
    assert [line.split()[0] for line in lines[1:] if line[0] != " "] == [entry.name for entry in entries()]
    (line,) = (line for line in lines if line.startswith("ssd-mobilenet_v1-300 "))
    assert line.split()[1:] == ["300x300", "6.8", "1.2", "18.8", "test-dev"]


def test_every_backbone_is_named_once() -> None:
    lines = text(backbones_table(backbones())).splitlines()
    assert [line.split()[0] for line in lines[1:]] == [entry.name for entry in backbones()]
    assert lines[1].split()[1:] == ["14.7", "15.3", "224x224", "512", "512", "8", "16", "71.0"]


def test_changes_are_short_plain_text() -> None:
    found = diff(row("[bold]a", 1.0, None, spec='{"x": "' + 90 * "y" + '"}'), row("b", 2.0, None, spec='{"z": 1}'))
    shown = text(changes_table(found))
    assert "[bold]a" in shown and "spec.x" in shown and "y…" in shown and 60 * "y" not in shown


def test_a_frontier_as_data_has_every_row_once() -> None:
    rows = [row("fast", 1.0, 20.0), row("good", 5.0, 40.0), row("poor", 6.0, 30.0), row("unknown", 2.0, None)]
    found = frontier_json(pareto_frontier(rows))
    assert [member["name"] for member in found["members"]] == ["fast", "good"]
    assert found["members"][1] == {
        "id": "good", "name": "good", "latency_ms_p50": 5.0, "ap": 40.0, "probability": 1.0, "tied": False,
        "validity": "valid", "reasons": [],
    }  # fmt: skip
    assert found["dominated"] == [{"id": "poor", "name": "poor", "by": "good"}]
    assert found["cost_only"] == [{"id": "unknown", "name": "unknown"}] and found["left_out"] == 0
    assert found["outside"] == found["undecided"] == [] and found["provisional"] is False
    assert frontier_json(pareto_frontier(rows, gain="-latency_ms_p50"))["members"][0]["latency_ms_p50"] == 1.0


BUSY = "41 % of the time was contended: other processes used 39 % of a core; tasks waited for a CPU 23 % of the time"


def test_a_frontier_as_data_has_full_reasons() -> None:
    busy = row("busy", 9.0, 50.0, validity="contended", reasons=(BUSY,))
    found = frontier_json(pareto_frontier([row("fast", 1.0, 20.0), row("good", 5.0, 40.0), busy]))
    assert found["outside"] == [{"id": "busy", "name": "busy", "validity": "contended", "reasons": [BUSY]}]
    assert found["left_out"] == 1
    provisional = frontier_json(pareto_frontier([busy, row("blind", 1.0, None)]))
    assert provisional["provisional"] and provisional["members"][0]["reasons"] == [BUSY]


def test_a_table_has_short_reasons_and_the_footnote_the_rest() -> None:
    rows = [row("fast", 1.0, 20.0, reasons=("not watched: heat events",), validity="unwatched")]
    assert footnote(rows) == "Not watched in any row: heat events." and footnote([row("plain", 1.0, 2.0)]) == ""
    assert "valid" in text(rows_table(rows)) and "unwatched" not in text(rows_table(rows))
    rows.append(row("busy", 9.0, 50.0, validity="contended", reasons=(BUSY, "not watched: heat events")))
    shown = text(rows_table(rows))
    assert (
        "contended: other processes used 39 % of a core" in shown
        and "tasks waited" not in shown
        and "heat" not in shown
    )
    assert footnote(rows) == "Not watched in any row: heat events. Full reasons: `paretodet frontier --json`."
    rows.append(row("watched", 3.0, 30.0))
    assert "unwatched" in text(rows_table(rows)) and footnote(rows).startswith("Not watched in some rows: heat")


def test_a_provisional_frontier_shows_why_and_how_wide() -> None:
    busy = row("busy", 100.0, 50.0, validity="contended", reasons=(BUSY,), disturbed_pct=25.0)
    shown = text(frontier_table(pareto_frontier([busy])))
    assert shown.startswith("Provisional frontier") and "100 ms (80.0–125)" in shown
    assert "contended: other processes used 39 % of a core" in shown
    calm = text(frontier_table(pareto_frontier([row("fast", 1.0, 20.0)])))
    assert calm.startswith("Frontier") and "Validity" not in calm


def test_runtime_and_precision_are_columns_where_rows_differ() -> None:
    rows = [row("a", 1.0, 20.0), row("a", 5.0, 40.0, runtime="openvino"), row("b", 7.0, 50.0)]
    for table in (rows_table(rows), frontier_table(pareto_frontier(rows))):
        head, *lines = text(table).splitlines()
        assert "Runtime" in head and "Precision" not in head
        assert [line.split()[:2] for line in lines if line] == [["a", "eager"], ["a", "openvino"], ["b", "eager"]]
    assert "Runtime" not in text(rows_table(rows[::2]))


def test_columns_of_building_and_of_the_floor_are_added() -> None:
    layers = {"fp32": 4, "int8": 58}
    made = row("made", 10.0, 20.0, export_ms=900.0, compile_ms=70.0, precision_layers=layers, floor_ms=4.0)
    for table in (
        rows_table([made], more=COLUMNS["build"] + COLUMNS["floor"]),
        frontier_table(pareto_frontier([made]), more=COLUMNS["build"] + COLUMNS["floor"]),
    ):
        shown = text(table)
        assert all(part in shown for part in ("900 ms", "70.0 ms", "58 int8, 4 fp32", "4.00 ms", "40 %"))


def test_many_further_columns_replace_memory_and_work() -> None:
    """Else there is no room for the reasons; the floor is shown with the ceilings of which it is made."""
    failed = row("ssd", 10.0, 20.0, validity="error", error="runtime x needs x", ceilings={"fp32_gflops": 99.0})
    more = COLUMNS["build"] + COLUMNS["floor"]
    assert "Memory" in text(rows_table([failed], more=COLUMNS["floor"]))
    assert "Memory" not in text(rows_table([failed], more=more)) and "needs x" in text(rows_table([failed], more=more))
    assert "Measured ceilings: fp32 99.0 GFLOP/s." in footnote([failed], more=more)
    assert "ceilings" not in footnote([failed])


def test_columns_of_a_cold_start_are_added() -> None:
    cold = row("cold", 1.0, 20.0, load_ms=206.4, first_ms=862.0)
    shown = (
        text(rows_table([cold], more=COLUMNS["cold"])),
        text(frontier_table(pareto_frontier([cold]), more=["load_ms"])),
    )
    assert "862 ms" in shown[0] and "First call" in shown[0] and "206 ms" in shown[1] and "862" not in shown[1]
    assert "Load" not in text(rows_table([cold]))
