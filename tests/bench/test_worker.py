"""A worker's session, tested in this process; `test_hostile.py` uses fresh processes."""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from bench_candidates import (
    QUICK,
    Blind,
    Deferring,
    Hoarder,
    Honest,
    Hungry,
    InStages,
    LateWriter,
    Raising,
    Reporting,
    Shifting,
    SlowStart,
    Tail,
)

from paretodet.bench import energy, worker
from paretodet.bench.bursts import samples
from paretodet.bench.candidate import Candidate, ModelInfo
from paretodet.bench.contract import ContractError, OutputCheck
from paretodet.bench.job import Job, Plan
from paretodet.bench.process import Worker
from paretodet.bench.reference import Reference
from paretodet.bench.synthetic_images import draw_images
from paretodet.bench.worker import MeasuredCandidate, error_text
from paretodet.errors import InputError
from paretodet.records.profile import LayerTime
from paretodet.records.roofline import LayerWork
from paretodet.types import Detections

IMAGES = draw_images(0, 2)
LONGER = replace(QUICK, burst=0.3, warm=1.5, warm_calls=35, warm_limit=3.0)


def measured(make: Callable[[], Candidate], plan: Plan = QUICK, *, bursts: int = 2, batch: int = 1) -> dict[str, Any]:
    """The record of one process: all that a worker sends."""
    session = MeasuredCandidate(Job(name="candidate", make=make, batch=batch), plan)
    seen = session.load(IMAGES)
    return {**seen, "bursts": [session.burst() for _ in range(bursts)], **session.close()}


@pytest.fixture(scope="module")
def honest() -> dict[str, Any]:
    return measured(partial(Honest, 0.004), bursts=3)


def test_every_call_is_kept_and_the_first_of_a_burst_marked(honest: dict[str, Any]) -> None:
    calls = sum(len(burst["infer_ms"]) for burst in honest["bursts"])
    assert len(samples(honest)) == calls - 3
    assert all(len(b["infer_ms"]) == len(b["finish_ms"]) >= QUICK.burst_calls for b in honest["bursts"])
    first = honest["bursts"][0]
    assert samples(honest)[0] == first["infer_ms"][1] + first["finish_ms"][1]


def test_a_burst_lasts_long_enough(honest: dict[str, Any]) -> None:
    for burst in honest["bursts"]:
        assert burst["seconds"] >= QUICK.burst
        assert burst["seconds"] == pytest.approx(sum(burst["infer_ms"] + burst["finish_ms"]) / 1000, rel=1e-3)
        assert burst["watch"]["wall"] >= burst["seconds"]


def test_the_record_of_an_honest_candidate(honest: dict[str, Any]) -> None:
    assert not honest["host_bound"]
    assert honest["stages_ms"] is None
    assert honest["facts"]["device"] == "cpu"
    assert honest["load_ms"] >= 0
    assert honest["first_ms"] >= 4
    assert min(samples(honest)) >= 4
    assert len(honest["prepare_ms"]) == 4


class Meter:
    """Counts one joule per burst."""

    way = "test"

    def __init__(self, update_s: float) -> None:
        self.update_s = update_s

    def start(self) -> None:
        pass

    def stop(self) -> float:
        return 1.0


@pytest.mark.parametrize(("update_s", "joules", "more"), [(0.0001, 1.0, 0), (0.02, None, 1)])
def test_a_slow_meter_gets_an_additional_burst(
    monkeypatch: pytest.MonkeyPatch, update_s: float, joules: float | None, more: int
) -> None:
    monkeypatch.setattr(energy, "open_meter", lambda device: Meter(update_s))
    record = measured(Honest, replace(QUICK, burst_calls=1))
    assert record["energy_way"] == "test"
    assert {burst["joules"] for burst in record["bursts"]} == {joules}
    assert [burst["joules"] for burst in record["metered"]] == [1.0] * more


@pytest.mark.quiet
def test_slow_calls_may_end_a_burst_with_three() -> None:
    record = measured(partial(Honest, 0.03), replace(QUICK, long_burst=0.05), bursts=1)
    assert len(record["bursts"][0]["infer_ms"]) == 3


@pytest.mark.quiet
def test_a_tenth_of_the_calls_takes_twice_as_long() -> None:
    times = samples(measured(partial(Tail, 0.01), replace(QUICK, burst=0.6), bursts=2))
    p50, p95 = np.percentile(times, (50, 95))
    assert p50 / min(times) < 1.4
    assert 1.5 < p95 / p50 < 2.5


