"""A bug report: one JSON file with what a maintainer needs to know about a failure, and nothing personal."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from paretodet.bench.machine import facts, versions
from paretodet.errors import InputError
from paretodet.extras import requirements
from paretodet.records.measurement import Measurement
from paretodet.report.formats import plural
from paretodet.report.scrub import Scrub, scrubbed
from paretodet.version import __version__
from paretodet.writing import write_text

MARK = "paretodet_bugreport"  # the first key of the file
FORMAT = 1
VERSION = re.compile(r"\d+(\.\d+)*([.+-]?[a-z]+\d*)*")


def bug_report(read: Callable[[], Sequence[Measurement]], *, scrub: Scrub, selftest: bool = False) -> dict[str, Any]:
    """Versions, machine, self-test and the full rows that `read` returns, or its error, as JSON; all scrubbed."""
    report: dict[str, Any] = {MARK: FORMAT, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    report |= {"paretodet": __version__, "versions": versions(_required()), "machine": facts()}
    rows: Sequence[Measurement] = ()
    try:
        rows = read()
    except (ValueError, LookupError, OSError) as error:
        report["store"] = scrub(str(error))
    report["selftest"] = scrubbed(_tested() if selftest else _resolution(rows), scrub)
    return report | {"rows": [_row(row, scrub) for row in rows]}


def _required() -> list[str]:
    return sorted({name for name, _ in requirements()})


def write_bug_report(report: Mapping[str, Any], path: Path) -> Path:
    """Write the file atomically. Raises OSError; call `check_free` first."""
    write_text(path, json.dumps(report, indent=1, ensure_ascii=False) + "\n")
    return path


def check_free(path: Path) -> None:
    """Raises ValueError if `path` is a file that is not a bug report: such a file is never overwritten."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        start = file.read(len(MARK) + 20)
    if not start.lstrip("{ \n").startswith(f'"{MARK}"'):
        raise InputError(
            f"out: {path} exists and is not a bug report; it is not overwritten; give another --out", "output-exists"
        )


def contents(report: Mapping[str, Any]) -> str:
    """One sentence about what is in the file."""
    rows = report["rows"]
    runs = ", ".join(sorted({row["run"] for row in rows}))
    samples = (
        f"{plural(len(rows), 'row')} with all samples (run {runs})"
        if rows
        else f"no rows ({report.get('store', 'none')})"
    )
    tested = "the result of the self-test" if "clock_ms" in report["selftest"] else "the last self-test's resolution"
    return f"It contains the versions of Python and libraries, facts about the machine, {tested}, and {samples}."


def _row(row: Measurement, scrub: Scrub) -> dict[str, Any]:
    """The row's JSON, scrubbed except for field names and versions (one of four parts looks like an IP address)."""
    fields = {name: scrubbed(value, scrub) for name, value in row.to_json().items()}
    fields["raw"] = [_without_programs(process) for process in fields["raw"]]
    plain = {library: version for library, version in row.versions.items() if VERSION.fullmatch(version)}
    return fields | {"versions": fields["versions"] | plain}


def _without_programs(process: Any) -> Any:
    """A process's record without the names of other programs that were running."""
    return {**process, "waited_for": "<hidden>"} if isinstance(process, dict) and "waited_for" in process else process


def _resolution(rows: Sequence[Measurement]) -> dict[str, Any]:
    known = [row.resolution_pct for row in rows if row.resolution_pct is not None]
    note = "not run; --selftest runs it"
    return {"note": note, "resolution_pct": known[-1]} if known else {"note": note}


def _tested() -> dict[str, Any]:
    from paretodet.bench.job import Plan
    from paretodet.bench.selftest import SelfTestError, selftest

    try:
        return selftest(Plan())._asdict()
    except SelfTestError as error:
        return {"error": str(error)}
