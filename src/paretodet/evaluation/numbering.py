"""Gives the rows of a results file the categories of the labels: by name, else by how the rows number them.

Other numberings than the labels' own are usual. One is taken only if the boxes that lie on labeled objects do not
contradict it, and in place of the labels' own only if they show it. A numbering that they contradict is refused.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from paretodet.errors import InputError
from paretodet.evaluation.beside import AT, beside
from paretodet.evaluation.fields import Row, name_in, number_of, whole
from paretodet.labels.class_names import plain
from paretodet.labels.coco_names import COCO_IDS, id_of
from paretodet.labels.model import Labels

NAMES = ("category_name", "category")
SURE = 9  # times as many boxes must speak for one meaning of a number as for the other
ENOUGH = 3  # boxes that speak for one
MANY, SHARE = 5, 0.005  # boxes, and of all, that show that a numbering is another: rare classes are confused by chance
FROM_ZERO = "the results count categories from 0, in the order of the ids that the labels have"
FROM_ONE = "the results count categories from 1, which are 0 in the labels"
AS_COCO = "the results number the categories as COCO's own files do, from 1 to 90"
BY_NAME = "the categories of the results are paired by their names, not by category_id"
AS_NAMES = "the results number the categories as the labels name them"

Seen = Counter[tuple[int, tuple[int, ...]]]  # boxes by their number, and the categories of the objects they lie on


class CategoryNumbering(NamedTuple):
    """Category of the labels by the number that results have for it."""

    new: Mapping[int, int]
    note: str = ""


def with_categories(rows: Sequence[Row], labels: Labels) -> tuple[list[Row], tuple[str, ...]]:
    """Rows with the ids of the labels' categories, and notes about it. Raises InputError if the boxes show that
    the rows number them in a way that is not known.
    """
    if (named := _of_names(rows, labels)) is not None:
        return [_with_category(row, {}) for row in named], ()
    if (keys := _by_name(rows, labels)) is not None:
        changed = any(key != number_of(row) for row, key in zip(rows, keys, strict=True))
        return [_with_key(row, key) for row, key in zip(rows, keys, strict=True)], (BY_NAME,) if changed else ()
    seen, values = _seen(rows, labels), {value for row in rows if (value := number_of(row)) is not None}
    numbering = _numbering(values, labels, seen)
    _check_names(rows, numbering.new, labels)
    _check(numbering.new, labels, seen)
    notes = (numbering.note, _doubt(numbering.new, seen))
    return [_with_category(row, numbering.new) for row in rows], tuple(filter(None, notes))


def _with_category(row: Row, new: Mapping[int, int]) -> Row:
    """With its new category; one that is a whole number by its value alone is written as one."""
    number = number_of(row)
    return row if number is None else _with_key(row, new.get(number, number))


def _with_key(row: Row, key: int) -> Row:
    same = type(row["category_id"]) is int and row["category_id"] == key
    return row if same else row | {"category_id": key}


def _of_names(rows: Sequence[Row], labels: Labels) -> list[Row] | None:
    """Rows whose `category_id` is the name of a category, with its number; None if there is none. Raises InputError if
    one is no name.
    """
    stated = {row["category_id"] for row in rows if isinstance(row.get("category_id"), str)}
    if all(whole(name) is not None for name in stated):
        return None
    known = _known_names(stated, labels)
    if strange := sorted(stated - known.keys()):
        names = ", ".join(labels.labels)
        raise InputError(
            f"results: category_id {strange[0]!r:.40} is no category of the labels, which have {names:.200}: write the "
            "names as the labels have them, or leave out the rows of other categories",
            "label-unknown",
        )
    return [row | {"category_id": known.get(str(row.get("category_id")), row.get("category_id"))} for row in rows]


def _by_name(rows: Sequence[Row], labels: Labels) -> list[int] | None:
    """The category of each row; None unless every row has a number and the name of a category of the labels."""
    names = [name_in(row, NAMES) or "" for row in rows]
    known = _known_names(set(names), labels)
    if not rows or not known.keys() >= set(names) or any(number_of(row) is None for row in rows):
        return None
    return [known[name] for name in names]


def _known_names(stated: set[str], labels: Labels) -> dict[str, int]:
    """Category by each of the names that results state: as the labels have it, else with other capitals, spaces and
    dashes, if no two names are one category then.
    """
    known = _names(labels)
    times = Counter(map(plain, known))
    alike = {plain(name): key for name, key in known.items() if times[plain(name)] == 1}
    found = {name: known.get(name, alike.get(plain(name))) for name in stated if name}
    keys = Counter(found.values())
    return {name: key for name, key in found.items() if key is not None and (name in known or keys[key] == 1)}


def _names(labels: Labels) -> dict[str, int]:
    """Category by its name, without names that two have."""
    times = Counter(labels.labels)
    return {name: key for key, name in labels.categories.items() if times[name] == 1}


def _seen(rows: Sequence[Row], labels: Labels) -> Seen:
    """Of every object only the row with the best score counts, as some results have a row for every category."""
    near = beside(rows, labels)
    overlaps = near.overlaps()
    on = np.flatnonzero(overlaps >= AT)
    by_object = on[np.lexsort((-near.scores[on], near.objects[on]))]
    first = np.unique(near.objects[by_object], return_index=True)[1]
    found: dict[int, list[int]] = {row: [] for row in near.rows[by_object[first]].tolist()}
    for pair in on[np.argsort(-overlaps[on], kind="stable")].tolist():
        if (row := int(near.rows[pair])) in found:
            found[row].append(labels.category_ids[labels.classes[near.objects[pair]]])
    numbers = ((number_of(rows[row]), tuple(dict.fromkeys(categories))) for row, categories in found.items())
    return Counter((number, categories) for number, categories in numbers if number is not None)


def _numbering(values: set[int], labels: Labels, seen: Seen) -> CategoryNumbering:
    """The labels' own, unless others are possible and one of them fits to more boxes than all others."""
    own, *usual = _numberings(labels)
    least = max(ENOUGH, SURE * _agreeing(seen, own.new)) if values <= own.new.keys() else 0
    fitting = {
        tuple(each.new[value] for value in sorted(values)): each
        for each in reversed(usual)  # of equal ones the first is kept
        if values <= each.new.keys() and _agreeing(seen, each.new) >= least and not _elsewhere(seen, each.new)
    }
    ranked = sorted(fitting.values(), key=lambda each: -_agreeing(seen, each.new))
    if not values or not ranked:
        return own
    several = len(ranked) > 1 and _agreeing(seen, ranked[0].new) == _agreeing(seen, ranked[1].new)
    return own if several else ranked[0]


