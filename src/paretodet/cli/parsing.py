"""Option values with a syntax of their own: lists, limits and names of columns."""

import math
from collections.abc import Iterable, Mapping

from paretodet.errors import InputError

SHORT = {"latency": "latency_ms_p50", "memory": "memory_infer_mib", "energy": "energy_j"}  # fields by short names
DYNAMIC = "dynamic"  # any number of images, any size


def numbers(text: str | None) -> tuple[int, ...]:
    """ "10,50" -> (10, 50). Raises InputError for anything but integers of at least 1."""
    return tuple(_positive(part, "proposals") for part in text.split(",")) if text else ()


def shares(text: str | None) -> tuple[float, ...]:
    """ "0.01,0.3" -> (0.01, 0.3). Raises InputError for anything but numbers in 0..1."""
    return tuple(_share(part) for part in text.split(",")) if text else ()


def sizes(text: str | None) -> tuple[tuple[int, int], ...]:
    """ "300,480x640" -> ((300, 300), (480, 640)), height first. Raises InputError."""
    return tuple(_size(part) for part in text.split(",")) if text else ()


def size(text: str | None) -> tuple[int, int] | None:
    """ "300" -> (300, 300), one size alone; "dynamic" -> None. Raises InputError."""
    found = () if text == DYNAMIC else sizes(text)
    if len(found) > 1:
        raise InputError(f"size: got {text!r}, one size is needed", "option-value")
    return found[0] if found else None


def batch(text: str) -> int | None:
    """ "4" -> 4, "dynamic" -> None. Raises InputError for anything but these and integers of at least 1."""
    return None if text == DYNAMIC else _positive(text, "batch")


def words(text: str | None) -> tuple[str, ...]:
    """ "eager,onnxruntime" -> ("eager", "onnxruntime")."""
    return tuple(part.strip() for part in text.split(",")) if text else ()


def limits(pairs: list[str] | None, **named: float | None) -> dict[str, float]:
    """["ap=30"] and the named limits that are not None -> {"ap": 30.0, ...}.

    Raises InputError for what is no limit, and for a second limit of the same field.
    """
    given = [(key, number) for key, number in named.items() if number is not None] + list(map(_pair, pairs or ()))
    fields = [job_field(name, None) for name, _ in given]
    if repeated := next((name for name in fields if fields.count(name) > 1), None):
        raise InputError(f"max, min: {repeated} has two limits of the same kind, give one of them", "option-conflict")
    return dict(given)


def job(fields: dict[str, float], calls: int | None) -> dict[str, float]:
    """The limits, with "job_ms" as the cost of a job of that many calls."""
    return {job_field(name, calls): number for name, number in fields.items()}


def job_field(name: str, calls: int | None) -> str:
    """ "job_ms" and 20 -> "job_ms:20"; "latency" -> "latency_ms_p50"; any other field unchanged. A minus sign stays."""
    sign, short = ("-", name[1:]) if name.startswith("-") else ("", name)
    name = SHORT.get(short, short)
    return sign + (f"{name}:{calls}" if name == "job_ms" and calls not in (None, 1) else name)


def check_calls(calls: int | None, fields: Iterable[str]) -> None:
    """Raises InputError if a number of calls is given and no field is the cost of a job."""
    if calls is not None and "job_ms" not in fields:
        raise InputError(
            "calls: needs the cost of a job; give --cost job_ms, --goal job_ms or --max-ms", "option-conflict"
        )


def columns(text: str | None, known: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The fields of the columns with these names, "cold,build". Raises InputError."""
    if unknown := [name for name in words(text) if name not in known]:
        raise InputError(f"columns: got {unknown[0]!r}, allowed {', '.join(known)}", "option-value")
    return tuple(field for name in words(text) for field in known[name])


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.partition("x")
    return _positive(height, "size"), _positive(width or height, "size")


def _positive(text: str, option: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise InputError(f"{option}: got {text!r}, an integer of at least 1 is needed", "option-value")
    return int(text)


def _share(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        raise InputError(f"score: got {text!r}, a number in 0..1 is needed", "option-value")
    return number


def _pair(text: str) -> tuple[str, float]:
    field, _, number = text.partition("=")
    try:
        return field, float(number)
    except ValueError:
        message = f"max, min: got {text!r}, FIELD=NUMBER is needed, as latency_ms_p50=30"
        raise InputError(message, "option-value") from None
