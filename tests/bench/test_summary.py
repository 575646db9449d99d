from typing import Any

import numpy as np
import pytest
from bench_candidates import Honest
from test_runner import process

from paretodet.bench.block import MeasurementState
from paretodet.bench.job import Job, Plan
from paretodet.bench.summary import RANKING, assess, make_row, stages_ms
from paretodet.bench.synthetic_images import draw_images
from paretodet.records.measurement import VALIDITY, Measurement
from paretodet.records.roofline import LayerWork

IMAGES = draw_images(0, 1)


def state(*raw: dict[str, Any], error: str | None = None, **job: Any) -> MeasurementState:
    return MeasurementState(job=Job(name="x", make=Honest, **job), images=IMAGES, raw=list(raw), error=error)


def summed(*raw: dict[str, Any], **job: Any) -> Measurement:
    return make_row(state(*raw, **job), Plan(), run="r", resolution_pct=2.0)


def disturbed(kind: str, bursts: list[bool]) -> dict[str, Any]:
    record = process(10.0, 10.0)
    record["bursts"] = [{**record["bursts"][0], kind: ["somebody"] if bad else []} for bad in bursts]
    return record


def test_the_headline_is_the_median_of_process_medians() -> None:
    result = summed(process(10, 10, 30), process(11, 11, 11), process(12, 12, 1))
    assert result.latency_ms_p50 == 11
    assert result.samples == 9
    assert result.prepare_ms == 1  # without the first
    assert result.total_ms == 12
    assert result.processes == 3


def test_the_floor_is_of_the_precision_that_was_executed() -> None:
    one = state(process(10.0, 10.0), process(10.0, 10.0), batch=2)
    one.layers = (LayerWork("conv", "convolution", macs=10**9, weights=0, inputs=1, outputs=1),)
    ceilings = {"fp32_gflops": 500.0, "bf16_gflops": 2000.0, "copy_gb_s": 10.0}
    row = make_row(one, Plan(), run="r", resolution_pct=2.0, ceilings=ceilings)
    assert row.floor_ms == pytest.approx(8.0) and row.floor_pct == pytest.approx(80.0) and row.ceilings == ceilings
    one.raw[0]["facts"]["precision"] = "bf16"
    assert make_row(one, Plan(), run="r", resolution_pct=2.0, ceilings=ceilings).floor_ms == pytest.approx(2.0)
    bare = make_row(one, Plan(), run="r", resolution_pct=2.0)
    assert bare.floor_ms is bare.floor_pct is bare.ceilings is None


def test_an_error_row_has_what_was_asked() -> None:
    row = make_row(
        state(error="broken", asked={"runtime": "openvino", "precision": "int8"}), Plan(), run="r", resolution_pct=2.0
    )
    assert (row.runtime, row.precision, row.validity) == ("openvino", "int8", "error")


def test_energy_per_image_is_of_clean_bursts() -> None:
    record = {**process(10.0, 10.0), "energy_way": "rapl"}
    burst = {**record["bursts"][0], "joules": 6.0}
    record["bursts"] = [burst, {**burst, "joules": 60.0, "contended": ["somebody"]}, {**burst, "joules": None}]
    result = summed(record, record, batch=4)
    assert result.energy_j == 0.5  # three calls of four images
    assert result.settings["energy"] == ["rapl"]
    record["metered"] = [{**burst, "joules": 12.0}] * 3
    assert summed(record, record, batch=4).energy_j == 1.0
    assert summed(process(10.0), process(10.0)).energy_j is None


def test_percentiles_are_of_all_samples_when_there_are_enough() -> None:
    times = np.random.default_rng(0).uniform(5, 15, (2, 60))
    result = summed(*(process(*ms) for ms in times))
    assert result.latency_ms_p90 == pytest.approx(np.percentile(times, 90))
    assert result.latency_ms_p95 == pytest.approx(np.percentile(times, 95))
    assert result.latency_ms_p99 is None


