"""The Python scripts: lines of code, repetition, missing packages, and the record of a full run."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bearings
import missing
import record_full
import slow_tests

SCRIPTS = Path(bearings.__file__).parent


SOURCE = '''"""Module.

documented"""

x = (
    1
)  # why
# alone
def f():
    """Two
    lines."""
    return """a
b"""
'''


def test_a_line_of_code_is_neither_blank_nor_comment_nor_docstring():
    assert bearings.code_lines(SOURCE) == [5, 6, 7, 9, 12, 13]
    assert bearings.function_lengths(SOURCE) == {"f:9": 3}


def test_methods_and_inner_functions_are_functions():
    source = "class A:\n    def f(self):\n        def g():\n            pass\n        return g\n"
    assert bearings.function_lengths(source) == {"f:2": 4, "g:3": 2}


def test_repetition_needs_eight_equal_lines_whatever_their_indent():
    eight = "".join(f"x{i} = {i}\n" for i in range(8))
    seven = "".join(f"y{i} = {i}\n" for i in range(7))
    indented = "if 1:\n" + "".join(f"    x{i} = {i}\n" for i in range(8))
    assert bearings.repeated_share([eight, indented]) == 16 / 17
    assert bearings.repeated_share([seven, seven]) == 0
    assert bearings.repeated_share([]) == 0


def test_every_closing_edge_is_a_cycle():
    assert bearings.cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []
    assert bearings.cycles({"a": {"a"}}) == [["a", "a"]]
    assert bearings.cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == [["b", "c", "b"]]


def test_a_class_name_defined_twice_is_listed_with_its_files():
    texts = {"a.py": "class A: pass", "b.py": "def f():\n    class A: pass\nclass B: pass"}
    assert bearings.repeated_classes(texts) == {"A": ["a.py", "b.py"]}
    assert bearings.counted(["x.py", "y.py"]) == "2  x.py  y.py" and bearings.counted([]) == "0"


def test_a_file_that_names_a_label_format_is_listed(tmp_path):
    formats = tmp_path / "labels" / "formats"
    formats.mkdir(parents=True)
    (formats / "mine.py").write_text('MINE = Format(name="mine", suffixes=(".x",))')
    (tmp_path / "other.py").write_text('if form == "mine":\n    pass')
    (tmp_path / "third.py").write_text('"""It reads mine."""')
    assert bearings.format_names(tmp_path) == {"mine"}
    assert bearings.files_that_name_a_format(tmp_path) == ["other.py"]


def test_requirements_follow_the_projects_own_extras():
    extras = {"all": ["p[x,y]"], "x": ["one>=1"], "y": ["two[extra]==2", "p[z]"], "z": ["three"]}
    project = {"name": "p", "dependencies": ["base-lib>=1"], "optional-dependencies": extras}
    assert list(missing.requirements(project, ["all"])) == ["base-lib", "one", "two", "three"]
    assert list(missing.requirements(project, ["z"])) == ["base-lib", "three"]


def test_only_this_checkout_counts_as_installed(tmp_path):
    command = [sys.executable, str(SCRIPTS / "missing.py"), "report"]
    (tmp_path / "paretodet").mkdir()
    (tmp_path / "paretodet" / "__init__.py").touch()
    elsewhere = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(tmp_path)})
    assert "paretodet" in elsewhere.stdout.split()
    here = {"PYTHONPATH": str(SCRIPTS.parent / "src")}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=here)
    assert "paretodet" not in found.stdout.split()


@pytest.fixture
def reports(tmp_path):
    def report(name, cases):
        path = tmp_path / name
        path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
        return path

    return [
        report("a.xml", "<testcase/><testcase><failure/></testcase><testcase><skipped/></testcase>"),
        report("b.xml", "<testcase/><testcase><error/></testcase>"),
    ]


def test_outcomes_are_summed_over_reports(reports):
    assert record_full.outcomes(reports) == {"passed": 2, "failed": 2, "skipped": 1}
    assert not record_full.outcomes([])


def test_a_full_run_is_recorded_in_one_line_without_names(reports, monkeypatch):
    monkeypatch.setattr(record_full.time, "time", lambda: 1700.4)
    monkeypatch.setattr(record_full, "commit", lambda: "0" * 40)
    row = record_full.record(1000.0, reports)
    assert list(row) == ["date", "commit", "duration_s", "passed", "failed", "skipped", "python", "torch", "cpu"]
    assert row["duration_s"] == 700
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", row["date"])
    assert "\n" not in json.dumps(row)


def test_slow_tests_are_those_of_much_cpu_time(tmp_path):
    def case(name, seconds):
        held = f'<properties><property name="cpu_s" value="{seconds}"/></properties>'
        return f'<testcase classname="tests.a" name="{name}" time="99">{held}</testcase>'

    cases = case("quick", 4.9) + case("slow", 5.1) + case("slower", 7.0) + '<testcase name="old" time="99"/>'
    path = tmp_path / "a.xml"
    path.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert slow_tests.slow([path]) == [("tests.a::slower", 7.0), ("tests.a::slow", 5.1)]


BURNING = """
import subprocess, sys, time

BURN = "import time\\nwhile time.process_time() < 0.3: pass"

def test_burns():
    subprocess.run([sys.executable, "-c", BURN], check=True)

def test_waits():
    time.sleep(0.3)
"""


def test_a_report_has_the_cpu_time_of_every_test_and_of_its_processes(tmp_path):
    (tmp_path / "conftest.py").write_text((SCRIPTS.parent / "tests" / "conftest.py").read_text())
    (tmp_path / "test_burning.py").write_text(BURNING)
    command = [sys.executable, "-m", "pytest", "-q", "--junitxml", "report.xml"]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    (_, burned), (_, waited) = slow_tests.cpu_times([tmp_path / "report.xml"])
    assert burned > 0.2 > waited
