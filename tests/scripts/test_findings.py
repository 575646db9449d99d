"""The form of findings/: every script is self-contained, states what it shows, and is listed. None is run here."""

import os
import re
import subprocess
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


@pytest.mark.parametrize(("ended", "status"), [(0, 0), (10, 1), (1, 2), (139, 2)])
def test_only_an_answer_is_a_change_of_behavior(finding: str, ended: int, status: int, tmp_path: Path) -> None:
    """`ended` is how Python ends, which ends with 1 after an exception."""
    made = "#!/bin/sh\nmkdir -p venv/bin && ln -s /bin/true venv/bin/pip\n"
    made += f'printf "#!/bin/sh\\nexit {ended}\\n" >venv/bin/python && chmod +x venv/bin/python\n'
    (tmp_path / "python3").write_text(made)
    (tmp_path / "python3").chmod(0o755)
    (tmp_path / "finding.sh").write_text(finding)
    environment = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    assert subprocess.run(["bash", tmp_path / "finding.sh"], env=environment).returncode == status


def test_every_name_in_the_readme_is_a_finding() -> None:
    text = (FOLDER / "README.md").read_text("utf-8")
    named = re.findall(r"^scripts/findings ([a-z][\w-]+)", text, re.MULTILINE)
    assert named and set(named) <= {path.stem for path in FINDINGS}


def test_every_finding_is_in_the_list() -> None:
    listed = re.findall(r"^\| \[`([\w-]+)`\]\(\1\.sh\)", (FOLDER / "README.md").read_text("utf-8"), re.MULTILINE)
    assert listed == [path.stem for path in FINDINGS] and len(listed) >= 2
