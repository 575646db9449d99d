"""A large JSON object read piece by piece: no more of it is in memory than one element of its lists."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from paretodet.errors import InputError, words

CHUNK = 2**20  # characters
MAX_ELEMENT = 2**26  # characters of one element: 64 Mi
_SPACE = re.compile(r"[ \t\n\r]*")
_CUT = re.compile(r"[\d.eE+-]*\Z")  # behind a value at the end of what is read: a number may go on
_DECODER = json.JSONDecoder()


def elements(path: Path) -> Iterator[tuple[str, int, Any]]:
    """Members of the object in the file: (key, number, element) for each element of a list, and (key, -1, value) for
    each value, which is [] for a list.

    Raises ValueError naming the file if it cannot be read, is no JSON, or no object.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            yield from _members(_Text(file))
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"labels: {path} cannot be read as JSON ({words(problem)})", "json-invalid") from None


def items(path: Path) -> Iterator[Any]:
    """The elements of the list in the file. Raises ValueError naming the file, also if it holds no list."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            text = _Text(file)
            text.take("[")
            for _ in _items(text, "]"):
                yield text.value()
    except (OSError, ValueError, RecursionError) as problem:
        raise InputError(f"labels: {path} cannot be read as JSON ({words(problem)})", "json-invalid") from None


class _Text:
    """The unread text of a file, as much of it as is needed."""

    def __init__(self, file: TextIO):
        self._file, self._text, self._at, self._before = file, "", 0, 0

    def peek(self) -> str:
        """The next character that is no space; none at the end."""
        if self._at < len(self._text) and (next_one := self._text[self._at]) > " ":
            return next_one
        while True:
            self._at = _SPACE.match(self._text, self._at).end()  # type: ignore[union-attr]  # matches nothing, too
            if self._at < len(self._text) or not self._more(CHUNK):
                return self._text[self._at : self._at + 1]

    def take(self, allowed: str) -> str:
        """The next character, one of `allowed`."""
        character = self.peek()
        if not character or character not in allowed:
            place = self._before + self._at
            raise InputError(
                f"{character or 'the end'!r} at character {place}, expected {allowed or 'the end'!r}", "json-invalid"
            )
        self._at += 1
        return character

    def value(self) -> Any:
        """The next whole value."""
        self.peek()
        while True:
            wanted = max(CHUNK, len(self._text) - self._at)
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as problem:
                if self._more(wanted):
                    continue
                raise InputError(f"{problem.msg} at character {self._before + problem.pos}", "json-invalid") from None
            if not _CUT.match(self._text, end) or not self._more(wanted):
                self._at = end
                return value

    def _more(self, wanted: int) -> bool:
        if wanted > MAX_ELEMENT:
            raise InputError(
                f"no end within {MAX_ELEMENT} characters from character {self._before + self._at}", "json-invalid"
            )
        if chunk := self._file.read(wanted):
            self._before += self._at
            self._text, self._at = self._text[self._at :] + chunk, 0
        return bool(chunk)


def _members(text: _Text) -> Iterator[tuple[str, int, Any]]:
    if text.peek() == "[":
        raise InputError("it holds a list, an object is needed", "json-invalid")
    text.take("{")
    for _ in _items(text, "}"):
        if not isinstance(key := text.value(), str):
            raise InputError(f"a key is {type(key).__name__}, text is needed", "json-invalid")
        text.take(":")
        if text.peek() == "[":
            text.take("[")
            yield from ((key, number, text.value()) for number, _ in enumerate(_items(text, "]")))
            yield key, -1, []
        else:
            yield key, -1, text.value()
    if text.peek():
        text.take("")


def _items(text: _Text, close: str) -> Iterator[None]:
    """Yields before every item up to `close`; the caller takes the item."""
    if text.peek() == close:
        text.take(close)
        return
    while True:
        yield
        if text.take("," + close) == close:
            return
