"""Checks of how label files are encoded."""

from collections.abc import Iterator
from pathlib import Path

from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit, Subject
from paretodet.reading import is_file

MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")


@check("byte-order-mark", "warning", "Save the file as UTF-8 without a byte order mark: other tools refuse it.")
def byte_order_mark(subject: Subject) -> Iterator[Place]:
    for file in dict.fromkeys(file for part in subject.parts for file in _files(subject, part)):
        if is_file(file) and _head(file).startswith(MARKS):
            yield Place(file, "", "it begins with a byte order mark")


def _files(subject: Subject, part: LabeledSplit) -> Iterator[Path]:
    if part.file.is_file():
        yield part.file
    yield from subject.texts(part)


def _head(file: Path) -> bytes:
    with file.open("rb") as opened:
        return opened.read(max(map(len, MARKS)))


CHECKS = (byte_order_mark,)
