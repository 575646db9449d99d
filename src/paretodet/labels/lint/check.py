"""A check of labeled images: a function that looks, with its level and the fix it recommends."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice

from paretodet.labels.lint.finding import Finding, Level, Place, broken
from paretodet.labels.lint.subject import Subject

KEPT = 10_000  # places of one finding; all are counted

Look = Callable[[Subject], Iterable[Place]]


@dataclass(frozen=True)
class Check:
    """`level` of what it reports.

    error: it could not be examined. fault: training or accuracy would be wrong, or something is left out. warning: it
    is probably a mistake. note: legal, and good to know.
    """

    name: str
    level: Level
    fix: str  # one sentence
    look: Look
    decoded: bool = False  # it needs every image's pixels
    hides: tuple[str, ...] = ()  # checks whose findings follow from what this one finds


def check(
    name: str, level: Level, fix: str, *, decoded: bool = False, hides: tuple[str, ...] = ()
) -> Callable[[Look], Check]:
    """Makes a check of the function that looks."""
    return lambda look: Check(name, level, fix, look, decoded, hides)


def run(check: Check, subject: Subject) -> Finding | None:
    """What the check reports, None if nothing; an error that names it if it raises."""
    try:
        places = iter(check.look(subject))
        first = tuple(islice(places, KEPT))
        count = len(first) + sum(1 for _ in places)
    except Exception as error:  # whatever it is, it must not pass for health
        return broken(check.name, Place(subject.path, "", f"the check broke down: {type(error).__name__}: {error}"))
    return Finding(check=check.name, level=check.level, fix=check.fix, count=count, places=first) if count else None
