"""Which bursts of a row count, which are left out and why, and how far it may be off all the same. Torch-free."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

Process = dict[str, Any]  # what a worker brought: bursts with their samples and what was watched
NUMBER = re.compile(r"\s*\d.*")


def is_clean(burst: dict[str, Any]) -> bool:
    """Whether nothing disturbed a burst, by what the watch saw: never by how long its calls took."""
    return not burst["contended"] and not burst["throttled"]


def samples(process: Process, *, clean_only: bool = False) -> list[float]:
    """Infer + finish of every call but the first of each burst, ms; of all bursts or of the clean ones."""
    bursts = [burst for burst in process["bursts"] if not clean_only or is_clean(burst)]
    return [a + b for burst in bursts for a, b in zip(burst["infer_ms"][1:], burst["finish_ms"][1:], strict=True)]


def headline(raw: Sequence[Process]) -> list[list[float]]:
    """The samples that the row's numbers are made of, ms a process: those of clean bursts.

    Processes without a clean burst are left out. Where fewer than two have one, every sample of every process.
    """
    clean = [found for process in raw if (found := samples(process, clean_only=True))]
    return clean if has_clean_time(raw) else [samples(process) for process in raw]


def has_clean_time(raw: Sequence[Process]) -> bool:
    """Whether two processes, or the only one, have samples that nothing disturbed."""
    clean = sum(bool(samples(process, clean_only=True)) for process in raw)
    return clean >= min(2, len(raw))


def clean_share(raw: Sequence[Process]) -> float | None:
    """Of the burst time, the part in which the machine was free for the candidate."""
    whole = sum(burst["seconds"] for burst in _bursts(raw))
    return sum(burst["seconds"] for burst in _bursts(raw) if is_clean(burst)) / whole if whole else None


def left_out(raw: Sequence[Process]) -> dict[str, int]:
    """Cause -> bursts that it disturbed; a burst counts once for each of its causes."""
    causes = Counter(cause for burst in _bursts(raw) for cause in {*map(_cause, _reasons(burst))})
    return dict(causes.most_common())


def widening_pct(raw: Sequence[Process], half: float) -> float:
    """By how many percent other work and drift may have moved a latency, beyond `half`: the percent of half its own
    interval.

    It is the sum of two parts. What the bursts of the headline shared with others: the mean share of a core that others
    used and that the candidate waited for. And the drift of the reference candidate between the blocks, as far as it
    is more than `half`: the row's own processes were spread over the same blocks.
    """
    kept = [burst for burst in _bursts(raw) if not has_clean_time(raw) or is_clean(burst)]
    seconds = sum(burst["seconds"] for burst in kept)
    shared = sum(burst["seconds"] * _shared(burst) for burst in kept) / seconds if seconds else 0.0
    return 100 * shared + max(0.0, drift_pct(raw) - half)


def drift_pct(raw: Sequence[Process]) -> float:
    """How far the reference candidate was from its middle at most, in percent, on the log scale: the larger of what it
    was as a whole and in its copy of memory.
    """
    return max(_swing_pct(raw, key) for key in ("reference_ms", "reference_stream_ms"))


def _swing_pct(raw: Sequence[Process], key: str) -> float:
    known = [process[key] for process in raw if process.get(key)]
    return 100 * (math.sqrt(max(known) / min(known)) - 1) if known else 0.0


def _shared(burst: dict[str, Any]) -> float:
    """Of a core, as a share of the burst: what others and the hypervisor took, and what was waited for."""
    seen = burst.get("watch", {})
    taken = sum(seen.get(key) or 0.0 for key in ("others_cpu", "neighbors_cpu", "steal", "waited"))
    return taken / max(seen.get("wall") or 1.0, 1e-9)


def _bursts(raw: Sequence[Process]) -> list[dict[str, Any]]:
    return [burst for process in raw for burst in process["bursts"]]


def _reasons(burst: dict[str, Any]) -> Iterable[str]:
    return (*burst["contended"], *burst["throttled"])


def _cause(reason: str) -> str:
    """A reason without its numbers: "other processes used"."""
    return NUMBER.sub("", reason)