@pytest.mark.quiet
def test_thirty_slow_first_calls_are_not_in_the_median() -> None:
    record = measured(partial(SlowStart, 0.005), LONGER, bursts=1)
    assert len(record["warm_ms"]) >= 34
    assert record["first_ms"] >= 20
    assert np.median(samples(record)) < 10


@pytest.mark.quiet
def test_the_warm_up_is_limited() -> None:
    record = measured(partial(Honest, 0.03), replace(QUICK, warm=5.0, warm_calls=1000, warm_limit=0.1), bursts=1)
    assert 1 <= len(record["warm_ms"]) <= 4


def test_two_hundred_mib_are_two_hundred() -> None:
    calm, hungry = measured(Honest), measured(Hungry)
    assert 190 <= hungry["memory_infer_mib"] - calm["memory_infer_mib"] <= 210
    assert hungry["memory_load_mib"] < 20


def test_memory_held_since_loading_is_in_both_numbers() -> None:
    record = measured(Hoarder)
    assert 95 <= record["memory_load_mib"] <= 110
    assert record["memory_infer_mib"] >= 95


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (Raising, ArithmeticError, "the candidate failed"),
        (Blind, ContractError, "scores contains NaN"),
        (Shifting, ContractError, "changed between calls"),
        (LateWriter, ContractError, "scores changed after finish"),
    ],
)
def test_a_broken_rule_is_an_error(make: Callable[[], Candidate], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        measured(make)


@pytest.mark.quiet  # on a busy machine the work is not done within the wait
def test_work_left_behind_is_seen_although_a_check_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "OutputCheck", SlowCheck)
    with pytest.raises(ContractError, match="returned before its work was done"):
        measured(Deferring)


class SlowCheck(OutputCheck):
    def check(self, detections: Detections) -> None:
        time.sleep(0.1)  # the work takes 0.02 s
        super().check(detections)


def test_stages_contain_finish() -> None:
    record = measured(InStages)
    assert list(record["stages_ms"]) == ["half", "rest", "finish"]
    lengths = {len(times) for times in record["stages_ms"].values()}
    assert len(lengths) == 1 and min(lengths) >= 2
    assert min(record["stages_ms"]["half"]) >= 5


def test_stages_are_sampled_only_if_requested() -> None:
    session = MeasuredCandidate(Job(name="candidate", make=InStages), QUICK)
    session.load(IMAGES)
    session.burst()
    assert session.close(False)["stages_ms"] is None


def test_batches_have_the_jobs_size_and_the_images_sizes() -> None:
    seen: list[Any] = []

    class Curious(Honest):
        def finish(self, outputs: int, sizes: torch.Tensor) -> Any:
            seen.append((outputs, sizes))
            return super().finish(outputs, sizes)

    measured(Curious, batch=3, bursts=1)
    assert {outputs for outputs, _ in seen} == {3}
    assert all(sizes.tolist() == [[480, 640]] * 3 for _, sizes in seen)


def test_stated_facts_are_kept() -> None:
    class Stating(Honest):
        def facts(self) -> ModelInfo:
            return ModelInfo(height=7, macs=5, uncounted=("aten.relu",))

    facts = measured(Stating)["facts"]
    assert (facts["height"], facts["macs"], facts["uncounted"]) == (7, 5, ("aten.relu",))


def test_the_second_half_of_the_reference_does_twice_the_work() -> None:
    reference, products = Reference(work=4), []
    (_, wake), (_, once), (_, twice), (_, stream) = reference.stages()
    for stage in (wake, once, twice):
        assert stage(reference.prepare(IMAGES[:1])) == 1
        products.append(reference.even.clone())
    reference.source.fill_(7)
    assert stream(1) == 1 and reference.target.eq(7).all()
    power = torch.linalg.matrix_power(reference.weight, 4)
    torch.testing.assert_close(products[1], reference.start @ power)
    torch.testing.assert_close(products[2], reference.start @ power @ power)
    result = reference.finish(reference.infer(2), torch.zeros(2, 2))
    assert result.scores.shape == (2, 1) and result.scores.isfinite().all()


@pytest.mark.parametrize(
    ("problem", "message"),
    [(ValueError("one\ntwo"), "ValueError: one"), (KeyError(), "KeyError"), (SystemExit(3), "SystemExit: 3")],
)
def test_the_text_of_an_error_is_one_line(problem: BaseException, message: str) -> None:
    assert error_text(problem) == message


