"""Checks JSON of unknown origin against a type, with msgspec.

A reader declares the content of its file as a `Closed` or `Open` structure or as a dataclass, calls `parse`, and adds
no checks. There are three exceptions: `evaluation.checks` checks whole columns of a million boxes at once;
`labels.builder` skips single labels and reports them, where a schema would refuse the file; and
`records.row_id` checks rows and their ids, fast enough for large stores.
"""

import json
import sys
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec

from paretodet.errors import ErrorId, InputError, words
from paretodet.reading import read_bytes

T = TypeVar("T")
Limits = msgspec.Meta  # the range of a number: Annotated[int, Limits(ge=1)]
MAX_BYTES = 2**26
MAX_REASON = 300  # characters of the reason in a message
MAX_DIGITS = 400  # of an integer; no float has 310

_MAX = sys.float_info.max
Finite = Annotated[float, Limits(ge=-_MAX, le=_MAX)]  # excludes NaN
Positive = Annotated[float, Limits(gt=0, le=_MAX)]
Count = Annotated[int, Limits(ge=0, lt=2**53)]
Pixels = Annotated[int, Limits(ge=1, lt=2**31)]


class SchemaError(InputError):
    """JSON that does not fit its type. The message names the document, the field and what is allowed."""

    def __init__(self, message: str, id: ErrorId = "json-schema") -> None:
        super().__init__(message, id)


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A JSON object with exactly these fields."""


class Open(msgspec.Struct, frozen=True):
    """A JSON object with these fields and any others."""


def read(path: Path, kind: type[T], *, limit: int = MAX_BYTES) -> T:
    """The content of a JSON file as a `kind`. Raises OSError, or SchemaError as `parse` does with the path in front."""
    try:
        content = read_bytes(path, limit)
    except ValueError as error:
        raise SchemaError(f"{path}: {words(error)}", "file-too-large") from None
    return parse(content, kind, what=path)


def parse(content: bytes | str, kind: type[T], *, what: object) -> T:
    """JSON text as a `kind`: a built-in type, a structure, or a dataclass, which allows no other fields.

    Infinity and NaN are read as Python's json writes them; `Finite` fields refuse them. Raises SchemaError beginning
    with `what`.
    """
    return convert(_decoded(content, what), kind, what=what)


def convert(value: Any, kind: type[T], *, what: object) -> T:
    """A JSON value as a `kind`. Raises SchemaError as `parse` does."""
    try:
        if not (isinstance(kind, type) and is_dataclass(kind)):
            return msgspec.convert(value, kind)
        found = msgspec.convert(value, _closed(kind))
        return kind(**{field.name: getattr(found, field.name) for field in fields(kind)})
    except (ValueError, RecursionError) as error:  # a dataclass may check its values itself
        raise SchemaError(f"{what}: {_reason(error)}") from None


def plain(value: Any) -> Any:
    """A structure as JSON values: dictionaries, lists, texts and numbers."""
    return msgspec.to_builtins(value)


def check(value: Any) -> None:
    """Raises SchemaError if a field of the dataclass `value` is not of its declared type."""
    kind: type = type(value)
    try:
        msgspec.convert({field.name: getattr(value, field.name) for field in fields(value)}, _closed(kind))
    except ValueError as error:
        raise SchemaError(_reason(error)) from None


def _decoded(content: bytes | str, what: object) -> Any:
    """Refuses texts with an unpaired surrogate, which can be neither printed nor written."""
    try:
        text = content if isinstance(content, str) else content.decode(json.detect_encoding(content))
        found = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except UnicodeEncodeError:
        raise SchemaError(f"{what}: not JSON (a text has an unpaired surrogate)", "json-invalid") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SchemaError(f"{what}: not JSON ({_reason(error)})", "json-invalid") from None


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise InputError(f"an integer of {len(digits)} digits", "json-invalid")
    return int(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)


@cache
def _closed(kind: type) -> Any:
    """The structure with the fields of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    defaults = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
    typed = [(field.name, hints[field.name]) for field in fields(kind)]
    columns = [(*each, defaults[each[0]]) if each[0] in defaults else each for each in typed]
    return msgspec.defstruct(kind.__name__, columns, bases=(Closed,), kw_only=True)


def _reason(error: Exception) -> str:
    """The message of msgspec, "Expected `int`, got `str` - at `$.shapes[0].counts`", with the field in front."""
    text = words(error)
    text = " ".join(text.split()) or type(error).__name__
    reason, _, field = text.rpartition(" - at `$")
    reason = reason or text
    lowered = reason[:1].lower() + reason[1:]
    return (f"{field.strip('`.')}: {lowered}" if reason != text else lowered).replace("`", "")[:MAX_REASON]
