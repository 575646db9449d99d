"""Before the first row: can the clock be trusted, and what is the smallest difference that can be detected now?"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from paretodet.bench.block import MeasurementState, Notify, run_block
from paretodet.bench.candidate import Image
from paretodet.bench.clock import busy_wait, resolution_ms
from paretodet.bench.job import Job, Plan
from paretodet.bench.reference import Reference
from paretodet.bench.synthetic_images import draw_images
from paretodet.errors import ErrorId, WithId, words
from paretodet.records.statistics import ratio_interval
from paretodet.types import Detections

MAX_CLOCK_STEP_MS = 0.01  # a coarser clock cannot time a fast detector
WAIT_MS, WAIT_PCT = 20.0, 1.0
TWICE_PCT = 3.0
TWIN_PROCESSES = 3  # fresh processes of each of the two identical candidates


class SelfTestError(WithId, RuntimeError):
    """The clock of this machine cannot be trusted; the message is one sentence."""

    def __init__(self, message: str, id: ErrorId = "selftest-failed") -> None:
        super().__init__(message, id)


class SelfTestResult(NamedTuple):
    """The result of the self-test."""

    clock_ms: float  # the smallest step of the clock
    wait_ms: float  # the measured time of a wait of 20 ms
    twice: float  # the time of twice the work divided by that of the work
    resolution_pct: float  # the smallest difference between two candidates that can be detected
    disturbed: str = ""  # what disturbed it; empty if nothing did


class BusyWait:
    """Keeps a core busy for 20 ms and detects nothing."""

    name = "20 ms busy-wait"

    def prepare(self, images: Sequence[Image]) -> int:
        return len(images)

    def infer(self, batch: int) -> int:
        busy_wait(WAIT_MS / 1000)
        return batch

    def finish(self, outputs: int, sizes: Tensor) -> Detections:
        empty = torch.zeros(outputs, 1)
        return Detections(torch.zeros(outputs, 1, 4), empty, empty.long())


def selftest(plan: Plan, notify: Notify = lambda name, phase: None) -> SelfTestResult:
    """Checks the clock and measures the smallest difference that can be detected; a failed test is repeated once.

    An unsteady machine does not fail: it only has a large `resolution_pct` and wide intervals. Nor does a disturbed
    one, on which a wait takes too long. Raises SelfTestError.
    """
    try:
        return _run(plan, notify)
    except SelfTestError:
        return _run(plan, notify)


def _run(plan: Plan, notify: Notify) -> SelfTestResult:
    quick = replace(plan, sampled=0.3, burst=0.15, warm=0.1, warm_calls=10, warm_limit=0.5)
    first, second, wait = _measure(quick, notify)
    result = SelfTestResult(
        clock_ms=resolution_ms(),
        wait_ms=wait.medians[0],
        twice=_twice(first + second),
        resolution_pct=twin_difference_pct([s.medians[0] for s in first], [s.medians[0] for s in second]),
        disturbed=_disturbed([*first, *second, wait]),
    )
    check_result(result)
    return result


def check_result(result: SelfTestResult) -> None:
    """Raises SelfTestError with the first thing that is wrong with the clock."""
    if problem := _clock_problem(result):
        raise SelfTestError(problem)


def _clock_problem(result: SelfTestResult) -> str | None:
    if result.clock_ms > MAX_CLOCK_STEP_MS:
        return f"the clock has steps of {result.clock_ms:.3f} ms; at most {MAX_CLOCK_STEP_MS} ms is allowed"
    if result.disturbed:
        return None  # then times are longer, whatever the clock
    if abs(result.wait_ms / WAIT_MS - 1) > WAIT_PCT / 100:
        return f"a wait of {WAIT_MS:.0f} ms was measured as {result.wait_ms:.2f} ms; ± {WAIT_PCT:.0f} % is allowed"
    if abs(result.twice / 2 - 1) > TWICE_PCT / 100:
        return f"twice the work took {result.twice:.2f} times as long; 2 ± {TWICE_PCT:.0f} % is allowed"
    return None


def twin_difference_pct(first: Sequence[float], second: Sequence[float]) -> float:
    """In percent, the larger of: half of the 95 % interval of the ratio of two identical candidates, and its distance
    from 1.
    """
    ratio = ratio_interval(first, second)
    return max(ratio.half_pct, 100 * (max(ratio.p50, 1 / ratio.p50) - 1))


def _measure(plan: Plan, notify: Notify) -> tuple[list[MeasurementState], list[MeasurementState], MeasurementState]:
    """Measures two sets of identical candidates and the wait in random order, in one block if memory allows."""
    images = draw_images(plan.seed, 1)
    twins = [MeasurementState(job=Job(name="twin", make=Reference), images=images) for _ in range(2 * TWIN_PROCESSES)]
    wait = MeasurementState(job=Job(name=BusyWait.name, make=BusyWait), images=images)
    random = np.random.default_rng(plan.seed)
    states = [*twins, wait]
    while states:  # those that did not fit in memory run again
        states = run_block(states, plan, random, lambda name, phase: notify(name, "self-test"))
    if failed := [state for state in (*twins, wait) if state.error is not None]:
        raise SelfTestError(f"{failed[0].job.name} could not be measured: {words(failed[0].error)}")
    return twins[:TWIN_PROCESSES], twins[TWIN_PROCESSES:], wait


def _twice(states: list[MeasurementState]) -> float:
    """The median ratio of the stage `twice` to the stage `once`, which runs just before it with half the work."""
    stages: list[dict[str, Any]] = [state.raw[0]["stages_ms"] for state in states]
    pairs = [np.divide(split["twice"], split["once"]) for split in stages]
    return float(np.median(np.concatenate(pairs)))


def _disturbed(states: list[MeasurementState]) -> str:
    """The first reason of a contended burst; empty if there is none."""
    reasons = (reason for state in states for burst in state.raw[0]["bursts"] for reason in burst["contended"])
    return next(reasons, "")
