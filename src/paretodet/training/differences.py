"""The fields in which two specs or recipes differ, as JSON-ready data."""

from collections.abc import Iterator
from typing import Any

ABSENT = "nothing"
MAX_LENGTH = 80  # characters of a value


def differences(saved: Any, requested: Any, field: str = "") -> list[str]:
    """A phrase for each, such as "stages[0].select.keep: saved 100, requested 300"; empty if the two are equal."""
    return list(_walk(saved, requested, field))


def _walk(saved: Any, requested: Any, field: str) -> Iterator[str]:
    if isinstance(saved, dict) and isinstance(requested, dict) and saved.get("type") == requested.get("type"):
        for key in [*saved, *(k for k in requested if k not in saved)]:
            yield from _walk(saved.get(key, ABSENT), requested.get(key, ABSENT), f"{field}.{key}".lstrip("."))
    elif isinstance(saved, list) and isinstance(requested, list) and len(saved) == len(requested):
        for index, (one, other) in enumerate(zip(saved, requested, strict=True)):
            yield from _walk(one, other, f"{field}[{index}]")
    elif saved != requested:
        yield f"{field}: saved {_short(saved)}, requested {_short(requested)}"


def _short(value: Any) -> str:
    if isinstance(value, dict) and "type" in value:
        return str(value["type"]).rpartition(".")[2][:MAX_LENGTH]
    return f"{len(value)} items" if isinstance(value, list) and len(value) > 4 else f"{value!s:.{MAX_LENGTH}}"
