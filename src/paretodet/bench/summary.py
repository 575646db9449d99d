"""Raw samples -> one row, and whether it can be trusted."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from paretodet.bench.block import MeasurementState
from paretodet.bench.bursts import (
    busiest_process,
    clean_share,
    drift_pct,
    excluded_bursts,
    has_clean_time,
    headline_samples,
    is_clean,
    samples,
    widening_pct,
)
from paretodet.bench.energy import per_image
from paretodet.bench.job import Plan
from paretodet.bench.machine import facts, fingerprint, versions, worker_environment
from paretodet.bench.process import thread_count
from paretodet.bench.synthetic_images import digest
from paretodet.records.measurement import Measurement
from paretodet.records.roofline import Ceilings, floor_ms
from paretodet.records.row_id import with_id
from paretodet.records.statistics import PRIOR_DF, PRIOR_SD, interval, percentile, within_pct

MAX_DRIFT_PCT = 10.0  # of calls in a process and of the reference candidate; more is reported
SLOWER_PCT, SIGMAS = 5.0, 3.5  # a burst is unexplained if it exceeds the other clean ones of its process by both
MAX_STAGES_ERROR_PCT = 5.0
RANKING = ("error", "throttled", "contended", "host_bound", "unwatched", "valid")  # the worst first


class Verdict(NamedTuple):
    """Whether a row can be trusted, and the reasons."""

    validity: str
    reasons: tuple[str, ...]


def make_row(
    state: MeasurementState,
    plan: Plan,
    *,
    run: str,
    resolution_pct: float | None,
    ceilings: Ceilings | None = None,
) -> Measurement:
    """The finished row of a job; an error row contains what was measured before the error."""
    machine, verdict = facts(), assess(state)
    values: dict[str, Any] = {
        **state.job.asked,
        "name": state.job.name,
        "batch": state.job.batch,
        "threads": thread_count(state.job),
        "processes": len(state.raw),
        "job": state.job.recipe,
        "error": state.error,
        "validity": verdict.validity,
        "reasons": verdict.reasons,
        "resolution_pct": resolution_pct,
        "machine": fingerprint(machine),
        "machine_facts": machine,
        "versions": versions(),
        "settings": settings(state, plan),
        "raw": tuple(state.raw),
        **(_numbers(state) if state.raw else {}),
        **(_floor(state, ceilings) if state.raw and ceilings else {}),
        **state.job.about,
    }
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return with_id(Measurement(id="", run=run, at=at, **values))


def _floor(state: MeasurementState, ceilings: Ceilings) -> dict[str, Any]:
    precision = state.raw[0]["facts"]["precision"]
    return {
        "ceilings": dict(ceilings),
        "floor_ms": floor_ms(state.layers, ceilings, precision, batch=state.job.batch),
    }


def settings(state: MeasurementState, plan: Plan) -> dict[str, Any]:
    """The settings of the measurement, JSON-ready."""
    return {
        "environment": worker_environment(thread_count(state.job)),
        "runtime": dict(state.raw[0]["facts"].get("runtime_settings", ())) if state.raw else {},
        "garbage_collection": "frozen during bursts",
        "plan": vars(plan),
        "interval": {"prior_df": PRIOR_DF, "prior_sd": PRIOR_SD},
        "images": {"count": len(state.images), "digest": digest(state.images), "drawn": not state.job.images},
        "marked": "the first call of every burst and of prepare: stored, outside every percentile",
        "memory": sorted({process["memory_way"] for process in state.raw}),
        "energy": sorted({way for process in state.raw if (way := process.get("energy_way"))}),
    }


def assess(state: MeasurementState) -> Verdict:
    """The worst verdict, with the reasons of all."""
    if state.error is not None:
        return Verdict("error", (state.error,))
    reasons = {
        **_no_clean_time(state.raw),
        "host_bound": _host_bound(state.raw),
        "unwatched": tuple(f"not watched: {name}" for name in _union(process["unwatched"] for process in state.raw)),
        "valid": (*_excluded(state.raw), *_drift(state.raw), *_unexplained(state.raw)),  # the row remains valid
    }
    worst = next((verdict for verdict in RANKING if reasons.get(verdict)), "valid")
    return Verdict(worst, tuple(reason for some in reasons.values() for reason in some))


def stages_ms(raw: list[dict[str, Any]]) -> dict[str, float] | None:
    """The median of each stage over the processes that sampled stages.

    None unless, in the median process, their sum is within 5 % of the process's latency.
    """
    staged = [process for process in raw if process["stages_ms"]]
    if not staged or abs(_median([_staged_share(process) for process in staged]) - 1) > MAX_STAGES_ERROR_PCT / 100:
        return None
    names = staged[0]["stages_ms"]
    return {name: _median([float(np.median(p["stages_ms"][name])) for p in staged]) for name in names}


def _staged_share(process: dict[str, Any]) -> float:
    """The sum of the stages divided by the latency, in one process."""
    return float(sum(np.median(times) for times in process["stages_ms"].values()) / np.median(samples(process)))


def _numbers(state: MeasurementState) -> dict[str, Any]:
    energy = per_image(_metered(state.raw), state.job.batch)
    return {
        **_facts(state.raw[0]["facts"]),
        **_times(state),
        **_disturbances(state),
        **_memory(state.raw),
        "energy_j": energy,
    }


def _metered(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Clean bursts, including those that were run only for the energy meter."""
    return [burst for process in raw for burst in (*process["bursts"], *process.get("metered", ())) if is_clean(burst)]


