"""A row as JSON: its canonical text, the id computed from its content, and validation."""

import hashlib
import json
import math
import reprlib
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from paretodet.errors import InputError
from paretodet.records.measurement import GAINS, VALIDITY, Measurement

TYPES = get_type_hints(Measurement)
REQUIRED = ("id", "run", "at", "name")
DEFAULTS: dict[str, Any] = json.loads(json.dumps(Measurement(id="", run="", at="", name="").to_json()))
LARGEST = sys.float_info.max


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def digest(value: Any) -> str:
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:12]


def job_key(name: str, job: Any) -> str:
    """A job's key in a store: a digest of its name and of the JSON that opens it, independent of the order of keys."""
    return digest([name, job])


def row_id(row: Mapping[str, Any]) -> str:
    """Digest of a row's JSON, without fields at their default, so that a row keeps its id when fields are added."""
    return digest({k: v for k, v in row.items() if k != "id" and not (k in DEFAULTS and v == DEFAULTS[k])})


def with_id(row: Measurement) -> Measurement:
    """The row with the id computed from its content. Raises ValueError if a value is not JSON (NaN, an object)."""
    return replace(row, id=row_id(json.loads(row_text(row))))


def row_text(row: Measurement) -> str:
    try:
        text = canonical(values := row.to_json())
        text.encode()
    except (TypeError, ValueError):
        raise InputError(
            f"row {row.name!r}: {_not_json(values)}; use None for an unknown value", "row-invalid"
        ) from None
    return text


def _not_json(row: Mapping[str, Any]) -> str:
    """Names the field that cannot be written as JSON."""
    for name, value in row.items():
        try:
            canonical({name: value}).encode()
        except (TypeError, ValueError) as error:
            return f"{name} is {reprlib.repr(value)}, which is not JSON ({error})"
    return "the row is not JSON"


def field_error(name: str, value: Any) -> str | None:
    """Why a row's field of this name cannot have this value; None if it can."""
    plain = list(value) if isinstance(value, tuple) else value
    if not _fits(plain, TYPES[name]) or (isinstance(value, float) and not math.isfinite(value)):
        return f"{name} is {reprlib.repr(value)}; it must be {_type_text(TYPES[name])}"
    return None


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value has the type of a field."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if kind is UnionType:
        return any(_fits(value, option) for option in inner)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(item, inner[1]) for item in value.values())
    if kind is tuple:
        return isinstance(value, list) and all(_fits(item, inner[0]) for item in value)
    return type(value) is int or type(value) is float if hint is float else type(value) is hint


def _type_text(hint: Any) -> str:
    return (hint.__name__ if isinstance(hint, type) else str(hint)).replace("None", "null").replace("typing.", "")


def _is_date(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def stored_row(text: str | bytes) -> Measurement:
    """The row of a text that `row_text` made. Raises ValueError if it is not JSON or a field has another type."""
    row = json.loads(text)
    if not isinstance(row, dict) or not row.keys() >= {*REQUIRED}:
        raise InputError(f"a row is a JSON object with {', '.join(REQUIRED)}", "row-invalid")
    if problem := next(filter(None, (field_error(name, row[name]) for name in TYPES if name in row)), None):
        raise InputError(problem, "row-invalid")
    return Measurement.from_json(row)


def _types(hint: Any) -> frozenset[type]:
    """The plain types that a field accepts; a float field also accepts int."""
    types = set(get_args(hint) if isinstance(hint, UnionType) else (hint,))
    return frozenset((types | ({int} if float in types else set())) & {str, bool, int, float, NoneType})


_PLAIN_TYPES = {name: _types(hint) for name, hint in TYPES.items()}


def _check_value(row: Mapping[str, Any], name: str) -> None:
    value = row[name]
    if type(value) not in _PLAIN_TYPES[name] and not _fits(value, TYPES[name]):
        raise _invalid(row, name, f"it must be {_type_text(TYPES[name])}")
    if type(value) in (int, float):
        if not value <= LARGEST:
            raise _invalid(row, name, "it must be a finite number")
        if value < 0:
            raise _invalid(row, name, "it must not be negative")
        if name in GAINS and value > 100:
            raise _invalid(row, name, "it must be at most 100 (percent)")


def validated(row: Any) -> dict[str, Any]:
    """A valid row as JSON. Raises ValueError with the field, its value and what is allowed."""
    if not isinstance(row, dict):
        raise InputError(f"a row is a JSON object, not {reprlib.repr(row)}", "row-invalid")
    if missing := [name for name in REQUIRED if not row.get(name)]:
        raise InputError(f"{missing[0]} is missing; every row needs {', '.join(REQUIRED)}", "row-invalid")
    for name in TYPES:
        if name in row:
            _check_value(row, name)
    if row.get("validity", "valid") not in VALIDITY:
        raise _invalid(row, "validity", f"it must be one of {', '.join(VALIDITY)}")
    if not _is_date(row["at"]):
        raise _invalid(row, "at", "it must be a date in ISO 8601")
    low, high = row.get("latency_ms_p50_low"), row.get("latency_ms_p50_high")
    if low is not None and high is not None and low > high:
        raise _invalid(row, "latency_ms_p50_low", f"it must not exceed latency_ms_p50_high ({high})")
    try:
        expected = row_id(row)
    except ValueError:
        raise InputError(_not_json(row), "row-invalid") from None
    if row["id"] != expected:
        raise _invalid(row, "id", f"the content gives {expected!r}: undo the change, or write that id if you meant it")
    return row


def _invalid(row: Mapping[str, Any], name: str, allowed: str) -> InputError:
    return InputError(f"{name} is {reprlib.repr(row[name])}; {allowed}", "row-invalid")
