"""What the pages under docs/ say of numbers, held to the numbers."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from paretodet.cli import app
from paretodet.detectors.catalogue import entries

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"]
ROW = re.compile(r"^\| `(?P<name>[\w-]+)` \| (?P<parameters>[\d,]+) \| (?P<gflops>[\d.]+) \|", re.MULTILINE)
CATALOGUE = {entry.name: entry for entry in entries()}
ROWS = list(ROW.finditer((DOCS / "systems.md").read_text(encoding="utf-8")))


def test_the_page_has_the_survey_and_more() -> None:
    assert len(ROWS) >= 18


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_counts_are_the_catalogues(row: re.Match[str]) -> None:
    entry = CATALOGUE[row["name"]]
    assert int(row["parameters"].replace(",", "")) == entry.parameters
    assert float(row["gflops"]) == round(entry.flops / 1e9, 2)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_picture_and_every_file_that_is_linked_is_there(page: Path) -> None:
    links = re.findall(r"\]\(([^):#]+)(?:#[^)]*)?\)", page.read_text("utf-8"))
    assert links and [link for link in links if not (page.parent / link).exists()] == []


def commands(text: str) -> Iterator[tuple[str, set[str]]]:
    """Each command that is shown as code, and the options beside it."""
    blocks = re.findall(r"^```.*?^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    for code in (*lines, *spans):
        if found := re.search(r"\bparetodet\s+([a-z]+(?:-[a-z]+)?)\b(.*)", code, re.DOTALL):
            yield found[1], set(re.findall(r"(?<![\w-])--[a-z][\w-]*", found[2]))


def test_every_command_and_option_that_is_shown_can_be_typed() -> None:
    known = {
        name: {option for parameter in command.params for option in parameter.opts}
        for name, command in get_command(app).commands.items()  # type: ignore[attr-defined]
    }
    shown = [(page.name, *each) for page in PAGES for each in commands(page.read_text("utf-8"))]
    assert len(shown) > 20 and sum(len(options) for *_, options in shown) > 20
    assert [each for each in shown if each[1] not in known or not each[2] <= known[each[1]]] == []
