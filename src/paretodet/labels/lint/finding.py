"""A check of labeled images and what it finds, as data."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from paretodet.labels.lint.subject import Subject

Level = Literal["error", "fault", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "fault", "warning", "note")
KEPT = 10_000  # places of one finding; all are counted


def writable(text: str) -> str:
    """The text as UTF-8 can have it: names of files may be any bytes."""
    return text.encode("utf-8", "replace").decode("utf-8")


class Place(NamedTuple):
    """Where something is found, and what it is."""

    file: Path
    place: str  # which annotation, line or object of the file; empty for the whole file
    text: str

    def to_json(self) -> dict[str, str]:
        return {name: writable(str(value)) for name, value in self._asdict().items()}

    def __str__(self) -> str:
        return f"{self.file}{self.place and ' ' + self.place}: {self.text}"


Look = Callable[["Subject"], Iterable[Place]]


@dataclass(frozen=True)
class Check:
    """`level` is what it means where it finds something.

    error: it could not be examined. fault: training or accuracy would be wrong, or something is left out. warning: it
    is probably not meant. note: legal, and good to know.
    """

    name: str
    level: Level
    fix: str  # one sentence
    look: Look
    decoded: bool = False  # it needs every picture's pixels


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    level: Level
    fix: str
    count: int
    places: tuple[Place, ...]  # the first KEPT

    def to_json(self) -> dict[str, Any]:
        places = [each.to_json() for each in self.places]
        return {"check": self.check, "level": self.level, "count": self.count, "fix": self.fix, "places": places}


def check(name: str, level: Level, fix: str, *, decoded: bool = False) -> Callable[[Look], Check]:
    """Makes a check of the function that looks."""
    return lambda look: Check(name, level, fix, look, decoded)


def run(check: Check, subject: "Subject") -> Finding | None:
    """What the check finds, nothing where it finds nothing; where it breaks down, an error that names it."""
    try:
        found = iter(check.look(subject))
        first = tuple(islice(found, KEPT))
        count = len(first) + sum(1 for _ in found)
    except Exception as error:  # whatever it is, it must not pass for health
        return broken(check.name, Place(subject.path, "", f"the check broke down: {type(error).__name__}: {error}"))
    return Finding(check=check.name, level=check.level, fix=check.fix, count=count, places=first) if count else None


def broken(name: str, *places: Place, fix: str = "Report it: a check must never break down.") -> Finding:
    """Something could not be examined."""
    return Finding(check=name, level="error", fix=fix, count=len(places), places=places)
