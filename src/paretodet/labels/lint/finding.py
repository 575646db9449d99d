"""What a check of labeled images reports, as data."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

Level = Literal["error", "fault", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "fault", "warning", "note")


def writable(text: str) -> str:
    """The text as UTF-8 can hold it: names of files may be any bytes."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Place(NamedTuple):
    """A place in a file and what is wrong there."""

    file: Path
    place: str  # which annotation, line or object of the file; empty for the whole file
    text: str

    def to_json(self) -> dict[str, str]:
        return {name: writable(str(value)) for name, value in self._asdict().items()}

    def __str__(self) -> str:
        return f"{self.file}{self.place and ' ' + self.place}: {self.text}"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check reports."""

    check: str
    level: Level
    fix: str
    count: int
    places: tuple[Place, ...]  # the first of them

    def to_json(self) -> dict[str, Any]:
        places = [each.to_json() for each in self.places]
        return {"check": self.check, "level": self.level, "count": self.count, "fix": self.fix, "places": places}


def broken(name: str, *places: Place, fix: str = "Report it: a check must never break down.") -> Finding:
    """Something could not be examined."""
    return Finding(check=name, level="error", fix=fix, count=len(places), places=places)
