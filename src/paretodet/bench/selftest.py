"""Before the first row: can this machine and this clock be trusted now, and how small a difference can be told?"""

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
from paretodet.bench.synthetic_images import draw
from paretodet.records.statistics import ratio_interval
from paretodet.types import Detections

COARSEST_MS = 0.01  # a clock coarser than this cannot time a fast detector
WAIT_MS, WAIT_PCT = 20.0, 1.0
TWICE_PCT = 3.0
TWINS = 3  # fresh processes of each of the two identical candidates


class SelfTestError(RuntimeError):
    """The clock of this machine cannot be trusted; the message is one sentence."""


class SelfTestResult(NamedTuple):
    """What the self-test found."""

    clock_ms: float  # smallest step of the clock
    wait_ms: float  # a wait of 20 ms as the bench measures it
    twice: float  # the time of twice the work over that of once the work
    resolution_pct: float  # the smallest difference two candidates can have and be told apart
    disturbed: str = ""  # who disturbed it, if anybody


class BusyWait:
    """Keeps a core busy for 20 ms and finds nothing."""

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
    """Certifies the clock, and finds how small a difference can be told; a failure gets a second chance.

    An unsteady machine is no failure: it makes `resolution_pct` large, and the intervals of its rows wide. Nor is a
    disturbed one, on which a wait takes longer than it should. Raises SelfTestError.
    """
    try:
        return _certify(plan, notify)
    except SelfTestError:
        return _certify(plan, notify)


def _certify(plan: Plan, notify: Notify) -> SelfTestResult:
    quick = replace(plan, sampled=0.3, burst=0.15, warm=0.1, warm_calls=10, warm_limit=0.5)
    left, right, wait = _measured(quick, notify)
    verdict = SelfTestResult(
        clock_ms=resolution_ms(),
        wait_ms=wait.medians[0],
        twice=_twice(left + right),
        resolution_pct=told_apart_pct([c.medians[0] for c in left], [c.medians[0] for c in right]),
        disturbed=_disturbed([*left, *right, wait]),
    )
    judge(verdict)
    return verdict


def judge(verdict: SelfTestResult) -> None:
    """Raises SelfTestError with the first thing that is wrong with the clock."""
    if wrong := _wrong(verdict):
        raise SelfTestError(wrong)


def _wrong(verdict: SelfTestResult) -> str | None:
    if verdict.clock_ms > COARSEST_MS:
        return f"the clock moves in steps of {verdict.clock_ms:.3f} ms; {COARSEST_MS} ms is allowed"
    if verdict.disturbed:
        return None  # times are longer then, whatever the clock
    if abs(verdict.wait_ms / WAIT_MS - 1) > WAIT_PCT / 100:
        return f"a wait of {WAIT_MS:.0f} ms was measured as {verdict.wait_ms:.2f} ms: over {WAIT_PCT:.0f} % off"
    if abs(verdict.twice / 2 - 1) > TWICE_PCT / 100:
        return f"twice the work took {verdict.twice:.2f} times as long; 2 ± {TWICE_PCT:.0f} % is allowed"
    return None


def told_apart_pct(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Half of the 95 % interval of two twins' ratio, or their distance from 1 if that is more, in percent."""
    ratio = ratio_interval(ours, theirs)
    return max(ratio.half_pct, 100 * (max(ratio.p50, 1 / ratio.p50) - 1))


def _measured(plan: Plan, notify: Notify) -> tuple[list[MeasurementState], list[MeasurementState], MeasurementState]:
    """One block of two sets of twins and the wait: every process fresh, turns random."""
    images = draw(plan.seed, 1)
    twins = [MeasurementState(job=Job(name="twin", make=Reference), images=images) for _ in range(2 * TWINS)]
    wait = MeasurementState(job=Job(name=BusyWait.name, make=BusyWait), images=images)
    random = np.random.default_rng(plan.seed)
    run_block([*twins, wait], plan, random, lambda name, phase: notify(name, "self-test"))
    if broken := [case for case in (*twins, wait) if not case.raw]:
        why = broken[0].error or "too little free memory"
        raise SelfTestError(f"{broken[0].job.name} could not be measured: {why}")
    return twins[:TWINS], twins[TWINS:], wait


def _twice(cases: list[MeasurementState]) -> float:
    """Of every twin's stages the second does twice the work of the first, a moment later: the median of the ratios."""
    stages: list[dict[str, Any]] = [case.raw[0]["stages_ms"] for case in cases]
    pairs = [np.divide(split["twice"], split["once"]) for split in stages]
    return float(np.median(np.concatenate(pairs)))


def _disturbed(cases: list[MeasurementState]) -> str:
    """The first sentence of the watch, where it has one."""
    said = (reason for case in cases for burst in case.raw[0]["bursts"] for reason in burst["contended"])
    return next(said, "")
