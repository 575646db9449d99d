"""Averages of weights in a checkpoint, such as moving ones, known by the names of the items that they are in."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from paretodet.weights.safe import WeightsError

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")  # of a name such as state_dict_ema, modelEMA or EMACallback
AVERAGE = frozenset(("ema", "swa", "avg", "average", "averages", "averaged", "averaging", "shadow", "polyak"))
MOMENT = frozenset(("exp", "square", "sq", "grad"))  # with `avg`: what an optimizer keeps of gradients
DEEPEST = 8  # items inside of one another
LONGEST = 200  # characters of a name that are read


class Averages(NamedTuple):
    """A dictionary or list that holds tensors, and the names of the items that it is in, from the outermost."""

    path: tuple[str, ...]
    holder: Any

    def refused(self, path: Path) -> WeightsError:
        """The error for a file of which it cannot be said which weights are meant."""
        item = ".".join(self.path)[:LONGEST]
        message = f"{path}: its item {item} has averages of weights; save the item alone whose weights you want"
        return WeightsError(message, "weights-format")


def averages(found: Any, is_weight: Callable[[Any], bool]) -> list[Averages]:
    """What holds weights inside of an item whose name says that it is an average. Nothing is named twice."""
    return [held for held in _holders(found, is_weight) if any(map(_says_average, held.path))]


def _holders(found: Any, is_weight: Callable[[Any], bool]) -> Iterator[Averages]:
    waiting: list[tuple[tuple[str, ...], Any]] = [((), found)]
    seen = set[int]()  # a hostile file can have an item inside of itself
    while waiting:
        path, each = waiting.pop()
        if id(each) in seen or len(path) > DEEPEST:
            continue
        seen.add(id(each))
        holds_weights = False
        for name, value in _items(each):
            if isinstance(value, dict | list | tuple):
                waiting.append(((*path, str(name)[:LONGEST]), value))
            else:
                holds_weights = holds_weights or is_weight(value)
        if holds_weights:
            yield Averages(path, each)


def _items(each: Any) -> Iterable[tuple[Any, Any]]:
    if isinstance(each, dict):
        return each.items()
    return enumerate(each) if isinstance(each, list | tuple) else ()


def _says_average(name: str) -> bool:
    words = {word.lower() for word in WORD.findall(name)}
    return not words.isdisjoint(AVERAGE) and words.isdisjoint(MOMENT)
