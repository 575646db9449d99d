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


def learned(names: Iterable[str]) -> bool:
    """Whether one of the splits is what training takes by default."""
    return any(usual(name) in TRAIN for name in names)
