"""Prints the JSON line of a full test run: `record_full.py STARTED REPORT.xml...`, STARTED in seconds since 1970."""

import json
import platform
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree


def outcomes(reports: list[Path]) -> Counter[str]:
    """The numbers of passed, failed (with errors) and skipped tests in pytest's JUnit files."""
    counts: Counter[str] = Counter()
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            kinds = {child.tag for child in case}
            counts["failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"] += 1
    return counts


def cpu() -> str:
    """The processor's model; nothing about the machine's name or user."""
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def commit() -> str:
    """HEAD's hash, followed by "-dirty" if tracked files are modified."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def record(started: float, reports: list[Path]) -> dict[str, Any]:
    """The line for results/full.jsonl."""
    counts = outcomes(reports)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "duration_s": round(time.time() - started),
        **{kind: counts[kind] for kind in ("passed", "failed", "skipped")},
        "python": platform.python_version(),
        "torch": version("torch"),
        "cpu": cpu(),
    }


if __name__ == "__main__":
    print(json.dumps(record(float(sys.argv[1]), [Path(name) for name in sys.argv[2:]])))
