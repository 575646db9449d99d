"""What Google's `benchmark_model` of LiteRT prints, as numbers.

Its source is tensorflow/lite/tools/benchmark/benchmark_model.cc; versions differ in the fields of `count=` and in the
words about memory.
"""

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from paretodet.errors import InputError

NUMBER = r"([^\s,]+)"
TIMES = re.compile(
    rf"Inference timings in us: Init: {NUMBER}, First inference: {NUMBER}, Warmup \(avg\): {NUMBER}, "
    rf"Inference \(avg\): {NUMBER}"
)
CALLS = re.compile(r"count=(\d+) (.*)")  # one line for the warm-up, then one for the measured calls
MEDIAN = re.compile(rf"\bmedian={NUMBER}")
MEMORY = re.compile(rf"emory footprint.*\(MB\): init={NUMBER} overall={NUMBER}")


@dataclass(frozen=True, kw_only=True)
class Report:
    """The times and memory of one run of the program."""

    init_ms: float
    first_ms: float
    warmup_ms: float
    mean_ms: float
    median_ms: float | None  # None: of an older version
    calls: int
    memory_load_mib: float | None
    memory_mib: float | None

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def read_report(text: str) -> Report:
    """The report in what the program printed. Raises InputError if it has none, or a number is not possible."""
    times, calls = TIMES.search(text), CALLS.findall(text)
    if times is None or not calls:
        last = (text.strip().splitlines() or ["nothing"])[-1]
        raise InputError(f"benchmark_model printed no report; its last line: {last:.200}", "place-answer")
    init, first, warmup, mean = (_ms(each) for each in times.groups())
    middle, memory = MEDIAN.search(calls[-1][1]), MEMORY.search(text)
    return Report(
        init_ms=init,
        first_ms=first,
        warmup_ms=warmup,
        mean_ms=mean,
        median_ms=_ms(middle[1]) if middle else None,
        calls=int(calls[-1][0]),
        memory_load_mib=_number(memory[1]) if memory else None,
        memory_mib=_number(memory[2]) if memory else None,
    )


def _ms(text: str) -> float:
    """Microseconds as milliseconds. Raises InputError for what is no time."""
    if (number := _number(text)) <= 0:
        raise InputError(f"benchmark_model reports {text[:40]} us, which is not a time", "place-answer")
    return number / 1000


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise InputError(f"benchmark_model reports {text[:40]!r} for a number", "place-answer")
    return number
