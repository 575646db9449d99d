"""The text of a darknet cfg: sections of options, every value with its line, read with limits."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from paretodet.errors import ErrorId, InputError, words
from paretodet.reading import read_bytes

MAX_BYTES = 2**20
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")


class CfgError(InputError):
    """A cfg that cannot be used: file, line, section, field, and what would do."""

    def __init__(self, message: str, id: ErrorId = "cfg-malformed") -> None:
        super().__init__(message, id)


class Option(NamedTuple):
    """The text after `=`, without spaces, and its line."""

    text: str
    line: int


class CfgSection:
    """One `[name]` and its options. As in darknet, of an option given twice the first counts.

    The readers raise CfgError for text that is no number, or a number out of range.
    """

    def __init__(self, path: Path, name: str, line: int):
        self.path, self.name, self.line = path, name, line
        self.options: dict[str, Option] = {}

    def error(self, field: str, message: str, id: ErrorId = "cfg-malformed") -> CfgError:
        """The error to raise about one field, at its own line where it has one."""
        line = self.options[field].line if field in self.options else self.line
        return CfgError(f"{self.path}:{line}: [{self.name}] {field}: {message}", id)

    def integer(self, field: str, default: int, *, low: int, high: int) -> int:
        if field not in self.options:
            return default
        return self._integer(field, self.options[field].text, low, high)

    def integers(self, field: str, *, low: int, high: int) -> tuple[int, ...]:
        """A comma-separated list; () if the field is absent."""
        return tuple(self._integer(field, text, low, high) for text in self._parts(field))

    def number(self, field: str, default: float, *, low: float, high: float) -> float:
        if field not in self.options:
            return default
        return self._number(field, self.options[field].text, low, high)

    def numbers(self, field: str, *, low: float, high: float) -> tuple[float, ...]:
        """A comma-separated list; () if the field is absent."""
        return tuple(self._number(field, text, low, high) for text in self._parts(field))

    def choice(self, field: str, default: str, known: Sequence[str]) -> str:
        """One word among `known`."""
        text = self.options[field].text if field in self.options else default
        if text not in known:
            raise self.error(field, f"got {text[:40]!r}, known are {', '.join(known)}", "cfg-unsupported")
        return text

    def only(self, known: Sequence[str]) -> None:
        """Raises CfgError for an option that is not known: it may change what is computed."""
        for field in self.options:
            if field not in known:
                raise self.error(
                    field[:40], f"not known in [{self.name}], known are {', '.join(sorted(known))}", "cfg-unsupported"
                )

    def never(self, *fields: str) -> None:
        """Raises CfgError if one of these is switched on: what it does is not read here."""
        for field in fields:
            if field in self.options and self.options[field].text != "0":
                raise self.error(field, f"got {self.options[field].text[:40]!r}, only 0 can be read", "cfg-unsupported")

    def _parts(self, field: str) -> list[str]:
        text = self.options[field].text if field in self.options else ""
        return [part for part in text.split(",") if part]

    def _integer(self, field: str, text: str, low: int, high: int) -> int:
        if not _INTEGER.fullmatch(text) or not low <= int(text) <= high:
            raise self.error(field, f"got {text[:40]!r}, it must be a whole number in {low}..{high}")
        return int(text)

    def _number(self, field: str, text: str, low: float, high: float) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise self.error(field, f"got {text[:40]!r}, it must be a number in {low:g}..{high:g}")
        return value


def read_sections(path: Path) -> list[CfgSection]:
    """Every section of the file, [net] first. Raises CfgError, before reading, for a file above MAX_BYTES.

    `#` and `;` start comments; spaces mean nothing, as in darknet.
    """
    sections: list[CfgSection] = []
    for line, raw in enumerate(_text(path).split("\n"), 1):
        text = "".join(re.split("[#;]", raw, maxsplit=1)[0].split())
        if text.startswith("[") and text.endswith("]"):
            sections.append(CfgSection(path, text[1:-1][:40], line))
        elif text:
            _add(path, sections, text, line)
    if not sections or sections[0].name not in ("net", "network"):
        found = f"[{sections[0].name}]" if sections else "no section"
        raise CfgError(f"{path}:{sections[0].line if sections else 1}: got {found}, a cfg starts with [net]")
    return sections


def _add(path: Path, sections: list[CfgSection], text: str, line: int) -> None:
    name, equals, value = text.partition("=")
    if not (name and equals and value) or not sections:
        raise CfgError(f"{path}:{line}: got {text[:40]!r}, it must be [section] or option=value inside a section")
    sections[-1].options.setdefault(name, Option(value, line))


def _text(path: Path) -> str:
    if not path.is_file():
        raise CfgError(f"{path}: no such file", "file-missing")
    try:
        content = read_bytes(path, MAX_BYTES)
    except ValueError as error:
        raise CfgError(f"{path}: {words(error)}, which no cfg needs", "file-too-large") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise CfgError(f"{path}:{line}: byte {error.start} is not UTF-8, so this is no cfg") from error
