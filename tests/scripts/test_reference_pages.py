"""The parts of the site that are made from the code."""

import dataclasses
import re
from pathlib import Path

import docs_hooks
import paretodet
import reference_pages
from paretodet.errors import ERROR_IDS
from paretodet.records.measurement import Measurement

COMMANDS = reference_pages.every_command()


def test_every_command_has_a_section_with_all_of_its_options() -> None:
    sections = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", reference_pages.commands(), re.MULTILINE | re.DOTALL))
    assert list(sections) == list(COMMANDS)
    for name, command in COMMANDS.items():
        options = [option for parameter in command.params for option in parameter.opts if option.startswith("-")]
        assert [option for option in options if option not in sections[name]] == []


def test_a_default_is_shown_once() -> None:
    lines = [line for line in reference_pages.commands().splitlines() if line.startswith("| `--store")]
    assert lines and {line.count("default: paretodet.db") for line in lines} == {1}


def test_every_public_name_has_an_entry() -> None:
    made = reference_pages.public_names().split()
    assert made[1::2] == [f"paretodet.{name}" for name in paretodet.__all__ if name != "__version__"]


def test_every_field_of_a_row_is_in_a_table() -> None:
    made = re.findall(r"^\| `(\w+)` \|", reference_pages.fields(), re.MULTILINE)
    assert made == [field.name for field in dataclasses.fields(Measurement)]


def test_every_error_id_is_in_a_table_with_a_cause_and_a_fix() -> None:
    made = re.findall(r"^\| `([a-z-]+)` \| (.+) \| (.+) \|$", reference_pages.error_ids(), re.MULTILINE)
    assert tuple(id for id, *_ in made) == ERROR_IDS
    assert all(text.strip() for _, *texts in made for text in texts)


def test_text_is_escaped_for_markdown_but_code_is_not() -> None:
    assert reference_pages._plain("a|b_c `d_e` [f] <g>") == r"a\|b\_c `d_e` \[f\] &lt;g>"


def test_examples_become_blocks_of_code() -> None:
    docstring = "What it does.\n\n>>> f(\n...     1)\n2\n\nMore.\n>>> g()"
    fences = "What it does.\n\n```pycon\n>>> f(\n...     1)\n2\n```\n\nMore.\n```pycon\n>>> g()\n```"
    assert reference_pages.fenced(docstring) == fences


def test_markers_are_filled_and_rows_are_found_inside_the_site() -> None:
    text = docs_hooks.on_page_markdown("<!-- fields -->\n[rows](../results/a.jsonl) [more](../../results/b.jsonl)")
    assert "`latency_ms_p50`" in text and text.endswith("[rows](results/a.jsonl) [more](../results/b.jsonl)")


def test_every_marker_is_on_one_page() -> None:
    docs = Path(docs_hooks.__file__).resolve().parents[1] / "docs"
    pages = [path.read_text("utf-8") for path in docs.rglob("*.md")]
    assert [sum(marker in page for page in pages) for marker in docs_hooks.MARKERS] == [1] * len(docs_hooks.MARKERS)
