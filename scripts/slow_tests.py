"""Prints the tests that take more CPU time than the short tier allows: `slow_tests.py REPORT.xml...`, JUnit files."""

import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

LIMIT_S = 5.0


def cpu_times(reports: list[Path]) -> Iterator[tuple[str, float]]:
    """Each test and its CPU time in s, which `tests/conftest.py` writes."""
    for report in reports:
        for case in ElementTree.parse(report).iter("testcase"):
            for each in case.iter("property"):
                if each.get("name") == "cpu_s":
                    yield f"{case.get('classname')}::{case.get('name')}", float(each.get("value", "0"))


def slow(reports: list[Path]) -> list[tuple[str, float]]:
    """Those above the limit, the slowest first."""
    return sorted((each for each in cpu_times(reports) if each[1] > LIMIT_S), key=lambda each: -each[1])


if __name__ == "__main__":
    found = slow([Path(name) for name in sys.argv[1:]])
    print(f"tests over {LIMIT_S:g} s of CPU time outside of the full tier: {len(found)}, 0 is the aim")
    for name, seconds in found:
        print(f"{seconds:6.1f} s  {name}")
