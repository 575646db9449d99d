"""Raw samples -> one row, and the verdict on whether it may be trusted."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from paretodet.bench.block import Case, samples
from paretodet.bench.energy import per_image
from paretodet.bench.job import Plan
from paretodet.bench.machine import facts, fingerprint, spinning_off, versions
from paretodet.bench.photographs import digest
from paretodet.bench.process import threads
from paretodet.bench.record import Measurement
from paretodet.bench.seal import sealed
from paretodet.bench.statistics import interval, percentile, within_pct

SHARE = 0.1  # of a row's burst time may be disturbed before the row is
NOISY_PCT = 10.0  # half of the interval, and drift inside a process or of the reference
STAGES_PCT = 5.0
RANKING = ("error", "throttled", "contended", "noisy", "host_bound", "unwatched", "valid")  # the worst first


class Trust(NamedTuple):
    validity: str
    reasons: tuple[str, ...]


def row(case: Case, plan: Plan, *, run: str, resolution_pct: float | None) -> Measurement:
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


def settings(case: Case, plan: Plan) -> dict[str, Any]:
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


def judge(case: Case) -> Trust:
    """The worst of all verdicts, with every reason."""
    if case.error is not None:
        return Trust("error", (case.error,))
    said = {
        "throttled": _disturbed(case.raw, "throttled"),
        "contended": _disturbed(case.raw, "contended"),
        "noisy": _noise(case),
        "host_bound": _host_bound(case.raw),
        "unwatched": tuple(f"not watched: {what}" for what in _union(process["unwatched"] for process in case.raw)),
    }
    worst = next((verdict for verdict in RANKING if said.get(verdict)), "valid")
    return Trust(worst, tuple(reason for reasons in said.values() for reason in reasons))


def stages_ms(raw: list[dict[str, Any]]) -> dict[str, float] | None:
    """Medians a stage over processes; None unless their sum is within 5 % of the headline in the median process."""
    if not raw or any(not process["stages_ms"] for process in raw):
        return None
    names = raw[0]["stages_ms"]
    split = {name: _median([float(np.median(p["stages_ms"][name])) for p in raw]) for name in names}
    whole = _median([_staged_share(process) for process in raw])
    return split if abs(whole - 1) <= STAGES_PCT / 100 else None


def _staged_share(process: dict[str, Any]) -> float:
    """The sum of the stages over the headline, in one process."""
    return float(sum(np.median(times) for times in process["stages_ms"].values()) / np.median(samples(process)))


def _numbers(case: Case) -> dict[str, Any]:
    energy = per_image(_clean(case.raw), case.job.batch)
    return {**_facts(case.raw[0]["facts"]), **_times(case), **_memory(case.raw), "energy_j": energy}


def _clean(raw: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Bursts in which the machine was ours, those for the meter alone among them."""
    bursts = [burst for process in raw for burst in (*process["bursts"], *process.get("metered", ()))]
    return [burst for burst in bursts if not burst["contended"] and not burst["throttled"]]


def _times(case: Case) -> dict[str, Any]:
    by_process = [samples(process) for process in case.raw]
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


def _disturbed(raw: list[dict[str, Any]], kind: str) -> tuple[str, ...]:
    """Reasons of the disturbed bursts, where these hold more than a tenth of the burst time."""
    bursts = [burst for process in raw for burst in process["bursts"]]
    bad = [burst for burst in bursts if burst[kind]]
    share = sum(burst["seconds"] for burst in bad) / sum(burst["seconds"] for burst in bursts)
    if share <= SHARE:
        return ()
    worst = max(bad, key=lambda burst: burst["seconds"])
    return (f"{100 * share:.0f} % of the time was {kind}: {'; '.join(worst[kind])}",)


def _noise(case: Case) -> tuple[str, ...]:
    half, reasons = interval(case.medians).half_pct, []
    if half > NOISY_PCT:
        reasons.append(f"the interval is ± {half:.0f} % wide; {NOISY_PCT:.0f} % is allowed")
    if sum(_drift_pct(process) > NOISY_PCT for process in case.raw) > len(case.raw) / 2:
        reasons.append(f"calls grew over {NOISY_PCT:.0f} % faster or slower while they were measured")
    known = [process["reference_ms"] for process in case.raw if process.get("reference_ms")]
    if known and (drift := 100 * (max(known) / min(known) - 1)) > 2 * NOISY_PCT:
        reasons.append(f"the reference candidate drifted by {drift:.0f} % between blocks")
    return tuple(reasons)


def _drift_pct(process: dict[str, Any]) -> float:
    """How far the medians of the first and the last third of a process's samples are apart."""
    times = samples(process)
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