def test_flops_are_twice_the_macs_and_unknown_stays_unknown() -> None:
    record = process(10.0)
    assert summed(record, record).flops is None
    record["facts"] = {"macs": 7, "uncounted": ["aten.relu"], "height": 300}
    result = summed(record, record)
    assert (result.macs, result.flops, result.height, result.uncounted) == (7, 14, 300, ("aten.relu",))


def test_the_prior_of_the_interval_is_recorded() -> None:
    """Comparing rows needs it: the degrees of freedom of an interval cannot be read from its ends."""
    assert summed(process(10.0)).settings["interval"] == {"prior_df": 1, "prior_sd": 0.05}


def test_settings_of_the_runtime_are_recorded() -> None:
    record = process(10.0)
    record["facts"] = {"macs": None, "uncounted": [], "runtime_settings": [["allow_spinning", "0"]]}
    assert summed(record, record).settings["runtime"] == {"allow_spinning": "0"}
    assert summed(process(10.0), process(10.0)).settings["runtime"] == {}


def test_about_overrides_measured_fields() -> None:
    result = summed(process(1.0), process(1.0), about={"ap": 30.0, "classes": 80}, recipe={"open": "x"})
    assert (result.ap, result.classes, result.job) == (30.0, 80, {"open": "x"})


def test_device_memory_is_unknown_on_a_cpu_and_a_median_elsewhere() -> None:
    raw = [process(1.0) for _ in range(3)]
    assert summed(*raw).memory_device_mib is None
    for record, mib in zip(raw, (5, 6, 90), strict=True):
        record["memory_device"] = {"allocated": mib, "reserved": 2 * mib, "process": None}
    result = summed(*raw)
    assert (result.memory_allocated_mib, result.memory_reserved_mib, result.memory_device_mib) == (6, 12, None)


@pytest.mark.parametrize(("total", "kept"), [(10.0, True), (10.4, True), (9.6, True), (10.6, False), (9.0, False)])
def test_stages_are_reported_only_if_their_sum_is_the_latency(total: float, kept: bool) -> None:
    record = process(10.0, 10.0)
    record["stages_ms"] = {"a": [total - 4] * 3, "b": [3.0] * 3, "finish": [1.0] * 3}
    result = stages_ms([record, record])
    assert result == ({"a": total - 4, "b": 3.0, "finish": 1.0} if kept else None)


def test_no_stages_without_stages() -> None:
    assert stages_ms([process(1.0)]) is None
    assert stages_ms([]) is None


def test_an_undisturbed_row_is_valid() -> None:
    assert assess(state(process(10.0), process(10.0))) == ("valid", ())


def test_an_error_row_keeps_its_samples() -> None:
    result = make_row(state(process(10.0), error="it broke"), Plan(), run="r", resolution_pct=None)
    assert (result.validity, result.error, result.reasons) == ("error", "it broke", ("it broke",))
    assert len(result.raw) == 1 and not result.usable


@pytest.mark.parametrize("kind", ["contended", "throttled"])
def test_a_row_needs_two_processes_with_clean_bursts(kind: str) -> None:
    whole, partly = disturbed(kind, [True] * 3), disturbed(kind, [True, True, False])
    assert assess(state(whole, partly, partly)).validity == "valid"
    result = assess(state(whole, whole, partly))
    assert result.validity == kind
    assert result.reasons == ("somebody; 1 of 9 bursts were clean",)


def test_the_reason_names_the_process_that_used_most() -> None:
    whole = disturbed("contended", [True] * 3)
    for burst in whole["bursts"]:
        burst["contended"] = ["other processes used 40 % of a core", "threads waited for a CPU 9 % of the time"]
    waited = [{"backup": 0.4, "browser": 0.5}, {"backup": 0.3}]
    (reason,) = assess(state(*({**whole, "waited_for": names} for names in waited))).reasons
    assert reason.startswith("other processes used 40 % of a core, mostly backup; threads waited")


