"""The form of findings/: every script is self-contained, states what it shows, and is listed. None is run here."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "findings"
FINDINGS = sorted(FOLDER.glob("*.sh"))


@pytest.fixture(params=FINDINGS, ids=lambda path: path.stem)
def finding(request: pytest.FixtureRequest) -> str:
    return str(request.param.read_text("utf-8"))


def test_the_header_says_what_one_expects_what_happens_and_when_it_was_seen(finding: str) -> None:
    header = finding.partition("\nset -euo pipefail\n")[0]
    titles = re.findall(r"^# (Expect|Happens|Versions|Seen):", header, re.MULTILINE)
    assert titles == ["Expect", "Happens", "Versions", "Seen"]
    assert re.search(r"^# Seen: +\d{4}-\d\d-\d\d$", header, re.MULTILINE)


def test_packages_are_pinned_unless_the_newest_are_requested(finding: str) -> None:
    packages = re.search(r'^packages="(.*)"$', finding, re.MULTILINE)
    assert packages and all("==" in package for package in packages[1].split())
    assert "FINDINGS_NEWEST" in finding


def test_it_cleans_up_and_uses_nothing_of_this_project(finding: str) -> None:
    assert "mktemp -d" in finding and "trap 'rm -rf" in finding
    assert "paretodet" not in finding and "://" not in finding


def test_a_failed_installation_is_no_change_of_behavior(finding: str) -> None:
    assert "|| exit 2" in finding and "sys.exit(" in finding


def test_every_finding_is_in_the_list() -> None:
    listed = re.findall(r"^\| \[`([\w-]+)`\]\(\1\.sh\)", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    assert listed == [path.stem for path in FINDINGS] and len(listed) >= 2
