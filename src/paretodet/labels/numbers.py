"""Whether boxes number their categories otherwise than the names do, which would give every box another's name."""

from collections.abc import Collection, Mapping
from pathlib import Path

from paretodet.errors import InputError

FEW = 3  # boxes of the number that has no name: fewer are slips
MOST = 0.9  # of the names: so many numbers are used


def check_numbers(used: Mapping[int, int], known: Collection[int], source: Path) -> None:
    """`used`: how many boxes have a number; `known`: the numbers that have names.

    Raises InputError if the boxes count from 1 and the names from 0, or the other way round: the only number without a
    name follows the last one or precedes the first, and nothing has the number at the other end.
    """
    if not known or len(used) < MOST * len(known):
        return
    first, last = min(known), max(known)
    unnamed = set(used) - set(known)
    for end, other in ((last + 1, first), (first - 1, last)):
        shifted = end >= 0 and unnamed == {end} and other not in used and used[end] >= FEW
        if shifted and last - first == len(known) - 1:
            raise InputError(
                f"labels: {source}: boxes are numbered {min(used)} to {max(used)}, and the names of the categories "
                f"{first} to {last}, so that every box would get the name of another class: correct one of them",
                "category-unknown",
            )