def test_the_numbers_are_of_clean_bursts() -> None:
    slow, quick = process(30.0, 30.0)["bursts"][0], process(10.0, 10.0)["bursts"][0]
    slow = {**slow, "contended": ["other processes used 40 % of a core"]}
    record = {**process(1.0), "bursts": [slow, slow, quick]}
    result = summed(record, record, {**record, "bursts": [slow]})
    assert (result.latency_ms_p50, result.validity, result.bursts) == (10.0, "valid", 7)
    assert result.bursts_left_out == {"other processes used": 5}
    assert result.clean_share == pytest.approx(0.04 / 0.34)
    assert "2 of 7 bursts were clean" in result.reasons[0]
    assert len(result.raw) == 3 and len(result.raw[0]["bursts"]) == 3  # all samples are stored


def test_a_row_without_clean_time_uses_all_bursts() -> None:
    record = disturbed("contended", [True] * 2)
    assert summed(record, record).latency_ms_p50 == 10.0


def test_a_row_with_a_wide_interval_is_valid() -> None:
    assert assess(state(process(10.0), process(14.0), process(8.0))) == ("valid", ())


def test_drift_in_most_processes_is_reported() -> None:
    falling, steady = process(*np.linspace(15, 10, 30)), process(*[12.0] * 30)
    result = assess(state(falling, falling, process(*[12.4] * 30)))
    assert result.validity == "valid" and "10 % faster or slower" in result.reasons[0]
    assert assess(state(falling, steady, steady)).reasons == ()


def bursts_of(*middles: float, spread: float = 0.01, calls: int = 20) -> dict[str, Any]:
    random = np.random.default_rng(0)
    made = [process(*(middle * np.exp(spread * random.standard_normal(calls))))["bursts"][0] for middle in middles]
    return {**process(1.0), "bursts": made}


def test_a_significantly_slower_clean_burst_is_reported() -> None:
    (reason,) = assess(state(bursts_of(10, 10, 13, 10), bursts_of(10, 10, 10, 10))).reasons
    assert reason.startswith("unexplained: 1 of 8 clean bursts")
    result = summed(bursts_of(10, 10, 13, 10), bursts_of(10, 10, 13, 10))
    assert result.validity == "valid" and result.samples == 160  # no sample is dropped
    assert assess(state(bursts_of(10, 10, 11, 10, spread=0.3), bursts_of(10, 10, 10))).reasons == ()
    disturbed_one = bursts_of(10, 10, 13, 10)
    disturbed_one["bursts"][2]["contended"] = ["others"]
    assert not any("unexplained" in r for r in assess(state(disturbed_one, disturbed_one)).reasons)


def test_steady_bursts_are_rarely_unexplained() -> None:
    random, flagged = np.random.default_rng(1), 0
    for _ in range(200):
        times = 10 * np.exp(0.05 * random.standard_normal((4, 12)))
        record = {**process(1.0), "bursts": [process(*calls)["bursts"][0] for calls in times]}
        flagged += bool(assess(state(record, record)).reasons)
    assert flagged <= 6


def test_unwatched_names_what_is_missing_and_counts_as_valid() -> None:
    record = process(10.0)
    record["unwatched"] = ["temperature", "clock frequency"]
    result = assess(state(record, record))
    assert result == ("unwatched", ("not watched: clock frequency", "not watched: temperature"))
    assert summed(record, record).usable


def test_host_bound_by_most_processes() -> None:
    bound, free = {**process(10.0), "host_bound": True}, process(10.0)
    assert assess(state(bound, bound, free)).validity == "host_bound"
    assert assess(state(bound, free, free)).validity == "valid"


def test_the_worst_verdict_wins_and_every_reason_is_kept() -> None:
    record = {**disturbed("contended", [True] * 2), "unwatched": ["temperature"], "host_bound": True}
    result = assess(state(record, record))
    assert result.validity == "contended"
    assert len(result.reasons) == 3
    assert sorted((*RANKING, "noisy")) == sorted(VALIDITY)  # older rows may be "noisy"


def test_ids_depend_on_content() -> None:
    one, two = summed(process(10.0), process(10.0)), summed(process(10.0), process(10.1))
    assert one.id != two.id
    assert len(one.id) == 12
