"""The arithmetic of the ceilings, with timers instead of clocks; and that they are of this machine."""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter
from typing import Any

import numpy as np
import pytest
import torch
from bench_candidates import QUICK
from test_runner import Machine, jobs, process

from paretodet.bench import ceilings as module
from paretodet.bench import runner
from paretodet.bench.ceilings import best_rate, measure_ceilings
from paretodet.bench.selftest import SelfTestResult


def test_the_best_rate_counts_until_the_time_is_spent() -> None:
    seconds = iter([4.0, 1.0, 2.0, 9.0])
    works = [(8.0, print), (8.0, print), (8.0, print), (8000.0, print)]
    rate = best_rate(iter(works), lambda _: next(seconds), budget=7)
    assert rate == 8.0 and next(seconds) == 9.0  # the fourth did not run


def test_rates_are_operations_and_bytes_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SIZES", {"cpu": (10,)})
    monkeypatch.setattr(module, "COPIED", 4000)
    found = measure_ceilings("cpu", timer=lambda work: 1e-6)
    assert found == {"fp32_gflops": 2.0, "bf16_gflops": 2.0, "int8_gflops": 2.0, "copy_gb_s": 8.0}


def test_the_timed_work_is_a_matrix_product_of_that_size() -> None:
    for precision in module.PRECISIONS["cpu"]:
        assert module._product(precision, 16, "cpu")().shape == (16, 16)
    for size in (10, 16):
        made = module._convolution("bf16", size, "cpu")()
        assert made.flatten(2).shape == (1, size, size) and made.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("slow", "fast", "int8"), [("_product", "_convolution", 0.5), ("_convolution", "_product", 2.0)]
)
def test_the_faster_library_decides(monkeypatch: pytest.MonkeyPatch, slow: str, fast: str, int8: float) -> None:
    """Products and convolutions of floats are of two libraries; integers have one."""
    monkeypatch.setattr(module, "SIZES", {"cpu": (10,)})
    monkeypatch.setattr(module, "COPIED", 4000)
    monkeypatch.setattr(module, slow, lambda *_: slow)
    monkeypatch.setattr(module, fast, lambda *_: fast)
    found = measure_ceilings("cpu", timer=lambda work: 4e-6 if work == slow else 1e-6)
    assert (found["fp32_gflops"], found["bf16_gflops"], found["int8_gflops"]) == (2.0, 2.0, int8)


def test_a_missing_product_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_: Any) -> Any:
        raise NotImplementedError

    monkeypatch.setattr(torch, "_int_mm", missing)
    monkeypatch.setattr(module, "COPIED", 4000)
    found = measure_ceilings("cpu", timer=lambda work: (work(), 1.0)[1])
    assert found["int8_gflops"] is None and found["fp32_gflops"] and found["bf16_gflops"]


def test_a_device_that_it_does_not_know_has_none() -> None:
    assert measure_ceilings("npu") == {}


@pytest.mark.quiet
def test_the_fp32_rate_is_near_that_of_a_direct_product() -> None:
    """Within a factor of four, however numpy's library splits its work."""
    found = measure_ceilings("cpu")
    assert all(value is None or value > 0 for value in found.values()) and found["copy_gb_s"]
    first = second = np.ones((512, 512), np.float32)
    seconds = min(_timed(lambda: first @ second) for _ in range(20))
    assert 0.25 < (found["fp32_gflops"] or 0) / (2e-9 * 512**3 / seconds) < 4 * torch.get_num_threads()


def _timed(work: Callable[[], Any]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


def test_a_run_measures_them_once_for_each_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def ceilings_of(device: str, threads: int, plan: Any) -> dict[str, float]:
        asked.append((device, threads))
        return {"fp32_gflops": 1.0 * threads, "copy_gb_s": 1.0}

    def selftest(*_: Any) -> SelfTestResult:
        return SelfTestResult(clock_ms=0.0, wait_ms=20.0, twice=2.0, resolution_pct=2.0)

    monkeypatch.setattr(runner, "run_block", Machine(lambda name, i: 10 + 0.01 * i))
    monkeypatch.setattr(runner, "ceilings_of", ceilings_of)
    monkeypatch.setattr(runner, "selftest", selftest)
    some = [replace(job, threads=threads) for job, threads in zip(jobs(3), (1, 2, 1), strict=True)]
    rows = list(runner.measure(some, plan=QUICK))
    assert sorted(asked) == [("cpu", 1), ("cpu", 2)]
    assert [row.ceilings and row.ceilings["fp32_gflops"] for row in rows] == [1.0, 2.0, 1.0]
    assert [row.ceilings for row in runner.measure(some, plan=QUICK, resolution_pct=2.0)] == [None] * 3


def test_a_run_waits_for_a_quiet_moment_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a disturbed burst; the time counts as lost."""
    phases: list[str] = []
    state = runner._RunState(jobs(1), QUICK, "run", runner.wide_rows, lambda progress: phases.append(progress.phase))
    state.start, state.policy.disturbed = 0.0, 1
    loads = iter([(0.5, "make"), (0.0, "")])
    state.policy.sample = lambda window: next(loads)
    monkeypatch.setattr(runner, "ceilings_of", lambda *_: {"copy_gb_s": 1.0})
    state.states[0].raw.append(process(1.0))
    assert state._ceilings(state.states[0]) == {"copy_gb_s": 1.0}
    assert phases == ["waiting: make uses 50 % of a core"]


@pytest.mark.full
def test_they_are_measured_in_a_process_of_its_own() -> None:
    found = runner.ceilings_of("cpu", 1, QUICK)
    assert found and found["fp32_gflops"] and found["copy_gb_s"]
