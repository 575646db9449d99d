"""A row as JSON: its canonical text, the id that its content gives it, and what a valid row is."""

import hashlib
import json
import math
import reprlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from paretodet.records.measurement import VALIDITY, Measurement

TYPES = get_type_hints(Measurement)
REQUIRED = ("id", "run", "at", "name")
DEFAULTS: dict[str, Any] = json.loads(json.dumps(Measurement(id="", run="", at="", name="").to_json()))
LARGEST = sys.float_info.max
PERCENT = ("ap", "ap50", "mask_ap", "mask_ap50")


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:12]


def job_key(name: str, job: Any) -> str:
    """What a store calls a job: a digest of its name and of the JSON that opens it, whatever the order of keys."""
    return digest([name, job])


def row_id(row: Mapping[str, Any]) -> str:
    """Digest of a row's JSON. Fields at their default do not enter: a row keeps its id when fields are added."""
    return digest({k: v for k, v in row.items() if k != "id" and not (k in DEFAULTS and v == DEFAULTS[k])})


def sealed(row: Measurement) -> Measurement:
    """The row with the id that its content gives it. Raises ValueError where a value is no JSON (NaN, an object)."""
    return replace(row, id=row_id(json.loads(row_text(row))))


def row_text(row: Measurement) -> str:
    try:
        text = canonical(values := row.to_json())
        text.encode()
    except (TypeError, ValueError):
        raise ValueError(f"row {row.name!r}: {_not_json(values)}; unknown is None") from None
    return text


def _not_json(row: Mapping[str, Any]) -> str:
    """Which field cannot be written as JSON."""
    for name, value in row.items():
        try:
            canonical({name: value}).encode()
        except (TypeError, ValueError) as error:
            return f"{name} is {reprlib.repr(value)}, not JSON ({error})"
    return "it is not JSON"


def fault(name: str, value: Any) -> str | None:
    """Why a value cannot stand in a row's field of this name; None where it can."""
    plain = list(value) if isinstance(value, tuple) else value
    if not _fits(plain, TYPES[name]) or (isinstance(value, float) and not math.isfinite(value)):
        return f"{name} is {reprlib.repr(value)}, it must be {_spoken(TYPES[name])}"
    return None


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value can stand in a field of this type."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if kind is UnionType:
        return any(_fits(value, each) for each in inner)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(each, inner[1]) for each in value.values())
    if kind is tuple:
        return isinstance(value, list) and all(_fits(each, inner[0]) for each in value)
    return type(value) is int or type(value) is float if hint is float else type(value) is hint


def _spoken(hint: Any) -> str:
    return (hint.__name__ if isinstance(hint, type) else str(hint)).replace("None", "null").replace("typing.", "")


def _is_date(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _types(hint: Any) -> frozenset[type]:
    """The types of plain values that fit a field; whole numbers fit where numbers do."""
    kinds = set(get_args(hint) if isinstance(hint, UnionType) else (hint,))
    return frozenset((kinds | ({int} if float in kinds else set())) & {str, bool, int, float, NoneType})


_PLAIN = {name: _types(hint) for name, hint in TYPES.items()}


def _check_value(row: Mapping[str, Any], name: str) -> None:
    value = row[name]
    if type(value) not in _PLAIN[name] and not _fits(value, TYPES[name]):
        raise _bad(row, name, f"must be {_spoken(TYPES[name])}")
    if type(value) in (int, float):
        if not value <= LARGEST:
            raise _bad(row, name, "must be a finite number")
        if value < 0:
            raise _bad(row, name, "must not be negative")
        if name in PERCENT and value > 100:
            raise _bad(row, name, "must be at most 100 (percent)")


def _checked(row: Any) -> dict[str, Any]:
    """A JSON value that is a whole and valid row, or ValueError naming the field, its value and what is allowed."""
    if not isinstance(row, dict):
        raise ValueError(f"a row is a JSON object, not {reprlib.repr(row)}")
    if missing := [name for name in REQUIRED if not row.get(name)]:
        raise ValueError(f"{missing[0]} is missing; every row needs {', '.join(REQUIRED)}")
    for name in TYPES:
        if name in row:
            _check_value(row, name)
    if row.get("validity", "valid") not in VALIDITY:
        raise _bad(row, "validity", f"must be one of {', '.join(VALIDITY)}")
    if not _is_date(row["at"]):
        raise _bad(row, "at", "must be a date in ISO 8601")
    low, high = row.get("latency_ms_p50_low"), row.get("latency_ms_p50_high")
    if low is not None and high is not None and low > high:
        raise _bad(row, "latency_ms_p50_low", f"must not exceed latency_ms_p50_high ({high})")
    try:
        right = row_id(row)
    except ValueError:
        raise ValueError(_not_json(row)) from None
    if row["id"] != right:
        raise _bad(row, "id", f"the content's is '{right}': undo the change, or write that id if it is meant")
    return row


def _bad(row: Mapping[str, Any], name: str, allowed: str) -> ValueError:
    return ValueError(f"{name} is {reprlib.repr(row[name])}; {allowed}")


def _not_a_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON; unknown is null")


def row_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every row of a file of JSON lines. Raises ValueError naming file, line and what is wrong with it."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield _checked(json.loads(line, parse_constant=_not_a_number))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: {error}; mend or delete the line") from error
