"""What disturbed a row, and by how much that may have changed its latency. Pure functions, torch-free."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from paretodet.bench.record import Measurement

BLIND_PCT = 20.0  # at least, where every burst was disturbed: there is nothing undisturbed to compare with
LONGEST = 60  # characters of a short cause
SHORT = (  # the sentences of the watch in a few words, the telling ones first
    (re.compile(r"other processes used (\d+ % of a core)"), r"others \1"),
    (re.compile(r"the hypervisor stole (\d+ % of a core)"), r"hypervisor \1"),
    (re.compile(r"the control group's CPU quota ran out"), "CPU quota ran out"),
    (re.compile(r"tasks (waited for a CPU \d+ % of the time)"), r"tasks \1"),
    (re.compile(r"the (clock fell to \d+ of \d+ MHz)"), r"\1"),
    (re.compile(r"the GPU slowed down: ([^;]+)"), r"GPU: \1"),
    (re.compile(r"a core was throttled for heat"), "a core too hot"),
    (re.compile(r"a sensor reached its high mark"), "a sensor too hot"),
)
Burst = Mapping[str, Any]


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
    return _drift_pct(row.raw) + _bursts_pct([burst for process in row.raw for burst in process.get("bursts", ())])


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
    known = [process["reference_ms"] for process in raw if process.get("reference_ms")]
    return 50 * (max(known) / min(known) - 1) if known else 0.0


def _bursts_pct(bursts: Sequence[Burst]) -> float:
    disturbed = [burst for burst in bursts if _is_disturbed(burst)]
    if not disturbed:
        return 0.0
    taken = [_taken_pct(burst) for burst in disturbed]
    if len(disturbed) == len(bursts):
        times = list(_times(bursts))
        return max(*taken, _slower_pct(max(times), min(times)) if times else 0.0, BLIND_PCT)
    seconds = [burst["seconds"] for burst in disturbed]
    took = sum(pct * s for pct, s in zip(taken, seconds, strict=True)) / max(sum(seconds), 1e-9)
    undisturbed = list(_times(burst for burst in bursts if not _is_disturbed(burst)))
    seen = list(_times(disturbed))
    slower = _slower_pct(median(seen), median(undisturbed)) if seen and undisturbed else 0.0
    share = sum(seconds) / max(sum(burst["seconds"] for burst in bursts), 1e-9)
    return max(took, slower) * min(1.0, 2 * share)


def _is_disturbed(burst: Burst) -> bool:
    return bool(burst.get("contended") or burst.get("throttled"))


def _times(bursts: Iterable[Burst]) -> Iterator[float]:
    """The median of each burst that has samples."""
    for burst in bursts:
        if times := [a + b for a, b in zip(burst["infer_ms"], burst["finish_ms"], strict=False)]:
            yield median(times)


def _slower_pct(slow: float, fast: float) -> float:
    return 100 * max(0.0, slow / fast - 1) if fast > 0 else 0.0


def _taken_pct(burst: Burst) -> float:
    """What others took during a burst, in percent of a core: the largest of what the watch counted."""
    watch = burst.get("watch") or {}
    taken = max(watch.get(what) or 0.0 for what in ("others_cpu", "steal", "stall"))
    return 100 * taken / watch["wall"] if watch.get("wall") else 0.0
