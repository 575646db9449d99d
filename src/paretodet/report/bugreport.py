"""One file that says what a maintainer must know of a failure, and nothing personal."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paretodet import __version__
from paretodet.bench.machine import LIBRARIES, facts, versions
from paretodet.records.measurement import Measurement
from paretodet.report.scrub import Scrub, scrubbed
from paretodet.writing import write_text

MARK = "paretodet_bugreport"  # the first key of such a file
FORMAT = 1
VERSION = re.compile(r"\d+(\.\d+)*([.+-]?[a-z]+\d*)*")
TOOLS = ("altair", "hotcoco", "jinja2", "psutil", "rich", "safetensors", "sqlalchemy", "typer", "vl-convert-python")


def bug_report(read: Callable[[], Sequence[Measurement]], *, scrub: Scrub, selftest: bool = False) -> dict[str, Any]:
    """JSON of versions, machine, self-test and the whole rows that `read` gives, or why it gave none; all scrubbed."""
    found: dict[str, Any] = {MARK: FORMAT, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    found |= {"paretodet": __version__, "versions": versions((*LIBRARIES, *TOOLS)), "machine": facts()}
    rows: Sequence[Measurement] = ()
    try:
        rows = read()
    except (ValueError, LookupError, OSError) as error:
        found["store"] = scrub(str(error))
    found["selftest"] = scrubbed(_tested() if selftest else _resolution(rows), scrub)
    return found | {"rows": [_row(row, scrub) for row in rows]}


def write_bug_report(found: Mapping[str, Any], path: Path) -> Path:
    """The file, whole. Raises OSError; ask `check_free` first."""
    write_text(path, json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    return path


def check_free(path: Path) -> None:
    """Raises ValueError where `path` is a file that is no bug report: that one is not written over."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        begins = file.read(len(MARK) + 20)
    if not begins.lstrip("{ \n").startswith(f'"{MARK}"'):
        raise ValueError(f"out: {path} is there and is no bug report, so it is not written over; give another --out")


def contents(found: Mapping[str, Any]) -> str:
    """What is in the file, in a sentence."""
    rows = found["rows"]
    runs = ", ".join(sorted({row["run"] for row in rows}))
    samples = f"{len(rows)} rows with their samples (run {runs})" if rows else f"no rows ({found.get('store', 'none')})"
    tested = "the self-test's verdict" if "clock_ms" in found["selftest"] else "what is known of the self-test"
    return f"It holds the versions of Python and libraries, facts of the machine, {tested}, and {samples}."


def _row(row: Measurement, scrub: Scrub) -> dict[str, Any]:
    """The row's own fields keep their names, and versions with four parts, which look like addresses, their values."""
    found = {name: scrubbed(value, scrub) for name, value in row.to_json().items()}
    plain = {library: version for library, version in row.versions.items() if VERSION.fullmatch(version)}
    return found | {"versions": found["versions"] | plain}


def _resolution(rows: Sequence[Measurement]) -> dict[str, Any]:
    known = [row.resolution_pct for row in rows if row.resolution_pct is not None]
    asked = "not run now; --selftest runs it"
    return {"said": asked, "resolution_pct": known[-1]} if known else {"said": asked}


def _tested() -> dict[str, Any]:
    from paretodet.bench.job import Plan
    from paretodet.bench.selftest import SelfTestError, selftest

    try:
        return selftest(Plan())._asdict()
    except SelfTestError as error:
        return {"said": str(error)}
