"""Names of tensors from one code base to another, by a table of patterns."""

import re
from collections.abc import Callable, Collection
from typing import NamedTuple


class Numbering(NamedTuple):
    """What the names of a file show beside the place of each tensor."""

    units: tuple[int, ...] = ()  # of the first three blocks of a ResNet
    finest: int = 0  # level of its pyramid


Place = Callable[[re.Match[str], Numbering], str]
Rules = tuple[tuple[re.Pattern[str], Place], ...]


def rules(*pairs: tuple[str, str | Place]) -> Rules:
    """Patterns of the start of a name, each with what takes its place: a template with groups, or a function."""
    return tuple(
        (re.compile(pattern), _expanded(place) if isinstance(place, str) else place) for pattern, place in pairs
    )


def placed(names: Collection[str], table: Rules, numbering: Numbering) -> dict[str, str]:
    """Every name with its place; names without one, and those whose place another name has, are kept."""
    places, taken = {}, set[str]()
    for name in names:
        place = renamed(name, table, numbering)
        places[name] = name if place in taken else place
        taken.add(place)
    return places


def renamed(name: str, table: Rules, numbering: Numbering) -> str:
    """The name by the first rule that matches; a name without a rule is kept."""
    for pattern, place in table:
        if match := pattern.match(name):
            return place(match, numbering) + name[match.end() :]
    return name


def counted(names: Collection[str], pattern: str) -> int:
    """How many different texts the group of the pattern has in the names."""
    return len({match[1] for name in names if (match := re.search(pattern, name))})


def resnet_unit(block: int, index: int, numbering: Numbering) -> str:
    """Our name of a unit of a ResNet; blocks are numbered from 0, units in each block."""
    return f"block4.{index}" if block == 3 else f"blocks.{sum(numbering.units[:block]) + index}"


def _expanded(template: str) -> Place:
    return lambda match, numbering: match.expand(template)
