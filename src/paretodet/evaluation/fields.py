"""What a row of foreign results states, by its value and not by how it is written."""

from collections.abc import Sequence
from typing import Any

from paretodet.labels.builder import MAX_NUMBER, NUMBERS, by_value

Row = dict[str, Any]


def name_in(row: Row, fields: Sequence[str]) -> str | None:
    """The first of the fields that holds a text."""
    return next((row[field] for field in fields if isinstance(row.get(field), str) and row[field]), None)


def number_of(row: Row) -> int | None:
    """The number of its category."""
    return whole(row.get("category_id"))


def whole(value: Any) -> int | None:
    """A whole number by its value: 2, 2.0 or "2"."""
    return value if type(value) is int else by_value(value)


def score_of(row: Row) -> float:
    """0 if it has none."""
    score = row.get("score", 0.0)
    return float(score) if _is_number(score) else 0.0


def has_box(row: Row) -> bool:
    """Whether it has a box of four numbers."""
    box = row.get("bbox")
    return isinstance(box, list | tuple) and len(box) == 4 and all(map(_is_number, box))


def _is_number(value: Any) -> bool:
    return type(value) in NUMBERS and abs(value) <= MAX_NUMBER
