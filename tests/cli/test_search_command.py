"""`paretodet search`: what it prints, its page, its exit status, and that it goes on."""

import json
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from toy_bench import ToyBench

Run = Callable[..., tuple[int, str, str]]
SPACE = ("ssd-mobilenet_v1-300", "yolo_v3_tiny-416", "yolo_v3-darknet53-320", "rfcn-mobilenet_v1-300-s16-p50")
OPTIONS = ("--runtime", "eager,winograd", "--precision", "fp32")


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretodet.searching.OneByOne", ToyBench)
    monkeypatch.setattr(ToyBench, "measured", [])


def test_it_prints_the_frontier_and_what_was_not_measured(run: Run) -> None:
    code, out, err = run("search", *SPACE, *OPTIONS, "--minutes", 5)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].startswith(f"{len(ToyBench.measured)} of 6 configurations measured in ")
    assert lines[2].split()[:2] == ["Frontier", "AP"] and "Probability" in lines[2]
    assert {line.split()[0] for line in lines[3:]} == {"ssd-mobilenet_v1-300", "yolo_v3-darknet53-320"}
    assert all("winograd" in line and line.endswith(("measured", "predicted")) for line in lines[3:])
    assert "Left out: rfcn-mobilenet_v1-300-s16-p50: " in err and "--data DATA" in err
    assert err.splitlines()[-1].startswith("Next: paretodet recommend --max-ms ")


def test_json_has_every_configuration_once(run: Run) -> None:
    code, out, err = run("search", *SPACE, *OPTIONS, "--json")
    found = json.loads(out)
    assert code == 0 and found["configurations"] == 6 and found["cost"] == "latency_ms_p50", err
    keys = [(each["name"], each["runtime"]) for part in ("members", "candidates", "spared") for each in found[part]]
    assert len(keys) == len({*keys}) <= 6 and found["measured"] == len(ToyBench.measured)
    assert all(each["row"] for each in found["members"])
    first = found["members"][0]
    assert first["latency_ms_p50"]["low"] < first["latency_ms_p50"]["point"] < first["latency_ms_p50"]["high"]
    assert found["left_out"][0]["labels"] == ["rfcn-mobilenet_v1-300-s16-p50"]
    again = json.loads(run("search", *SPACE, *OPTIONS, "--json")[1])
    assert again["run"] == found["run"] and again["members"] == found["members"]
    assert found["measured"] == len(ToyBench.measured)


def test_an_interrupted_search_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(row: Measurement) -> Measurement:
        if len(ToyBench.measured) == 2:
            raise KeyboardInterrupt
        return row

    monkeypatch.setattr(ToyBench, "change", staticmethod(interrupt))
    code, out, err = run("search", *SPACE, *OPTIONS)
    assert code == 130 and out == "" and "same command" in err
    monkeypatch.setattr(ToyBench, "change", staticmethod(lambda row: row))
    code, out, _ = run("search", *SPACE, *OPTIONS, "--json")
    assert code == 0 and json.loads(out)["measured"] == len(ToyBench.measured) - 1


def test_where_everything_fails_every_reason_is_printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(row: Measurement) -> Measurement:
        gone: dict[str, Any] = dict.fromkeys(("latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high"))
        return with_id(replace(row, error="it failed", validity="error", **gone))

    monkeypatch.setattr(ToyBench, "change", staticmethod(fail))
    code, _, err = run("search", *SPACE, *OPTIONS, "--report", "page.html")
    assert code == 1 and err.count("it failed") >= 6 and not Path("page.html").exists()


def test_it_writes_a_page(run: Run) -> None:
    pytest.importorskip("vl_convert")
    code, _, err = run("search", *SPACE, *OPTIONS, "--report", "page.html")
    assert code == 0 and "The page is page.html." in err
    assert "<title>6 configurations, searched on " in Path("page.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "id"),
    [
        (("rfcn-mobilenet_v1-300-s16-p50",), "space-empty"),
        ((*SPACE, "--minutes", 0), "option-range"),
        ((*SPACE, "--cost", "parameters"), "option-value"),
        ((*SPACE, "--cost", "speed"), "field-unknown"),
        ((*SPACE, "--calls", 3), "option-conflict"),
        ((*SPACE, "--store", "rows.jsonl"), "store-format"),
        (("no_such-detector-300",), "name-unknown"),
    ],
)
def test_bad_input_is_one_sentence(run: Run, arguments: tuple[Any, ...], id: str) -> None:
    code, out, err = run("search", *arguments, "--runtime", "eager", "--precision", "fp32")
    assert code == 2 and out == "" and err.strip().endswith(f"[{id}]") and "Traceback" not in err


def test_a_store_of_a_newer_version_is_one_sentence(run: Run) -> None:
    assert run("search", *SPACE, *OPTIONS)[0] == 0
    connection = sqlite3.connect("paretodet.db")
    connection.execute("INSERT INTO layout VALUES (99)")
    connection.commit()
    connection.close()
    code, out, err = run("search", *SPACE, *OPTIONS)
    assert code == 2 and out == "" and err.strip().endswith("[store-newer]")


def test_short_names_of_costs_are_those_of_frontier_too(run: Run) -> None:
    assert run("search", *SPACE, *OPTIONS)[0] == 0
    long, short = (json.loads(run("frontier", "--cost", cost, "--json")[1]) for cost in ("memory_infer_mib", "memory"))
    assert long == short and long["cost"] == "memory_infer_mib" and long["members"]
