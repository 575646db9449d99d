"""Links, commands, options, names and numbers in the README and under docs/ are correct."""

import ast
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

import paretodet
from paretodet.detectors.catalogue import entries
from reference_pages import every_command

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.rglob("*.md")), ROOT / "README.md"]
FENCE = re.compile(r"^```(?P<language>\w*)\n(?P<code>.*?)^```", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `(?P<name>[\w-]+)` \| (?P<parameters>[\d,]+) \| (?P<gflops>[\d.]+) \|", re.MULTILINE)
CATALOGUE = {entry.name: entry for entry in entries()}
ROWS = list(ROW.finditer((DOCS / "systems.md").read_text("utf-8")))
OPTIONS = {
    name: {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    | {"--help"}
    for name, command in every_command().items()
}
COMMAND = r"([a-z][a-z-]*(?: get)?)\b"  # `weights get` is one command
GENERATED = "reference/python.md"  # its headings are the public names


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """The page without its code blocks."""
    return FENCE.sub("", page.read_text("utf-8"))


def anchors(page: Path) -> set[str]:
    """What the headings of a page are called in links: as mkdocs and code forges call them."""
    if page == DOCS / GENERATED:
        return {f"paretodet.{name}" for name in paretodet.__all__}
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


def broken(page: Path) -> Iterator[str]:
    """Links to a file or heading that does not exist."""
    for link in re.findall(r"\]\(([^)]+)\)", prose(page)):
        file, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def shown(page: Path) -> Iterator[tuple[str, set[str]]]:
    """Every command in a block of code or between backticks, with its options."""
    text = page.read_text("utf-8")
    blocks = [line for block in FENCE.finditer(text) for line in block["code"].replace("\\\n", " ").splitlines()]
    spans = re.findall(r"`([^`]+)`", FENCE.sub("", text))
    for code in (*blocks, *spans):
        code = code.split("  #")[0]
        for name, rest in re.findall(rf"\bparetodet\s+{COMMAND}(?![:./=])([^|]*)", code):
            yield name, set(re.findall(r"(?<![\w-])--[a-z][\w-]*", rest))
    for span in spans:  # `measure --until 3`, as tables and prose name an option
        named = re.match(COMMAND, span)
        if named and named[1] in OPTIONS and "--" in span:
            yield named[1], set(re.findall(r"(?<![\w-])--[a-z][\w-]*", span))


def imports(page: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of what the Python blocks use of this package."""
    for block in FENCE.finditer(page.read_text("utf-8")):
        if block["language"] != "python":
            continue
        for node in ast.walk(ast.parse(block["code"])):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "paretodet":
                yield from ((node.module or "", alias.name) for alias in node.names)
            elif isinstance(node, ast.Attribute) and ast.unparse(node.value) == "paretodet":
                yield "paretodet", node.attr


def is_there(module: str, name: str) -> bool:
    """Whether a name can be imported; of a module without importing it, for its extra may be missing."""
    if module == "paretodet":
        return name in paretodet.__all__
    found = find_spec(module)
    if found is None or found.origin is None:
        return False
    body = ast.parse(Path(found.origin).read_text("utf-8")).body
    bound = {each.name for each in body if isinstance(each, ast.ClassDef | ast.FunctionDef)}
    return name in bound or find_spec(f"{module}.{name}") is not None


def pages_of(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
        return
    for entry in nav.values() if isinstance(nav, dict) else nav:
        yield from pages_of(entry)


def test_the_readme_is_short_and_says_early_that_no_weights_ship() -> None:
    lines = (ROOT / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 120
    assert any("No weights ship" in line for line in lines[:15])


def test_the_site_has_every_page_and_no_other() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    assert sorted(pages_of(nav)) == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files_and_headings_that_are_there(page: Path) -> None:
    assert list(broken(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_options_that_are_shown_can_be_typed(page: Path) -> None:
    assert [each for each in shown(page) if each[0] not in OPTIONS or not each[1] <= OPTIONS[each[0]]] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_names_that_are_shown_can_be_imported(page: Path) -> None:
    assert [each for each in imports(page) if not is_there(*each)] == []


def test_much_is_shown() -> None:
    commands = [each for page in PAGES for each in shown(page)]
    assert {name for name, _ in commands} >= {"measure", "recommend", "train", "evaluate", "doctor", "report"}
    assert sum(len(options) for _, options in commands) > 60
    assert len([each for page in PAGES for each in imports(page)]) >= 8


def test_the_page_has_the_survey_and_more() -> None:
    assert len(ROWS) >= 18


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_counts_are_the_catalogues(row: re.Match[str]) -> None:
    entry = CATALOGUE[row["name"]]
    assert int(row["parameters"].replace(",", "")) == entry.parameters
    assert float(row["gflops"]) == round(entry.flops / 1e9, 2)
