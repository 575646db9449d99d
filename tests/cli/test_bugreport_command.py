"""`paretodet bugreport` and `--version`, and what a question about few rows does not import."""

import getpass
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import paretodet
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def store(run: Run, tmp_path: Path) -> None:
    """A store of two runs in the working folder."""
    store = Store("paretodet.db")
    for place, of in enumerate(("early", "late", "late")):
        row = Measurement(
            id="", run=of, at=f"2030-01-0{place + 1}", name=f"d{place}", ap=30.0 + place, latency_ms_p50=10.0 + place,
            error=f"{tmp_path}/x of {getpass.getuser()}", raw=({"bursts": [{"infer_ms": [1.5]}]},),
        )  # fmt: skip
        store.append(with_id(row))


def test_the_last_run_goes_into_the_file(run: Run, tmp_path: Path) -> None:
    code, out, err = run("bugreport")
    assert (code, out) == (0, "paretodet-bugreport.json\n") and "2 rows" in err and "issue tracker" in err
    found = json.loads((tmp_path / "paretodet-bugreport.json").read_text(encoding="utf-8"))
    assert {row["run"] for row in found["rows"]} == {"late"} and len(found["rows"]) == 2
    assert found["rows"][0]["raw"][0]["bursts"][0]["infer_ms"] == [1.5]
    assert found["rows"][0]["error"] == "<path> of <user>" and str(tmp_path) not in json.dumps(found)


def test_it_writes_over_a_bug_report_alone(run: Run, tmp_path: Path) -> None:
    assert run("bugreport")[0] == run("bugreport")[0] == 0
    Path("mine.json").write_text("{}")
    code, out, err = run("bugreport", "--out", "mine.json")
    assert (code, out) == (2, "") and "is not a bug report" in err and Path("mine.json").read_text() == "{}"
    code, _, err = run("bugreport", "--out", "paretodet.db")
    assert code == 2 and "[output-is-input]" in err


def test_without_a_store_it_says_so_and_is_written(run: Run) -> None:
    code, out, err = run("bugreport", "--store", "none.db", "--json")
    assert code == 0 and json.loads(out)["rows"] == 0 and "no such store" in err


def test_a_log_that_is_not_there_has_no_section(run: Run) -> None:
    sections = json.loads(run("bugreport", "--json")[1])["sections"]
    assert sections == ["paretodet_bugreport", "at", "paretodet", "versions", "machine", "selftest", "rows"]


def test_the_version(run: Run) -> None:
    assert run("--version") == (0, f"paretodet {paretodet.__version__}\n", "")


@pytest.mark.parametrize(
    "args",
    [["--version"], ["frontier"], ["frontier", "--json"], ["recommend", "--max-ms", "11"], ["recommend", "--json"]],
    ids=" ".join,
)
def test_few_rows_are_answered_without_heavy_imports(run: Run, args: list[str]) -> None:
    code = (
        "import sys, paretodet.cli as cli\n"
        f"sys.argv = ['paretodet', *{args!r}]\n"
        "try:\n    cli.main()\nexcept SystemExit as left:\n    assert not left.code\n"
        "print({'torch', 'sqlalchemy', 'PIL', 'jinja2'} & sys.modules.keys(), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.splitlines()[-1] == "set()", done.stderr
