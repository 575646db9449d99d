"""What disturbed a row, and by how much that may have changed its latency. Pure functions, torch-free."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

from paretodet.records.measurement import Measurement

BLIND_PCT = 20.0  # at least, where every burst was disturbed: there is nothing undisturbed to compare with
LONGEST = 60  # characters of a short cause
SHORT = (  # the sentences of the watch in a few words, the telling ones first
    (re.compile(r"other processes used (\d+ % of a core)"), r"others \1"),
    (re.compile(r"others on the same physical cores used (\d+ % of a core)"), r"neighbors \1"),
    (re.compile(r"the hypervisor stole (\d+ % of a core)"), r"hypervisor \1"),
    (re.compile(r"the control group's CPU quota ran out"), "CPU quota ran out"),
    (re.compile(r"(?:tasks|threads) waited for a CPU (\d+ % of the time)"), r"CPU waits \1"),
    (re.compile(r"the (clock fell to \d+ of \d+ MHz)"), r"\1"),
    (re.compile(r"the GPU slowed down: ([^;]+)"), r"GPU: \1"),
    (re.compile(r"a core was throttled for heat"), "a core too hot"),
    (re.compile(r"a sensor reached its high mark"), "a sensor too hot"),
)


class _Burst(NamedTuple):
    """A burst as far as it can be read: what is missing or of another type counts as not seen."""

    seconds: float
    ms: float | None  # the median of its calls
    disturbed: bool
    taken_pct: float  # of a core, by others: the largest of what the watch counted


def disturbed_pct(row: Measurement) -> float:
    """The percentage by which drift and other work may have changed a row's latency.

    It is the row's own `disturbed_pct`. Rows of before that field have it derived from `raw` (0 without it) as the sum
    of two parts. Drift: half of how far the reference candidate's fastest and slowest processes are apart. Bursts:
    those that were disturbed are taken to be slower by what others took of a core, or by what was seen where that is
    more; a median moves by all of it once half of the burst time was disturbed, and in proportion before. Where every
    burst was disturbed it is the most that others took, the spread between the fastest and the slowest burst or 20 %,
    whichever is most.
    """
    if row.disturbed_pct is not None:
        return max(0.0, row.disturbed_pct) if math.isfinite(row.disturbed_pct) else 0.0
    raw = [process for process in row.raw if isinstance(process, Mapping)]
    bursts = [burst for process in raw for burst in _list(process.get("bursts")) if isinstance(burst, Mapping)]
    if not any(map(_is_disturbed, bursts)):
        return _drift_pct(raw)  # their samples need not be read
    return _drift_pct(raw) + _bursts_pct(list(map(_burst, bursts)))


def cause(row: Measurement) -> str:
    """What disturbed or broke a row, in a few words; empty where nothing did."""
    said = row.error or next((reason for reason in row.reasons if f" was {row.validity}: " in reason), "")
    said = said or next((reason for reason in row.reasons if not reason.startswith("not watched")), "")
    for pattern, words in SHORT:
        if found := pattern.search(said):
            return found.expand(words)
    return _cut(said.partition(f" was {row.validity}: ")[2] or said)


def _cut(sentence: str) -> str:
    first = sentence.strip().split("\n")[0].split("; ")[0]
    return first if len(first) <= LONGEST else f"{first[: LONGEST - 1]}…"


def _drift_pct(raw: Sequence[Mapping[str, Any]]) -> float:
    known = [ms for process in raw if (ms := _number(process.get("reference_ms")))]
    return 50 * (max(known) / min(known) - 1) if known else 0.0


def _bursts_pct(bursts: Sequence[_Burst]) -> float:
    disturbed = [burst for burst in bursts if burst.disturbed]
    if len(disturbed) == len(bursts):
        times = _times(bursts)
        spread = _slower_pct(max(times), min(times)) if times else 0.0
        return max(BLIND_PCT, spread, *(burst.taken_pct for burst in disturbed))
    seconds = sum(burst.seconds for burst in disturbed)
    taken = sum(burst.seconds * burst.taken_pct for burst in disturbed) / seconds if seconds else 0.0
    seen, undisturbed = _times(disturbed), _times(burst for burst in bursts if not burst.disturbed)
    slower = _slower_pct(median(seen), median(undisturbed)) if seen and undisturbed else 0.0
    whole = sum(burst.seconds for burst in bursts)
    return max(taken, slower) * min(1.0, 2 * seconds / whole if whole else 1.0)


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
    """A time; 0 for what is none."""
    known = isinstance(value, int | float) and 0 < value < 1e12
    return float(value) if known else 0.0
