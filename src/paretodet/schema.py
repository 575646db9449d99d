"""JSON that anybody may have written, checked against a type: the only place that decides how, by msgspec.

A reader declares what its file holds as a `Closed` or `Open` structure, or as a dataclass, and asks `parse` for it; it
writes no checks of its own. The exceptions: `evaluation.checks` looks at whole columns of a million boxes at once, and
`labels.builder` leaves out single labels and says which, where a schema refuses the file; `bench.seal`
checks rows, which decides how long a question to a large store takes, and their ids.
"""

import json
import sys
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import msgspec

from paretodet.reading import read_bytes

T = TypeVar("T")
Limits = msgspec.Meta  # of a number: Annotated[int, Limits(ge=1)]
MAX_BYTES = 2**26
LONGEST = 300  # characters of what is said about a fault
DIGITS = 400  # of a whole number; no float reaches 310

_MOST = sys.float_info.max
Finite = Annotated[float, Limits(ge=-_MOST, le=_MOST)]  # NaN is in no range
Positive = Annotated[float, Limits(gt=0, le=_MOST)]
Count = Annotated[int, Limits(ge=0, lt=2**53)]
Pixels = Annotated[int, Limits(ge=1, lt=2**31)]


class SchemaError(ValueError):
    """JSON that is not what it should be: where, which field, and what is allowed."""


class Closed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An object of these fields and no other."""


class Open(msgspec.Struct, frozen=True):
    """An object of these fields, beside which others may stand."""


def read(path: Path, kind: type[T], *, limit: int = MAX_BYTES) -> T:
    """What a JSON file holds. Raises OSError; SchemaError as `parse` does, beginning with the path."""
    try:
        content = read_bytes(path, limit)
    except ValueError as error:
        raise SchemaError(f"{path}: {error}") from None
    return parse(content, kind, what=path)


def parse(content: bytes | str, kind: type[T], *, what: object) -> T:
    """JSON text as a `kind`: a type of the standard library's, a structure, or a dataclass, whose fields are then all
    that may stand there. Infinities may be written as Python's json does; fields that are `Finite` refuse them.

    Raises SchemaError that begins with `what` and names the field and what is allowed.
    """
    return convert(_decoded(content, what), kind, what=what)


def convert(value: Any, kind: type[T], *, what: object) -> T:
    """As `parse`, of what is JSON already."""
    try:
        if not (isinstance(kind, type) and is_dataclass(kind)):
            return msgspec.convert(value, kind)
        found = msgspec.convert(value, _closed(kind))
        return kind(**{field.name: getattr(found, field.name) for field in fields(kind)})
    except (ValueError, RecursionError) as error:  # a dataclass may refuse values by itself
        raise SchemaError(f"{what}: {_said(error)}") from None


def check(value: Any) -> None:
    """Raises SchemaError where a field of a dataclass, as somebody made it, is not of its type."""
    kind: type = type(value)
    try:
        msgspec.convert({field.name: getattr(value, field.name) for field in fields(value)}, _closed(kind))
    except ValueError as error:
        raise SchemaError(_said(error)) from None


def _decoded(content: bytes | str, what: object) -> Any:
    """Texts with half of a surrogate pair are refused: they can be neither printed nor written."""
    try:
        text = content if isinstance(content, str) else content.decode(json.detect_encoding(content))
        found = _DECODER.decode(text)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
        return found
    except UnicodeEncodeError:
        raise SchemaError(f"{what}: not JSON (a text holds half of a surrogate pair)") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SchemaError(f"{what}: not JSON ({_said(error)})") from None


def _whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


_DECODER = json.JSONDecoder(parse_int=_whole)


@cache
def _closed(kind: type) -> Any:
    """The structure of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    defaults = {field.name: field.default for field in fields(kind) if field.default is not MISSING}
    told = [(field.name, hints[field.name]) for field in fields(kind)]
    own = [(*each, defaults[each[0]]) if each[0] in defaults else each for each in told]
    return msgspec.defstruct(kind.__name__, own, bases=(Closed,), kw_only=True)


def _said(error: Exception) -> str:
    """As the library has it, "Expected `int`, got `str` - at `$.shapes[0].counts`", with the place in front."""
    text = " ".join(str(error).split()) or type(error).__name__
    fault, _, place = text.rpartition(" - at `$")
    text = fault or text
    spoken = text[:1].lower() + text[1:]
    return (f"{place.strip('`.')}: {spoken}" if fault else spoken).replace("`", "")[:LONGEST]
