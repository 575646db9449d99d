"""A bug report has what explains a failure and nothing personal."""

import json
import re
from pathlib import Path

import pytest

from paretodet.records.measurement import Measurement
from paretodet.report.bugreport import MARK, bug_report, check_free, contents, write_bug_report
from paretodet.report.scrub import scrubber

ROW = Measurement(
    id="0" * 12,
    run="run1",
    at="2026-01-02T03:04:05+00:00",
    name="ssd in /home/carol/models",
    weights="/home/carol/x.safetensors",
    job={"name": "/home/carol/x.onnx", "file": "x.onnx", "made": ["C:\\Users\\carol\\guest.py"]},
    error='Traceback\n  File "/home/carol/guest.py", line 3\nOSError: carol@carol-laptop: HF_TOKEN=hf_abc',
    reasons=(
        "the process carol-backup of carol used 38 % of a core",
        "other processes used 40 % of a core, mostly secret-game; 0 of 9 bursts were clean",
    ),
    settings={"environment": {"OMP_NUM_THREADS": "2", "HF_TOKEN": "hf_abc"}, "/home/carol": 1},
    versions={"opencv-python-headless": "4.10.0.84", "torch": "2.11.0+cpu", "mine": "file:///home/carol/mine"},
    raw=(
        {
            "bursts": [{"infer_ms": [1.5, 2.5], "contended": ["process /home/carol/run.sh"]}],
            "waited_for": {"secret-game": 0.4},
        },
    ),
    resolution_pct=2.0,
)
SCRUB = scrubber(environment={"HF_TOKEN": "hf_abc"}, hosts=["carol-laptop"], users=["carol"])


def test_rows_keep_their_samples_without_personal_data() -> None:
    found = bug_report(lambda: [ROW], scrub=SCRUB)
    text = json.dumps(found)
    assert not re.search(r"carol|hf_abc|/home|Users|secret", text)
    (row,) = found["rows"]
    assert row["raw"][0]["bursts"][0]["infer_ms"] == [1.5, 2.5]
    assert (row["job"]["file"], row["settings"]["environment"]["OMP_NUM_THREADS"]) == ("x.onnx", "2")
    assert row["versions"]["opencv-python-headless"] == "4.10.0.84" and row["versions"]["mine"] == "<url>"
    assert "line 3" in row["error"] and "38 % of a core" in row["reasons"][0]


def test_it_begins_with_its_mark_and_holds_machine_and_versions() -> None:
    found = bug_report(lambda: [ROW], scrub=SCRUB)
    assert next(iter(found)) == MARK
    assert {"python", "torch", "sqlalchemy", "typer"} <= found["versions"].keys() and "cpu" in found["machine"]
    assert found["selftest"]["resolution_pct"] == 2.0 and "log" not in found
    assert "1 row with" in contents(found) and "run1" in contents(found)


def test_an_unreadable_store_is_in_the_report() -> None:
    def broken() -> list[Measurement]:
        raise ValueError("/home/carol/paretodet.db: no such store")

    found = bug_report(broken, scrub=SCRUB)
    assert found["rows"] == [] and found["store"] == "<path> no such store"
    assert "no rows" in contents(found)


def test_other_files_are_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    check_free(path)
    write_bug_report(bug_report(lambda: [ROW], scrub=SCRUB), path)
    assert json.loads(path.read_text(encoding="utf-8"))[MARK] == 1
    check_free(path)
    for other in ("{}", "", "\x00\xff", '{"rows": []}'):
        path.write_text(other, encoding="latin-1")
        with pytest.raises(ValueError, match="out: .* is not a bug report"):
            check_free(path)