def _numberings(labels: Labels) -> list[CategoryNumbering]:
    """The labels' own, then others that are usual."""
    ids, known = sorted(labels.category_ids), {name: key for key, name in labels.categories.items()}
    shifted = CategoryNumbering({key + 1: key for key in ids}, FROM_ONE) if 0 in ids else None
    stated = {number: own for name, own in known.items() if labels.named and (number := whole(name)) is not None}
    named = {key: own for key, name in COCO_IDS.items() if (own := id_of(name, known)) is not None}
    return [
        CategoryNumbering({key: key for key in ids}),
        shifted or CategoryNumbering(dict(enumerate(ids)), FROM_ZERO),
        CategoryNumbering(named, AS_COCO),
        CategoryNumbering(stated, AS_NAMES),
    ]


def _check_names(rows: Sequence[Row], new: Mapping[int, int], labels: Labels) -> None:
    """Raises InputError if a row names a category of the labels, and its number means another one."""
    known, names = _names(labels), labels.categories
    stated = {(number_of(row), name_in(row, NAMES)) for row in rows}
    pairs = {(number, name) for number, name in stated if number is not None and number in new and name}
    wrong = sorted((number, name) for number, name in pairs if known.get(name, new[number]) != new[number])
    if not wrong:
        return
    number, name = wrong[0]
    others = sorted({name for _, name in pairs} - known.keys())
    lone = f", or leave out the rows of other categories, such as {others[0]!r:.40}" if others else ""
    raise InputError(
        f"results: category_id {number} is {name!r:.40}, and in the labels {names[new[number]]!r:.40}: write "
        f"category_name into every row as the labels have it{lone}",
        "label-unknown",
    )


def _doubt(new: Mapping[int, int], seen: Seen) -> str:
    """Where too few boxes lie on objects to refuse their numbers, and none agrees; else empty."""
    if not seen or _agreeing(seen, new):
        return ""
    boxes = f"{seen.total()} boxes that lie on labeled objects"
    return f"none of the {boxes} is of the object's category: check category_id, or write category_name into every row"


def _agreeing(seen: Seen, new: Mapping[int, int]) -> int:
    """How many boxes lie on objects of the category that their number means."""
    return sum(count for (number, categories), count in seen.items() if new.get(number) in categories)


def _check(new: Mapping[int, int], labels: Labels, seen: Seen) -> None:
    """Raises InputError if the boxes show another numbering."""
    others, names = _elsewhere(seen, new), labels.categories
    count = sum(each for _, each in others.values())
    if count < max(MANY, SHARE * seen.total()):
        return
    total = sum(each for (number, _), each in seen.items() if number in others)
    first = sorted(others)[:3]
    shown = ", ".join(f"{number} lies on {names[others[number][0]]!r:.40}" for number in first)
    stated = ", ".join(f"{number} {names[new[number]]!r:.40}" for number in first if number in new)
    raise InputError(
        f"results: category_id is numbered otherwise than the labels: {shown} in {count} of {total} boxes"
        f"{f', and the labels have {stated}' if stated else ''}: write category_name into every row",
        "label-unknown",
    )


def _elsewhere(seen: Seen, new: Mapping[int, int]) -> dict[int, tuple[int, int]]:
    """The numbers that mean another category, with it and how many boxes show it: nearly all boxes of the number that
    lie on either lie on that one, nearly all boxes on it are of the number, and those on objects of the category that
    the number should mean are of others. A detector that takes all for one class finds that class's objects too.
    """
    lies, own_of = Counter[tuple[int, int]](), {key: number for number, key in new.items()}
    for (number, categories), count in seen.items():
        meant = new.get(number)
        lies[number, meant if meant in categories else categories[0]] += count
    by_number, by_category = Counter[int](), Counter[int | None]()
    for (number, category), count in lies.items():
        by_number[number] += count
        by_category[category] += count

    def belongs(number: int, category: int, count: int) -> bool:
        own = new.get(number)
        agreeing = 0 if own is None else lies[number, own]
        rival = lies[own_of[category], category] if category in own_of else 0
        return (
            category != own
            and count >= max(ENOUGH, SURE * agreeing, SURE * rival)
            and 2 * count > max(by_number[number], by_category[category])
            and 2 * agreeing <= by_category[own]
        )

    return {number: (key, count) for (number, key), count in lies.items() if belongs(number, key, count)}
