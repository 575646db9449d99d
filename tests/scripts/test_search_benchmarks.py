"""The benchmarks of search and prediction, on a small table whose frontier and law are known."""

import csv
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import pytest
from test_imports import ROOT, loaded

from paretodet.detectors import catalogue
from paretodet.detectors.catalogue import DetectorEntry
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id

PARTS = [
    (family, d, w, size)
    for family in ("anet", "bnet")
    for d in (33, 67, 1)
    for w in (25, 5, 75)
    for size in range(160, 481, 64)
]


def write(file: Path) -> None:
    """108 names; the family decides the cost, and depth, width and size decide both."""
    with file.open("w", newline="") as lines:
        table = csv.writer(lines)
        table.writerow(["model", "ap", "ms", "other_ms"])
        for family, d, w, size in PARTS:
            depth, width = float(f"0.{d}") if d != 1 else 1.0, float(f"0.{w}")
            cost = (1.5 if family == "anet" else 1.0) * depth**0.4 * width**1.6 * (size / 100) ** 2
            gain = 30 + 5 * np.log(depth) + 9 * np.log(width) + 12 * np.log(size / 100)
            table.writerow([f"{family}d{d}w{w}_{size}", gain, cost, 3 * cost * width**0.2])


def result(
    name: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    benchmark = loaded(ROOT / "benchmarks" / f"{name}.py", monkeypatch)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    benchmark.main()
    return dict(json.loads(capsys.readouterr().out))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write(tmp_path / "table.csv")
    return tmp_path / "table.csv"


def test_a_replay_finds_the_frontier_of_a_law(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(file), "--cost", "ms", "--gain", "ap", "--name", "model", "--share", "0.25", "--seeds", "2", "--json"]
    replayed = result("replay", words, monkeypatch, capsys)
    assert replayed["rows"] == len(PARTS) and replayed["measured"] == round(0.25 * len(PARTS))
    assert 90 < replayed["hypervolume_pct_worst"] <= replayed["hypervolume_pct_mean"] <= 100
    assert 0.9 * replayed["claims"] <= replayed["claims_right"] <= replayed["claims"] <= 2 * len(PARTS)


def test_all_rows_measured_are_all_of_the_hypervolume(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = loaded(ROOT / "benchmarks" / "replay.py", monkeypatch)
    random = np.random.default_rng(0)
    names = [f"net{place}" for place in range(30)]
    run = benchmark.replay(
        benchmark.tables.of_names(names), random.uniform(1, 9, 30), random.random(30), measured=30, seed=0
    )
    assert run.hypervolume_pct == pytest.approx(100) and run.claims == run.claims_right == 30


def test_a_law_is_predicted_and_another_device_helps(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(file), "--cost", "ms", "--name", "model", "--seeds", "3", "--json", "--rows", "12"]
    alone = result("predict", words, monkeypatch, capsys)
    started = result("predict", [*words, "--start", "other_ms"], monkeypatch, capsys)
    assert 0 < started["median_error_pct"] < alone["median_error_pct"] < 10
    assert 50 < alone["coverage_pct"] <= 100 and alone["measured"] == 12


def test_rows_of_our_own_have_the_features_of_a_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their latency is 2e-8 ms for a multiply-add and half a ms for a layer of the catalogue, on two threads half."""
    entries = [entry for entry in catalogue.entries() if entry.name.startswith(("ssd-", "yolo_v3"))]

    def text(entry: DetectorEntry, threads: int) -> str:
        counts = {field: getattr(entry, field) for field in ("name", "height", "width", "macs", "parameters")}
        latency = (2e-8 * entry.macs + 0.5 * entry.layers) / threads
        row = Measurement(id="", run="r", at="2030-01-01", threads=threads, latency_ms_p50=latency, **counts)
        return json.dumps(with_id(row).to_json())

    file, words = tmp_path / "rows.jsonl", ["--cost", "latency_ms_p50", "--seeds", "3", "--json", "--rows"]
    file.write_text("\n".join(text(entry, 1) for entry in entries))
    assert result("predict", [str(file), *words, "6"], monkeypatch, capsys)["median_error_pct"] < 0.5
    file.write_text("\n".join(text(entry, threads) for entry in entries for threads in (1, 2)))
    assert result("predict", [str(file), *words, "12"], monkeypatch, capsys)["median_error_pct"] < 5


@pytest.mark.parametrize(("words", "named"), [(["--cost", "watts"], "watts"), (["--share", "0"], "--share")])
def test_a_wrong_option_is_named(
    words: list[str], named: str, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = loaded(ROOT / "benchmarks" / "replay.py", monkeypatch)
    usual = ["replay.py", str(file), "--cost", "ms", "--gain", "ap", "--name", "model"]
    monkeypatch.setattr(sys, "argv", [*usual, *words])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2 and named in capsys.readouterr().err


WORDS = ["--cost", "ms", "--gain", "ap", "--name", "model", "--share", "0.25", "--seeds", "1", "--json"]


def test_a_table_as_a_spreadsheet_writes_it_is_read(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = result("replay", [str(file), *WORDS], monkeypatch, capsys)
    header, *lines = file.read_text().splitlines()
    spaced = [line.replace(",", ", ") for line in (header, "", *lines, '"anet, again", , 3, ')]
    file.write_text("\n".join(spaced), encoding="utf-8-sig")
    found = result("replay", [str(file), *WORDS], monkeypatch, capsys)
    assert found == plain | {"left_out": 1} and plain["left_out"] == 0


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        (["a_160,31,5,12,3,1"], "line 2 has 6 cells"),  # decimal commas
        (["a_160,30,5,1", "a_320,31,5"], "line 3 has 3 cells"),
        (['a_160,30,"1,203.4",1'], "line 2: ms is '1,203.4'"),
        (["a_160,45.3%,5,1"], "line 2: ap is '45.3%'"),
        (["a_160,inf,5,1"], "line 2: ap is 'inf'"),
        (["a_160,30,5,1", "a_320,n/a,5,1"], "line 3: ap is 'n/a'"),
        (["a_160,,5,1"], "no row with a number"),
        ([f"{140_000 * 'a'},30,5,1"], "field larger than"),
        (["a_160,30,5,1", "a_320,30,9,1", "a_480,30,7,1"], "no area"),
        (["a_160,30,5,1", "a_320,31,5,1"], "no area"),
        (["a_160,30,5,1", "a_320,31,9,1"], "no area"),
    ],
)
def test_a_table_that_cannot_be_replayed_says_where(
    lines: list[str], named: str, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("\n".join(["model,ap,ms,other_ms", *lines]))
    said = refused([str(file), *WORDS], monkeypatch, capsys)
    assert str(file) in said and named in said
    assert str(file) in refused([str(file), "--cost", "watts", *WORDS[2:]], monkeypatch, capsys)


def refused(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """What a replay that ends with exit code 2 prints."""
    benchmark = loaded(ROOT / "benchmarks" / "replay.py", monkeypatch)
    monkeypatch.setattr(sys, "argv", ["replay.py", *words])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_a_column_that_is_twice_there_or_no_number_of_a_row_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "twice.csv").write_text("model,ap,ms, ap\na_160,30,5,31\n")
    row = with_id(Measurement(id="", run="r", at="2030-01-01", name="a"))
    (tmp_path / "rows.jsonl").write_text(json.dumps(row.to_json()))
    for name, words, named in (
        ("twice.csv", WORDS, "2 columns 'ap'"),
        ("rows.jsonl", ["--cost", "latency_ms_p50", "--gain", "machine_facts"], "no number 'machine_facts'"),
        ("rows.jsonl", ["--cost", "latency_ms_p50", "--gain", "name"], "no number 'name'"),
        ("twice.csv", [*WORDS, "--seeds", "0"], "--seeds"),
    ):
        assert named in refused([str(tmp_path / name), *words], monkeypatch, capsys)


def test_names_that_are_sizes_alone_have_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    benchmark, library = loaded(ROOT / "benchmarks" / "predict.py", monkeypatch), MagicMock()
    for name in ("sklearn", "sklearn.gaussian_process", "sklearn.gaussian_process.kernels"):
        monkeypatch.setitem(sys.modules, name, library)
    for names, columns in ((["160", "192", "256"], 1), (["a-160", "a-192", "b-256"], 1 + 2)):
        features = benchmark.tables.of_names(names)
        benchmark.library_process(features, np.arange(2), np.zeros(2))
        learned = library.GaussianProcessRegressor.return_value.fit.call_args.args[0]
        assert learned.shape == (2, columns) and benchmark.design(features).shape == (3, columns + 1)


def test_decisions_are_timed_for_a_gain_that_is_known_and_one_that_is_not(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    benchmark = loaded(ROOT / "benchmarks" / "deciding.py", monkeypatch)
    out = tmp_path / "rows.jsonl"
    words = ["--configurations", "40", "--measured", "12", "--rounds", "2", "--json", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["deciding.py", *words])
    benchmark.main()
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(row["gain"], row["configurations"], row["measured"]) for row in printed] == [
        ("ap", 40, 12), ("-memory_infer_mib", 40, 12),
    ]  # fmt: skip
    assert all(0 < row["cpu_s_median"] <= row["cpu_s_most"] for row in printed)
    kept = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row.items() >= one.items() for row, one in zip(kept, printed, strict=True)] == [True, True]


@pytest.mark.filterwarnings("error")
def test_names_that_count_from_zero_are_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [f"run-{place},{30 + place % 7},{1 + place % 11},1" for place in range(900)]
    (tmp_path / "table.csv").write_text("\n".join(["model,ap,ms,other_ms", *lines]))
    replayed = result("replay", [str(tmp_path / "table.csv"), *WORDS, "--share", "0.01"], monkeypatch, capsys)
    assert replayed["rows"] == 900 and 0 < replayed["hypervolume_pct_mean"] <= 100


def test_no_rows_to_learn_from_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    benchmark = loaded(ROOT / "benchmarks" / "predict.py", monkeypatch)
    monkeypatch.setattr(sys, "argv", ["predict.py", str(file), "--cost", "ms", "--name", "model", "--rows", "0"])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2 and "0 of 108 rows" in capsys.readouterr().err