@pytest.fixture(autouse=True)
def collectable() -> Iterator[None]:
    """Measuring collects garbage again and again, and freezes objects, which other tests need to be collected.

    What the tests before left is frozen first: to look through it takes most of the time of a test here.
    """
    gc.freeze()
    yield
    gc.unfreeze()


def test_known_facts_are_not_computed_again() -> None:
    class Counted(Honest):
        calls = 0

        def facts(self) -> ModelInfo:
            Counted.calls += 1
            return ModelInfo(macs=7)

    first = MeasuredCandidate(Job(name="counted", make=Counted), QUICK).load(IMAGES)
    again = MeasuredCandidate(Job(name="counted", make=Counted), QUICK).load(IMAGES, first["facts"])
    assert again["facts"] == first["facts"] and first["facts"]["macs"] == 7
    assert Counted.calls == 1


def test_facts_are_plain_numbers_or_an_error() -> None:
    class Stating(Honest):
        def facts(self) -> ModelInfo:
            return ModelInfo(parameters=np.int64(7), activations_mib=np.float64(2.5))  # type: ignore[arg-type]

    facts = measured(Stating)["facts"]
    assert (type(facts["parameters"]), type(facts["activations_mib"])) == (int, float)

    class Wrong(Honest):
        def facts(self) -> ModelInfo:
            return ModelInfo(activations_mib=float("nan"))

    with pytest.raises(ContractError, match="facts: activations_mib is nan; it must be float"):
        measured(Wrong)


def test_the_text_of_an_error_has_no_paths() -> None:
    problem = ValueError("/home/alice/x y/net.pt: missing a, see https://a.org/b/c and 3/4 of /data/w.onnx")
    assert error_text(problem) == "ValueError: x y/net.pt: missing a, see https://a.org/b/c and 3/4 of w.onnx"


def test_waiting_batches_do_not_count_as_memory() -> None:
    class Wide(Honest):
        def prepare(self, images: Any) -> Any:
            return super().prepare(images), np.ones(2**26, np.uint8)

        def infer(self, batch: Any) -> Any:
            return super().infer(batch[0])

    used = measured(Wide, bursts=1)["memory_infer_mib"]
    assert used < 150  # 64 MiB in use and 64 MiB in preparation; with the waiting batch it would be 192


LAYER = LayerWork("conv", "convolution", macs=9, weights=1, inputs=2, outputs=3)


class Stating(Honest):
    """Its layers, one of which it times, and 60 s that it spent on files which later processes find."""

    def facts(self) -> ModelInfo:
        return ModelInfo(layers=(LAYER,), made_ms=60_000.0, export_ms=60_000.0)

    def profile(self, batch: Any, calls: int) -> tuple[LayerTime, ...]:
        return (LayerTime("conv", "Conv2d", float(calls)),)


def test_layers_travel_beside_the_facts_and_are_not_stored() -> None:
    answer = MeasuredCandidate(Job(name="x", make=Stating), QUICK).load(IMAGES)
    assert answer["layers"] == (LAYER,) and not {"layers", "made_ms"} & answer["facts"].keys()
    assert answer["facts"]["export_ms"] == 60_000.0 and answer["load_ms"] == 0.0
    again = MeasuredCandidate(Job(name="x", make=Stating), QUICK).load(IMAGES, answer["facts"])
    assert again["layers"] == () and again["load_ms"] > 0


def test_layers_are_timed_where_the_candidate_can() -> None:
    session = MeasuredCandidate(Job(name="x", make=Stating), QUICK)
    session.load(IMAGES)
    assert session.profile(7) == {"layers": (LayerTime("conv", "Conv2d", 7.0),)}
    plain = MeasuredCandidate(Job(name="x", make=Honest), QUICK)
    plain.load(IMAGES)
    with pytest.raises(InputError, match="profile: it has no method"):
        plain.profile(7)


def test_an_error_of_bad_input_has_its_id_and_another_its_type() -> None:
    assert error_text(InputError("precision: no", "precision-fallback")) == "precision: no [precision-fallback]"
    assert error_text(ValueError("no")) == "ValueError: no"


def test_what_a_candidate_reports_comes_before_the_answer() -> None:
    lines = list[str]()
    with Worker(Job(name="reporting", make=Reporting, threads=1), QUICK, lines.append) as process:
        process.ready()
        assert process.ask("load", IMAGES)["load_ms"] >= 0
    assert lines == ["exports", "quantizes"]
