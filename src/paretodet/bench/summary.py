"""Raw samples -> one row, and the verdict on whether it may be trusted."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from paretodet.bench.block import MeasurementState
from paretodet.bench.clean import (
    clean_share,
    drift_pct,
    has_clean_time,
    headline,
    is_clean,
    left_out,
    samples,
    widening_pct,
)
from paretodet.bench.energy import per_image
from paretodet.bench.job import Plan
from paretodet.bench.machine import facts, fingerprint, spinning_off, versions
from paretodet.bench.process import threads
from paretodet.bench.synthetic_images import digest
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import sealed
from paretodet.records.statistics import interval, percentile, within_pct

DRIFT_PCT = 10.0  # of calls inside a process and of the reference candidate, before the row says so
SLOWER_PCT, SIGMAS = 5.0, 3.5  # an unexplained burst is slower than its process's other clean ones by both
STAGES_PCT = 5.0
RANKING = ("error", "throttled", "contended", "host_bound", "unwatched", "valid")  # the worst first


class Trust(NamedTuple):
    validity: str
    reasons: tuple[str, ...]


def row(case: MeasurementState, plan: Plan, *, run: str, resolution_pct: float | None) -> Measurement:
    """The finished row of a case; an error row keeps what its processes had brought."""
    machine, trust = facts(), judge(case)
    values: dict[str, Any] = {
        "name": case.job.name,
        "batch": case.job.batch,
        "threads": threads(case.job),
        "processes": len(case.raw),
        "job": case.job.recipe,
        "error": case.error,
        "validity": trust.validity,
        "reasons": trust.reasons,
        "resolution_pct": resolution_pct,
        "machine": fingerprint(machine),
        "machine_facts": machine,
        "versions": versions(),
        "settings": settings(case, plan),
        "raw": tuple(case.raw),
        **(_numbers(case) if case.raw else {}),
        **case.job.about,
    }
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return sealed(Measurement(id="", run=run, at=at, **values))


def settings(case: MeasurementState, plan: Plan) -> dict[str, Any]:
    """What was set for the measurement, JSON-ready."""
    return {
        "environment": spinning_off(threads(case.job)),
        "runtime": dict(case.raw[0]["facts"].get("runtime_settings", ())) if case.raw else {},
        "garbage_collection": "frozen during bursts",
        "plan": vars(plan),
        "images": {"count": len(case.images), "digest": digest(case.images), "drawn": not case.job.images},
        "marked": "the first call of every burst and of prepare: stored, outside every percentile",
        "memory": sorted({process["memory_way"] for process in case.raw}),
        "energy": sorted({way for process in case.raw if (way := process.get("energy_way"))}),
    }


def judge(case: MeasurementState) -> Trust:
    """The worst of all verdicts, with every reason."""
    if case.error is not None:
        return Trust("error", (case.error,))
    said = {
        **_ran_out(case.raw),
        "host_bound": _host_bound(case.raw),
        "unwatched": tuple(f"not watched: {what}" for what in _union(process["unwatched"] for process in case.raw)),
        "valid": (*_left_out(case.raw), *_drift(case.raw), *_unexplained(case.raw)),  # findings: the row stays valid
    }
    worst = next((verdict for verdict in RANKING if said.get(verdict)), "valid")
    return Trust(worst, tuple(reason for reasons in said.values() for reason in reasons))


def stages_ms(raw: list[dict[str, Any]]) -> dict[str, float] | None:
    """Medians a stage over the processes that sampled stages.

    None unless their sum is within 5 % of these processes' own headline in the median process.
    """
    staged = [process for process in raw if process["stages_ms"]]
    if not staged or abs(_median([_staged_share(process) for process in staged]) - 1) > STAGES_PCT / 100:
        return None
    names = staged[0]["stages_ms"]
    return {name: _median([float(np.median(p["stages_ms"][name])) for p in staged]) for name in names}


def _staged_share(process: dict[str, Any]) -> float:
    """The sum of the stages over the headline, in one process."""
    return float(sum(np.median(times) for times in process["stages_ms"].values()) / np.median(samples(process)))


def _numbers(case: MeasurementState) -> dict[str, Any]:
    energy = per_image(_metered(case.raw), case.job.batch)
    return {**_facts(case.raw[0]["facts"]), **_times(case), **_trouble(case), **_memory(case.raw), "energy_j": energy}


def _metered(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Clean bursts, those for the meter alone among them."""
    return [burst for process in raw for burst in (*process["bursts"], *process.get("metered", ())) if is_clean(burst)]


def _trouble(case: MeasurementState) -> dict[str, Any]:
    return {
        "clean_share": clean_share(case.raw),
        "bursts": sum(len(process["bursts"]) for process in case.raw),
        "bursts_left_out": left_out(case.raw),
        "disturbed_pct": round(widening_pct(case.raw, interval(case.medians).half_pct), 3),
    }


def _times(case: MeasurementState) -> dict[str, Any]:
    by_process = headline(case.raw)
    every = [ms for process in by_process for ms in process]
    p50, low, high = interval(case.medians)
    prepare = _median([float(np.median(process["prepare_ms"][1:])) for process in case.raw])
    return {
        "latency_ms_p50": p50,
        "latency_ms_p50_low": low,
        "latency_ms_p50_high": high,
        **{f"latency_ms_p{q}": percentile(every, q) for q in (90, 95, 99)},
        "within_pct": within_pct(by_process),
        "prepare_ms": prepare,
        "total_ms": prepare + p50,
        "stages_ms": stages_ms(case.raw),
        "load_ms": _median([process["load_ms"] for process in case.raw]),
        "first_ms": _median([process["first_ms"] for process in case.raw]),
        "samples": len(every),
    }