def _disturbances(state: MeasurementState) -> dict[str, Any]:
    return {
        "clean_share": clean_share(state.raw),
        "bursts": sum(len(process["bursts"]) for process in state.raw),
        "bursts_left_out": excluded_bursts(state.raw),
        "disturbed_pct": round(widening_pct(state.raw, interval(state.medians).half_pct), 3),
    }


def _times(state: MeasurementState) -> dict[str, Any]:
    by_process = headline_samples(state.raw)
    pooled = [ms for process in by_process for ms in process]
    p50, low, high = interval(state.medians)
    prepare = _median([float(np.median(process["prepare_ms"][1:])) for process in state.raw])
    return {
        "latency_ms_p50": p50,
        "latency_ms_p50_low": low,
        "latency_ms_p50_high": high,
        **{f"latency_ms_p{q}": percentile(pooled, q) for q in (90, 95, 99)},
        "within_pct": within_pct(by_process),
        "prepare_ms": prepare,
        "total_ms": prepare + p50,
        "stages_ms": stages_ms(state.raw),
        "load_ms": _median([process["load_ms"] for process in state.raw]),
        "first_ms": _median([process["first_ms"] for process in state.raw]),
        "samples": len(pooled),
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


def _no_clean_time(raw: list[dict[str, Any]]) -> dict[str, tuple[str, ...]]:
    """ "throttled" or "contended", with the reason, if a row has no clean time; otherwise empty."""
    if has_clean_time(raw):
        return {}
    bursts = [burst for process in raw for burst in process["bursts"]]
    kinds = [kind for kind in ("throttled", "contended") if any(burst[kind] for burst in bursts)]
    main = max(kinds, key=lambda kind: sum(burst["seconds"] for burst in bursts if burst[kind]))
    worst = max((burst for burst in bursts if burst[main]), key=lambda burst: burst["seconds"])
    name = busiest_process(raw)
    causes = (f"{cause}, mostly {name}" if name and cause.startswith("other proc") else cause for cause in worst[main])
    return {main: (f"{'; '.join(causes)}; {_clean_count(raw)}",)}


def _excluded(raw: list[dict[str, Any]]) -> tuple[str, ...]:
    """How many bursts were excluded, and why."""
    causes = ", ".join(f"{cause} ({count})" for cause, count in excluded_bursts(raw).items())
    return (f"{_clean_count(raw)}; disturbed: {causes}",) if causes and has_clean_time(raw) else ()


def _clean_count(raw: list[dict[str, Any]]) -> str:
    bursts = [burst for process in raw for burst in process["bursts"]]
    return f"{sum(map(is_clean, bursts))} of {len(bursts)} bursts were clean"


def _drift(raw: list[dict[str, Any]]) -> tuple[str, ...]:
    reasons = []
    if sum(_drift_pct(process) > MAX_DRIFT_PCT for process in raw) > len(raw) / 2:
        reasons.append(f"calls became over {MAX_DRIFT_PCT:.0f} % faster or slower during the measurement")
    if (drift := drift_pct(raw)) > MAX_DRIFT_PCT:
        reasons.append(f"the reference candidate drifted by ± {drift:.0f} % between blocks")
    return tuple(reasons)


def _unexplained(raw: list[dict[str, Any]]) -> tuple[str, ...]:
    """Clean bursts that were significantly slower: something slowed them that the watch does not see."""
    slow = [pct for process in raw for pct in _slower_pct(process) if pct > 0]
    if not slow:
        return ()
    clean = sum(is_clean(burst) for process in raw for burst in process["bursts"])
    return (f"unexplained: {len(slow)} of {clean} clean bursts were up to {max(slow):.0f} % slower than the others",)


def _slower_pct(process: dict[str, Any]) -> list[float]:
    """By how much each clean burst of a process is slower than its other ones; 0 if that is not significant.

    On the log scale, a burst's median is compared with the median of the other bursts' medians. The standard error of a
    median is 1.25 / sqrt(calls) times the spread of the calls in a burst; both sides have one.
    """
    logs = [np.log(samples({"bursts": [burst]})) for burst in process["bursts"] if is_clean(burst)]
    logs = [calls for calls in logs if len(calls) > 1]
    if len(logs) < 3:
        return []
    spread = float(np.median([calls.std(ddof=1) for calls in logs]))
    return [_excess_pct(logs, index, spread) for index in range(len(logs))]


def _excess_pct(logs: list[np.ndarray], index: int, spread: float) -> float:
    medians = [float(np.median(calls)) for calls in logs]
    others = [median for other, median in enumerate(medians) if other != index]
    error = 1.25 * spread * np.sqrt(1 / len(logs[index]) + 1 / sum(len(calls) for calls in logs))
    shift = medians[index] - float(np.median(others))
    pct = 100 * float(np.expm1(shift))
    return pct if pct > SLOWER_PCT and shift > SIGMAS * error else 0.0


def _drift_pct(process: dict[str, Any]) -> float:
    """The difference between the medians of the first and the last third of a process's clean samples, in percent."""
    times = samples(process, clean_only=True)
    third = len(times) // 3
    if third < 3:
        return 0.0
    first, last = np.median(times[:third]), np.median(times[-third:])
    return float(100 * (max(first, last) / min(first, last) - 1))


def _host_bound(raw: list[dict[str, Any]]) -> tuple[str, ...]:
    bound = sum(process["host_bound"] for process in raw) > len(raw) / 2
    return ("infer takes longer by the wall clock than by the device's events: the host limits it",) if bound else ()


def _median(values: list[float] | list[float | None] | Any) -> Any:
    numbers = [value for value in values if value is not None]
    return float(np.median(numbers)) if numbers else None


def _union(groups: Any) -> list[str]:
    return sorted({item for group in groups for item in group})
