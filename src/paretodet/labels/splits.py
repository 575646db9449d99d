"""What the parts of a data set are called."""

import re
from collections.abc import Iterable

TRAIN, VAL = ("train", "training"), ("val", "valid", "validation")  # in exports, followed by a year or not
PARTS = (*TRAIN, *VAL, "dev", "test")
WHOLE = "all"  # the only part of a set that has none
REST = "rest"  # images that no other part has, and that training takes all the same


def usual(name: str) -> str:
    """Without its year."""
    return re.sub(r"\d+$", "", name)


def named(split: str | None, known: Iterable[str]) -> str | None:
    """The split itself, or, if it is none of `known`, the only one of these that is another usual name for it."""
    names = list(known)
    if split is None or split in names:
        return split
    alike = [name for name in names if any({split, usual(name)} <= set(usuals) for usuals in (TRAIN, VAL))]
    return alike[0] if len(alike) == 1 else split


def learned(names: Iterable[str]) -> bool:
    """Whether one of the splits is what training takes by default."""
    return any(usual(name) in TRAIN for name in names)
