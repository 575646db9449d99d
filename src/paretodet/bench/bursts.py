"""Which bursts of a row count, which are excluded and why, and how far the row may still be off. Torch-free."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

ProcessRecord = dict[str, Any]  # what a worker measured: bursts with their samples and the monitored values
NUMBER = re.compile(r"\s*\d.*")


def is_clean(burst: dict[str, Any]) -> bool:
    """Whether the watch saw no disturbance during a burst. The times of its calls do not matter."""
    return not burst["contended"] and not burst["throttled"]


def samples(process: ProcessRecord, *, clean_only: bool = False) -> list[float]:
    """Infer + finish of every call except the first of each burst, ms; of all bursts or of the clean ones."""
    bursts = [burst for burst in process["bursts"] if not clean_only or is_clean(burst)]
    return [a + b for burst in bursts for a, b in zip(burst["infer_ms"][1:], burst["finish_ms"][1:], strict=True)]


def headline_samples(raw: Sequence[ProcessRecord]) -> list[list[float]]:
    """The samples from which the row's numbers are computed, ms per process: those of clean bursts.

    Processes without a clean burst are left out. If fewer than two have one, all samples of all processes are used.
    """
    clean = [times for process in raw if (times := samples(process, clean_only=True))]
    return clean if has_clean_time(raw) else [samples(process) for process in raw]


def has_clean_time(raw: Sequence[ProcessRecord]) -> bool:
    """Whether two processes, or the only one, have clean samples."""
    clean = sum(bool(samples(process, clean_only=True)) for process in raw)
    return clean >= min(2, len(raw))


def clean_share(raw: Sequence[ProcessRecord]) -> float | None:
    """The share of the burst time that nothing disturbed."""
    total = sum(burst["seconds"] for burst in _bursts(raw))
    return sum(burst["seconds"] for burst in _bursts(raw) if is_clean(burst)) / total if total else None


def excluded_bursts(raw: Sequence[ProcessRecord]) -> dict[str, int]:
    """Cause -> number of bursts that it disturbed; a burst counts once for each of its causes."""
    causes = Counter(cause for burst in _bursts(raw) for cause in {*map(_cause, _reasons(burst))})
    return dict(causes.most_common())


def busiest_process(raw: Sequence[ProcessRecord]) -> str:
    """The name of the process that used most CPU while the row's processes waited; empty if they did not wait."""
    loads: Counter[str] = Counter()
    for process in raw:
        loads.update(process.get("waited_for", {}))
    return loads.most_common(1)[0][0] if loads else ""


def widening_pct(raw: Sequence[ProcessRecord], half: float) -> float:
    """By how many percent other processes and drift may have changed a latency, in addition to its interval.

    `half` is half of that interval in percent. The result is the sum of two parts. Contention in the bursts that count:
    the mean share of a core that other processes used and for which the candidate waited. Drift: by how much the drift
    of the reference candidate between blocks exceeds `half`, because the row's processes are spread over these blocks.
    """
    kept = [burst for burst in _bursts(raw) if not has_clean_time(raw) or is_clean(burst)]
    seconds = sum(burst["seconds"] for burst in kept)
    contended = sum(burst["seconds"] * _contended_share(burst) for burst in kept) / seconds if seconds else 0.0
    return 100 * contended + max(0.0, drift_pct(raw) - half)


def drift_pct(raw: Sequence[ProcessRecord]) -> float:
    """The largest deviation of the reference candidate from its middle, in percent on the log scale.

    The larger of that of its whole time and that of its copy of memory.
    """
    return max(_swing_pct(raw, key) for key in ("reference_ms", "reference_stream_ms"))


def _swing_pct(raw: Sequence[ProcessRecord], key: str) -> float:
    times = [process[key] for process in raw if process.get(key)]
    return 100 * (math.sqrt(max(times) / min(times)) - 1) if times else 0.0


def _contended_share(burst: dict[str, Any]) -> float:
    """As a share of the burst: core time that other processes and the hypervisor took, and waiting for a CPU."""
    watch = burst.get("watch", {})
    taken = sum(watch.get(key) or 0.0 for key in ("others_cpu", "neighbors_cpu", "steal", "waited"))
    return taken / max(watch.get("wall") or 1.0, 1e-9)


def _bursts(raw: Sequence[ProcessRecord]) -> list[dict[str, Any]]:
    return [burst for process in raw for burst in process["bursts"]]


def _reasons(burst: dict[str, Any]) -> Iterable[str]:
    return (*burst["contended"], *burst["throttled"])


def _cause(reason: str) -> str:
    """A reason without its numbers: "other processes used"."""
    return NUMBER.sub("", reason)
