"""What disturbed a row, and by how much that may have changed its latency. Pure functions, torch-free."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from paretodet.errors import words
from paretodet.records.measurement import Measurement

MIN_ALL_DISTURBED_PCT = 20.0  # if every burst was disturbed: there is no undisturbed burst to compare with
MAX_PCT = 1e6  # more can only come from values that are no times
MAX_CAUSE = 60  # characters of a short cause
QUOTA = "the CPU quota ran out"
SHORT_CAUSES = (  # sentences of the contention watch -> a few words, the most informative first
    (re.compile(r"other processes used (\d+ % of a core(?:, mostly [\w.+-]+)?)"), r"other processes used \1"),
    (re.compile(r"others on the same physical cores used (\d+ % of a core)"), r"sibling hardware threads used \1"),
    (re.compile(r"(other work used \d+ % of the GPU)"), r"\1"),
    (re.compile(r"the hypervisor stole (\d+ % of a core)"), r"the hypervisor stole \1"),
    (re.compile(r"the control group's CPU quota ran out"), QUOTA),
    (re.compile(r"(?:tasks|threads) waited for a CPU (\d+ % of the time)"), r"waited for a CPU \1"),
    (re.compile(r"(the clock fell to \d+ of \d+ MHz)"), r"\1"),
    (re.compile(r"the GPU slowed down: ([^;]+)"), r"the GPU slowed down: \1"),
    (re.compile(r"a core was throttled for heat"), "a core was throttled because of heat"),
    (re.compile(r"a sensor reached its high mark"), "a temperature limit was reached"),
)


class _Burst(NamedTuple):
    """A burst of a stored row; values that are missing or have another type count as 0 or None."""

    seconds: float
    ms: float | None  # median of its calls
    disturbed: bool
    taken_pct: float  # of a core, by other processes: the largest of what the watch counted


def disturbed_pct(row: Measurement) -> float:
    """The percentage by which drift and other processes may have changed a row's latency.

    This is the row's `disturbed_pct`. For rows that are older than that field it is computed from `raw` (0 without
    `raw`) as the sum of two parts. Drift: half of the relative difference between the reference candidate's slowest
    and fastest process. Bursts: a disturbed burst is assumed to be slower by the share of a core that other processes
    took or by the observed difference, whichever is larger; the median moves by all of that if at least half of the
    burst time was disturbed, and proportionally below. If every burst was disturbed, the part is the largest of: the
    share that other processes took, the difference between the slowest and the fastest burst, and 20 %.
    """
    if row.disturbed_pct is not None:
        return max(0.0, row.disturbed_pct) if math.isfinite(row.disturbed_pct) else 0.0
    raw = [process for process in row.raw if isinstance(process, Mapping)]
    bursts = [burst for process in raw for burst in _list(process.get("bursts")) if isinstance(burst, Mapping)]
    if not any(map(_is_disturbed, bursts)):
        return min(_drift_pct(raw), MAX_PCT)  # without reading the samples
    return min(_drift_pct(raw) + _bursts_pct(list(map(_burst, bursts))), MAX_PCT)


def cause(row: Measurement) -> str:
    """What disturbed or broke a row, in a few words; empty if nothing did."""
    reason = row.error or next((reason for reason in row.reasons if f" was {row.validity}: " in reason), "")
    reason = reason or next((reason for reason in row.reasons if not reason.startswith("not watched")), "")
    for pattern, short in SHORT_CAUSES:
        if match := pattern.search(reason):
            return match.expand(short)
    return _cut(reason.partition(f" was {row.validity}: ")[2] or reason)


def _cut(sentence: str) -> str:
    first = words(sentence.strip().split("\n")[0].split("; ")[0])
    return first if len(first) <= MAX_CAUSE else f"{first[: MAX_CAUSE - 1]}…"


def _drift_pct(raw: Sequence[Mapping[str, Any]]) -> float:
    times = [ms for process in raw if (ms := _number(process.get("reference_ms")))]
    return 50 * (max(times) / min(times) - 1) if times else 0.0


def _bursts_pct(bursts: Sequence[_Burst]) -> float:
    disturbed = [burst for burst in bursts if burst.disturbed]
    if len(disturbed) == len(bursts):
        times = _times(bursts)
        spread = _slower_pct(max(times), min(times)) if times else 0.0
        return max(MIN_ALL_DISTURBED_PCT, spread, *(burst.taken_pct for burst in disturbed))
    seconds = sum(burst.seconds for burst in disturbed)
    taken = sum(burst.seconds * burst.taken_pct for burst in disturbed) / seconds if seconds else 0.0
    slow, undisturbed = _times(disturbed), _times(burst for burst in bursts if not burst.disturbed)
    slower = _slower_pct(median(slow), median(undisturbed)) if slow and undisturbed else 0.0
    total = sum(burst.seconds for burst in bursts)
    return max(taken, slower) * min(1.0, 2 * seconds / total if total else 1.0)


def _times(bursts: Iterable[_Burst]) -> list[float]:
    return [burst.ms for burst in bursts if burst.ms]


def _slower_pct(slow: float, fast: float) -> float:
    return 100 * max(0.0, slow / fast - 1)


def _is_disturbed(burst: Mapping[str, Any]) -> bool:
    return bool(burst.get("contended") or burst.get("throttled"))


def _burst(burst: Mapping[str, Any]) -> _Burst:
    watch = burst["watch"] if isinstance(burst.get("watch"), Mapping) else {}
    wall = _number(watch.get("wall"))
    taken = max(_number(watch.get(what)) for what in ("others_cpu", "steal", "stall"))
    calls = zip(_list(burst.get("infer_ms")), _list(burst.get("finish_ms")), strict=False)
    times = [ms for infer, finish in calls if (ms := _number(infer) + _number(finish))]
    return _Burst(
        seconds=_number(burst.get("seconds")),
        ms=median(times) if times else None,
        disturbed=_is_disturbed(burst),
        taken_pct=100 * taken / wall if wall else 0.0,
    )


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _number(value: Any) -> float:
    """A time; 0 for any other value."""
    return float(value) if isinstance(value, int | float) and 0 < value < 1e12 else 0.0
