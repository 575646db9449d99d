"""In which fields two specs or recipes, as JSON-ready data, differ."""

from collections.abc import Iterator
from typing import Any

ABSENT = "nothing"
LONGEST = 80  # characters of a value


def differences(kept: Any, wanted: Any, field: str = "") -> list[str]:
    """One phrase a field, "stages[0].select.keep: kept 100, wanted 300"; empty where the two are equal."""
    return list(_walk(kept, wanted, field))


def _walk(kept: Any, wanted: Any, field: str) -> Iterator[str]:
    if isinstance(kept, dict) and isinstance(wanted, dict) and kept.get("type") == wanted.get("type"):
        for key in [*kept, *(k for k in wanted if k not in kept)]:
            yield from _walk(kept.get(key, ABSENT), wanted.get(key, ABSENT), f"{field}.{key}".lstrip("."))
    elif isinstance(kept, list) and isinstance(wanted, list) and len(kept) == len(wanted):
        for index, (one, other) in enumerate(zip(kept, wanted, strict=True)):
            yield from _walk(one, other, f"{field}[{index}]")
    elif kept != wanted:
        yield f"{field}: kept {_short(kept)}, wanted {_short(wanted)}"


def _short(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        return str(value["type"]).rpartition(".")[2]
    return f"{len(value)} of them" if isinstance(value, list) and len(value) > 4 else f"{value!s:.{LONGEST}}"