def _memory(raw: list[dict[str, Any]]) -> dict[str, Any]:
    device = [process["memory_device"] for process in raw]
    return {
        "memory_load_mib": _median([process["memory_load_mib"] for process in raw]),
        "memory_infer_mib": _median([process["memory_infer_mib"] for process in raw]),
        "memory_device_mib": _median([d.get("process") for d in device]),
        "memory_allocated_mib": _median([d.get("allocated") for d in device]),
        "memory_reserved_mib": _median([d.get("reserved") for d in device]),
    }


def _facts(stated: dict[str, Any]) -> dict[str, Any]:
    macs = stated["macs"]
    stated = {key: value for key, value in stated.items() if key != "runtime_settings"}
    return {**stated, "uncounted": tuple(stated["uncounted"]), "flops": None if macs is None else 2 * macs}


def _ran_out(raw: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The cause of it, "throttled" or "contended", where a row's clean time ran out."""
    if has_clean_time(raw):
        return {}
    bursts = [burst for process in raw for burst in process["bursts"]]
    kinds = [kind for kind in ("throttled", "contended") if any(burst[kind] for burst in bursts)]
    most = max(kinds, key=lambda kind: sum(burst["seconds"] for burst in bursts if burst[kind]))
    worst = max((burst for burst in bursts if burst[most]), key=lambda burst: burst["seconds"])
    return {most: (f"{'; '.join(worst[most])}; {_kept(raw)}",)}


def _left_out(raw: list[dict[str, Any]]) -> tuple[str, ...]:
    """How many bursts stayed outside of the headline, and why."""
    causes = ", ".join(f"{cause} ({count})" for cause, count in left_out(raw).items())
    return (f"{_kept(raw)}; disturbed: {causes}",) if causes and has_clean_time(raw) else ()


def _kept(raw: list[dict[str, Any]]) -> str:
    bursts = [burst for process in raw for burst in process["bursts"]]
    return f"{sum(map(is_clean, bursts))} of {len(bursts)} bursts were clean"


def _drift(raw: list[dict[str, Any]]) -> tuple[str, ...]:
    reasons = []
    if sum(_drift_pct(process) > DRIFT_PCT for process in raw) > len(raw) / 2:
        reasons.append(f"calls became over {DRIFT_PCT:.0f} % faster or slower while they were measured")
    if (drift := drift_pct(raw)) > DRIFT_PCT:
        reasons.append(f"the reference candidate drifted by ± {drift:.0f} % between blocks")
    return tuple(reasons)


def _unexplained(raw: list[dict[str, Any]]) -> tuple[str, ...]:
    """Clean bursts that were slower than chance allows: something that the watch does not see slowed them."""
    slow = [pct for process in raw for pct in _slower_pct(process) if pct > 0]
    if not slow:
        return ()
    clean = sum(is_clean(burst) for process in raw for burst in process["bursts"])
    return (f"unexplained: {len(slow)} of {clean} clean bursts were up to {max(slow):.0f} % slower than the others",)


def _slower_pct(process: dict[str, Any]) -> list[float]:
    """Of each clean burst of a process: how much slower than its others, 0 where chance explains it.

    On the log scale a burst's median is held against the median of the other bursts' medians. The spread of one such
    median is that of the calls inside the bursts, 1.25 / sqrt(calls) times, and counts for both sides.
    """
    logs = [np.log(samples({"bursts": [burst]})) for burst in process["bursts"] if is_clean(burst)]
    logs = [calls for calls in logs if len(calls) > 1]
    if len(logs) < 3:
        return []
    spread = float(np.median([calls.std(ddof=1) for calls in logs]))
    return [_beyond(logs, place, spread) for place in range(len(logs))]


def _beyond(logs: list[np.ndarray], place: int, spread: float) -> float:
    middles = [float(np.median(calls)) for calls in logs]
    others = [middle for other, middle in enumerate(middles) if other != place]
    error = 1.25 * spread * np.sqrt(1 / len(logs[place]) + 1 / sum(len(calls) for calls in logs))
    shift = middles[place] - float(np.median(others))
    pct = 100 * float(np.expm1(shift))
    return pct if pct > SLOWER_PCT and shift > SIGMAS * error else 0.0


def _drift_pct(process: dict[str, Any]) -> float:
    """How far the medians of the first and the last third of a process's clean samples are apart."""
    times = samples(process, clean_only=True)
    third = len(times) // 3
    if third < 3:
        return 0.0
    first, last = np.median(times[:third]), np.median(times[-third:])
    return float(100 * (max(first, last) / min(first, last) - 1))


def _host_bound(raw: list[dict[str, Any]]) -> tuple[str, ...]:
    bound = sum(process["host_bound"] for process in raw) > len(raw) / 2
    return ("the device's own clock and the wall clock disagree on infer: the host bounds it",) if bound else ()


def _median(values: list[float] | list[float | None] | Any) -> Any:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None


def _union(groups: Any) -> list[str]:
    return sorted({item for group in groups for item in group})
