"""What leaves the command line: data on standard output, everything else on standard error."""

import json
import shlex
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console, RenderableType

from paretodet.report.formats import plain

ONE_LINE = json.JSONEncoder(ensure_ascii=False).encode
NOTES = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """One JSON document; a list has one item a line. Of a file's name that is no UTF-8, "?" stands for what is not."""
    text = f"[{_lines(value)}]" if isinstance(value, list) else _document(value)
    sys.stdout.write(text.encode("utf-8", "replace").decode() + "\n")


def show(item: RenderableType) -> None:
    """A table or sentence for a person, whole however narrow the terminal when it goes to a file or pipe."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(printable(item) if isinstance(item, str) else item, markup=False, soft_wrap=isinstance(item, str))


def note(sentence: str) -> None:
    NOTES.print(printable(sentence), markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """Lines as they are, without what steers a terminal: names come from files that anybody may have written."""
    return "\n".join(map(plain, text.split("\n")))


def note_next(*words: object, **options: object) -> None:
    """The command to type next: `words`, then an option for each of `options` that is there, by its name."""
    given = [(name, value) for name, value in options.items() if value is not None and value is not False]
    flags = [part for name, value in given for part in (f"--{name.replace('_', '-')}", value) if part is not True]
    note(f"Next: paretodet {shlex.join(map(str, (*words, *flags)))}")


def note_all(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        note(sentence)


def _document(value: Any) -> str:
    """Indented but for lists of objects, which may be very long: of these each object has a line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, indent=1, ensure_ascii=False)
    return "{\n" + ",\n".join(f" {json.dumps(str(key))}: {_entry(inner)}" for key, inner in value.items()) + "\n}"


def _entry(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return f"[\n  {_lines(value, 2)}\n ]"
    return json.dumps(value, indent=1, ensure_ascii=False).replace("\n", "\n ")


def _lines(items: list[Any], deep: int = 1) -> str:
    return f",\n{' ' * deep}".join(map(ONE_LINE, items))
