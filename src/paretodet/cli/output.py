"""Output of the commands: data on standard output, everything else on standard error."""

import json
import shlex
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from typing import Any, TextIO
from uuid import uuid4

from rich.console import Console, RenderableType

from paretodet.records.location import without_passwords
from paretodet.report.formats import plain

ONE_LINE = json.JSONEncoder(ensure_ascii=False).encode
TOGETHER = 10_000  # items that are encoded by one call
FLAGS = {"calibration": "--calibrate", "labels": "--classes"}  # of the fields whose option has another name
NOTES = Console(stderr=True, highlight=False, emoji=False)
_DATA: ContextVar[TextIO | None] = ContextVar("data", default=None)  # standard output inside `data_only`


@contextmanager
def data_only() -> Iterator[None]:
    """Standard output has what the functions below print inside and nothing else: what a candidate prints goes to
    standard error.
    """
    token = _DATA.set(_data())
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        _DATA.reset(token)


def _data() -> TextIO:
    return _DATA.get() or sys.stdout


def print_json(value: Any) -> None:
    """Prints one JSON document; a list has one item per line. Bytes of a file name that are not UTF-8 become "?"."""
    text = f"[{_lines(value)}]" if isinstance(value, list) else _document(value)
    _data().write(text.encode("utf-8", "replace").decode() + "\n")


def print_text(text: str) -> None:
    """Prints a text for another program as it is."""
    _data().write(text)


def show(item: RenderableType) -> None:
    """Prints a table or sentence for a person, 160 columns wide if standard output is a file or pipe."""
    console = Console(file=_data(), highlight=False, emoji=False, width=None if _data().isatty() else 160)
    console.print(printable(item) if isinstance(item, str) else item, markup=False, soft_wrap=isinstance(item, str))


def note(sentence: str) -> None:
    """Prints a sentence on standard error."""
    NOTES.print(printable(sentence), markup=False, soft_wrap=True)


def printable(text: str) -> str:
    """The text without terminal control sequences, which names in files of unknown origin may contain, or passwords."""
    return without_passwords("\n".join(map(plain, text.split("\n"))))


def note_next(*words: object, **options: object) -> None:
    """Prints the command to run next: `words`, then each option that is neither None nor False."""
    given = [(name, value) for name, value in options.items() if value is not None and value is not False]
    flags = [part for name, value in given for part in (flag(name), value) if part is not True]
    note(f"Next: paretodet {shlex.join(map(str, (*words, *flags)))}")


def flag(field: str) -> str:
    """The option that sets a field, as it is typed."""
    return FLAGS.get(field, f"--{field.replace('_', '-')}")


def note_all(sentences: Iterable[str]) -> None:
    """Prints each sentence on standard error."""
    for sentence in sentences:
        note(sentence)


def _document(value: Any) -> str:
    """Indented JSON, in which a list of objects has one object per line."""
    if not isinstance(value, dict) or not value:
        return json.dumps(value, indent=1, ensure_ascii=False)
    return "{\n" + ",\n".join(f" {json.dumps(str(key))}: {_entry(inner)}" for key, inner in value.items()) + "\n}"


def _entry(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return f"[\n  {_lines(value, 2)}\n ]"
    return json.dumps(value, indent=1, ensure_ascii=False).replace("\n", "\n ")


def _lines(items: list[Any], deep: int = 1) -> str:
    """One item per line. One call encodes many of them, which takes half the time of a call per item."""
    mark, end = uuid4().hex, f",\n{' ' * deep}"  # the mark occurs in no item
    parts = (items[start : start + TOGETHER] for start in range(0, len(items), TOGETHER))
    texts = (ONE_LINE([word for item in part for word in (mark, item)])[1:-1] for part in parts)
    return end.join(text.removeprefix(f'"{mark}", ').replace(f', "{mark}", ', end) for text in texts)
