"""The reference pages of the site as Markdown: every command's help, the public names, error ids, a row's fields."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

import paretodet
from paretodet import errors
from paretodet.cli import app
from paretodet.records import measurement

EXAMPLE = re.compile(r"^>>> .*(?:\n.+)*", re.MULTILINE)
ERROR = re.compile(r'    "(?P<id>[a-z-]+)",  # (?P<means>[^:]+): (?P<fix>.+)')
ERROR_GROUP = re.compile(r"    # (?P<title>[^,;]+)(?:[,;] (?P<about>.*))?")
FIELD = re.compile(r"    (?P<name>\w+): (?P<type>[^=#]+?)(?: = [^#]+?)?(?:  # (?P<about>.*))?")
SECTION = re.compile(r"    # (?P<title>[^:,;]+)(?:[:,;] (?P<about>.*))?")


def commands() -> str:
    """A section a command: its help, arguments and options with their defaults."""
    return "\n\n".join(_command(name, command) for name, command in every_command().items())


def every_command() -> dict[str, Any]:
    """All commands by what is typed; `weights get` follows `weights`."""
    return dict(_every("", get_command(app)))


def _every(before: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in getattr(group, "commands", {}).items():
        yield f"{before}{name}", command
        yield from _every(f"{before}{name} ", command)


def public_names() -> str:
    """What mkdocstrings fills with the docstring of each public name."""
    return "\n\n".join(f"::: paretodet.{name}" for name in paretodet.__all__ if not name.startswith("_"))


def fields() -> str:
    """A table of a row's fields for each section of `Measurement`, from the comments beside them."""
    source = Path(measurement.__file__).read_text(encoding="utf-8")
    body = source.partition("class Measurement:")[2].partition("\n    def ")[0]
    return "\n".join(_field_lines(body.splitlines()))


def error_ids() -> str:
    """A table of error ids for each group of `ErrorId`, from the comments beside them."""
    source = Path(errors.__file__).read_text(encoding="utf-8")
    body = source.partition("ErrorId = Literal[")[2].partition("\n]")[0]
    return "\n".join(_error_lines(body.splitlines()))


def fenced(docstring: str) -> str:
    """A docstring in which its examples are blocks of code for Markdown."""
    return EXAMPLE.sub(lambda example: f"```pycon\n{example[0]}\n```", docstring)


def _command(name: str, command: Any) -> str:
    context = command.make_context(f"paretodet {name}", [], resilient_parsing=True)
    usage = " ".join(command.get_usage(context).split()).removeprefix("Usage: ")
    records = filter(None, (parameter.get_help_record(context) for parameter in command.get_params(context)))
    rows = [f"| `{_cell(spelled)}` | {_plain(' '.join(about.split()))} |" for spelled, about in records]
    table = ["| Argument or option | Meaning |", "|---|---|", *rows]
    return "\n\n".join([f"## {name}", f"```\n{usage}\n```", _plain(command.help or ""), "\n".join(table)])


def _error_lines(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if group := ERROR_GROUP.fullmatch(line):
            yield f"\n## {group['title']}\n"
            yield f"{_plain(group['about'].capitalize())}.\n" if group["about"] else ""
            yield "| Id | What it means | What to do |\n|---|---|---|"
        elif error := ERROR.fullmatch(line):
            yield f"| `{error['id']}` | {_plain(error['means'])} | {_plain(error['fix'])} |"


def _field_lines(lines: list[str]) -> Iterator[str]:
    for line in lines:
        if section := SECTION.fullmatch(line):
            yield f"\n## {section['title'].capitalize()}\n"
            yield f"{_plain(section['about'])}\n" if section["about"] else ""
            yield "| Field | Type | Meaning |\n|---|---|---|"
        elif field := FIELD.fullmatch(line):
            yield f"| `{field['name']}` | {_plain(field['type'])} | {_plain(field['about'] or '')} |"


def _cell(code: str) -> str:
    return code.replace("|", r"\|")


def _plain(text: str) -> str:
    """Text whose characters mean nothing to Markdown; code between backticks stays code, paragraphs stay apart."""
    parts = text.split("`")
    parts[::2] = [re.sub(r"([\\*_\[\]|])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "`".join(parts)
