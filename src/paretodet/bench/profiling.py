"""Profiles one candidate in a fresh process: the times of its layers, its whole calls, and the machine's ceilings."""

from collections.abc import Callable
from typing import Any

import numpy as np

from paretodet.bench.bursts import is_clean, samples
from paretodet.bench.job import Job, Plan
from paretodet.bench.process import Worker, preload, thread_count
from paretodet.bench.runner import ceilings_of, images_of
from paretodet.records.profile import Profile, profiled_layers
from paretodet.records.roofline import floor_ms

PROFILED_S = 2.0  # time of the calls whose layers are timed
MIN_CALLS, MAX_CALLS = 3, 50
MAX_BURSTS = 8  # until the plan's sampled time was clean

Notify = Callable[[str], None]  # the phase


def profile(job: Job, plan: Plan, notify: Notify = lambda phase: None) -> Profile:
    """The layers of a job's candidate. Raises WorkerError if it fails or cannot time its layers."""
    preload([job])
    notify("start")
    with Worker(job, plan, notify) as worker:
        worker.ready()
        notify("load")
        loaded = worker.ask("load", images_of(job, plan))
        notify("burst")
        record = {"bursts": _bursts(worker, plan)}
        times = samples(record, clean_only=True) or samples(record)
        latency = float(np.median(times))
        calls = int(np.clip(1000 * PROFILED_S / latency, MIN_CALLS, MAX_CALLS))
        notify("layers")
        layers = worker.ask("profile", calls)["layers"]
    facts, threads = loaded["facts"], thread_count(job)
    notify("ceilings")
    ceilings = ceilings_of(facts["device"], threads, plan) or {}
    reached = (ceilings, facts["precision"])
    images = next((layer.images for layer in layers if layer.images), job.batch)
    return Profile(
        name=job.name,
        **{field: facts[field] for field in ("device", "runtime", "precision")},
        batch=job.batch,
        threads=threads,
        calls=calls,
        latency_ms=latency,
        layers=profiled_layers(layers, loaded["layers"], *reached, batch=images),
        floor_ms=floor_ms(loaded["layers"], *reached, batch=images),
        ceilings=dict(ceilings) or None,
        disturbed=_disturbed(record["bursts"]),
        images=images,
    )


def _bursts(worker: Worker, plan: Plan) -> list[dict[str, Any]]:
    """Bursts until the plan's sampled time was clean, at most MAX_BURSTS."""
    bursts: list[dict[str, Any]] = []
    while len(bursts) < MAX_BURSTS and sum(burst["seconds"] for burst in filter(is_clean, bursts)) < plan.sampled:
        bursts.append(worker.ask("burst"))
    return bursts


def _disturbed(bursts: list[dict[str, Any]]) -> str:
    """The first reason, if no burst was clean."""
    reasons = [reason for burst in bursts for reason in (*burst["contended"], *burst["throttled"])]
    return "" if any(map(is_clean, bursts)) else reasons[0]
