"""What the pages under docs/ say of numbers, held to the numbers."""

import re
from pathlib import Path

import pytest

from paretodet.detectors.catalogue import entries

DOCS = Path(__file__).resolve().parents[1] / "docs"
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


def test_every_picture_is_there() -> None:
    pages = [*DOCS.glob("*.md"), DOCS.parent / "README.md"]
    links = [(page, link) for page in pages for link in re.findall(r"!\[[^]]*\]\(([^):]+)\)", page.read_text("utf-8"))]
    assert links and [link for page, link in links if not (page.parent / link).is_file()] == []
