"""The names of classes that a file's metadata state, whoever wrote them.

They are a list or a mapping of numbers to names, as Python or JSON writes these, or text with a name a line or between
commas.
"""

import ast
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Names = tuple[str | None, ...]

KEYS = ("names", "labels", "classes", "class_names", "class_labels", "categories", "id2label", "character")
PARSERS: tuple[Callable[[str], Any], ...] = (json.loads, ast.literal_eval)
BETWEEN, OPENING = ("\n", ","), "[{("  # names in text, and what is no text but damaged data
MOST = 100_000  # classes


def stated_names(metadata: Mapping[str, str]) -> Names:
    """Those of the first of KEYS that has any, by number; None where a number has none."""
    return next((names for key in KEYS if (names := parsed(metadata.get(key, "")))), ())


def parsed(text: str) -> Names:
    """The names in a text; empty if it holds none."""
    for parse in PARSERS:
        try:
            found = parse(text)
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            continue
        return _of_data(found)
    parts = next((text.split(mark) for mark in BETWEEN if mark in text and text[0] not in OPENING), [])
    names = tuple(part.strip() for part in parts)
    return names if all(names) else ()


def _of_data(found: Any) -> Names:
    """Empty unless all are text, and numbered."""
    if not isinstance(found, list | tuple | dict):
        return ()
    pairs: Iterable[tuple[Any, Any]] = found.items() if isinstance(found, dict) else enumerate(found)
    by_number = {int(number): name for number, name in pairs if str(number).isdecimal() and isinstance(name, str)}
    if not by_number or len(by_number) < len(found) or max(by_number) >= MOST:
        return ()
    return tuple(by_number.get(number) for number in range(max(by_number) + 1))
