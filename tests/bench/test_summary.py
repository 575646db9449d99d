from typing import Any

import numpy as np
import pytest
from bench_guests import Honest
from test_runner import process

from paretodet.bench.block import Case
from paretodet.bench.job import Job, Plan
from paretodet.bench.photographs import draw
from paretodet.bench.record import VALIDITY, Measurement
from paretodet.bench.summary import RANKING, judge, row, stages_ms

IMAGES = draw(0, 1)


def case(*raw: dict[str, Any], error: str | None = None, **job: Any) -> Case:
    return Case(job=Job(name="x", make=Honest, **job), images=IMAGES, raw=list(raw), error=error)


def summed(*raw: dict[str, Any], **job: Any) -> Measurement:
    return row(case(*raw, **job), Plan(), run="r", resolution_pct=2.0)


def disturbed(kind: str, bursts: list[bool]) -> dict[str, Any]:
    record = process(10.0, 10.0)
    record["bursts"] = [{**record["bursts"][0], kind: ["somebody"] if bad else []} for bad in bursts]
    return record


def test_the_headline_is_the_median_of_process_medians() -> None:
    found = summed(process(10, 10, 30), process(11, 11, 11), process(12, 12, 1))
    assert found.latency_ms_p50 == 11
    assert found.samples == 9
    assert found.prepare_ms == 1  # the first is marked
    assert found.total_ms == 12
    assert found.processes == 3


def test_energy_is_that_of_clean_bursts_an_image() -> None:
    record = {**process(10.0, 10.0), "energy_way": "rapl"}
    burst = {**record["bursts"][0], "joules": 6.0}
    record["bursts"] = [burst, {**burst, "joules": 60.0, "contended": ["somebody"]}, {**burst, "joules": None}]
    found = summed(record, record, batch=4)
    assert found.energy_j == 0.5  # three calls of four images
    assert found.settings["energy"] == ["rapl"]
    record["metered"] = [{**burst, "joules": 12.0}] * 3
    assert summed(record, record, batch=4).energy_j == 1.0
    assert summed(process(10.0), process(10.0)).energy_j is None


def test_percentiles_are_of_all_samples_when_there_are_enough() -> None:
    times = np.random.default_rng(0).uniform(5, 15, (2, 60))
    found = summed(*(process(*ms) for ms in times))
    assert found.latency_ms_p90 == pytest.approx(np.percentile(times, 90))
    assert found.latency_ms_p95 == pytest.approx(np.percentile(times, 95))
    assert found.latency_ms_p99 is None


def test_flops_are_twice_the_macs_and_unknown_stays_unknown() -> None:
    record = process(10.0)
    assert summed(record, record).flops is None
    record["facts"] = {"macs": 7, "uncounted": ["aten.relu"], "height": 300}
    found = summed(record, record)
    assert (found.macs, found.flops, found.height, found.uncounted) == (7, 14, 300, ("aten.relu",))


def test_a_runtimes_own_settings_are_recorded() -> None:
    record = process(10.0)
    record["facts"] = {"macs": None, "uncounted": [], "runtime_settings": [["allow_spinning", "0"]]}
    assert summed(record, record).settings["runtime"] == {"allow_spinning": "0"}
    assert summed(process(10.0), process(10.0)).settings["runtime"] == {}


def test_about_is_the_last_word() -> None:
    found = summed(process(1.0), process(1.0), about={"ap": 30.0, "classes": 80}, recipe={"open": "x"})
    assert (found.ap, found.classes, found.job) == (30.0, 80, {"open": "x"})


def test_device_memory_is_unknown_on_a_cpu_and_a_median_elsewhere() -> None:
    raw = [process(1.0) for _ in range(3)]
    assert summed(*raw).memory_device_mib is None
    for record, mib in zip(raw, (5, 6, 90), strict=True):
        record["memory_device"] = {"allocated": mib, "reserved": 2 * mib, "process": None}
    found = summed(*raw)
    assert (found.memory_allocated_mib, found.memory_reserved_mib, found.memory_device_mib) == (6, 12, None)


@pytest.mark.parametrize(("total", "kept"), [(10.0, True), (10.4, True), (9.6, True), (10.6, False), (9.0, False)])
def test_stages_count_only_when_their_sum_is_the_headline(total: float, kept: bool) -> None:
    record = process(10.0, 10.0)
    record["stages_ms"] = {"a": [total - 4] * 3, "b": [3.0] * 3, "finish": [1.0] * 3}
    found = stages_ms([record, record])
    assert found == ({"a": total - 4, "b": 3.0, "finish": 1.0} if kept else None)


def test_no_stages_without_stages() -> None:
    assert stages_ms([process(1.0)]) is None
    assert stages_ms([]) is None


def test_a_calm_row_is_valid() -> None:
    assert judge(case(process(10.0), process(10.0))) == ("valid", ())


def test_an_error_says_why_and_keeps_what_there_was() -> None:
    found = row(case(process(10.0), error="it broke"), Plan(), run="r", resolution_pct=None)
    assert (found.validity, found.error, found.reasons) == ("error", "it broke", ("it broke",))
    assert len(found.raw) == 1 and not found.usable


@pytest.mark.parametrize("kind", ["contended", "throttled"])
def test_a_tenth_of_the_time_may_be_disturbed(kind: str) -> None:
    calm = disturbed(kind, [False] * 5)
    assert judge(case(calm, disturbed(kind, [True, *[False] * 4]))).validity == "valid"
    found = judge(case(calm, disturbed(kind, [True, True, *[False] * 3])))
    assert found.validity == kind
    assert "20 % of the time" in found.reasons[0] and "somebody" in found.reasons[0]


def test_a_wide_interval_is_noisy() -> None:
    found = judge(case(process(10.0), process(14.0), process(8.0)))
    assert found.validity == "noisy"
    assert "interval" in found.reasons[0]


def test_a_drift_inside_most_processes_is_noisy() -> None:
    falling, steady = process(*np.linspace(15, 10, 30)), process(*[12.0] * 30)
    assert judge(case(falling, falling, process(*[12.4] * 30))).validity == "noisy"
    assert judge(case(falling, steady, steady)).validity == "valid"


def test_unwatched_names_what_is_missing_and_counts_as_valid() -> None:
    record = process(10.0)
    record["unwatched"] = ["temperature", "clock frequency"]
    found = judge(case(record, record))
    assert found == ("unwatched", ("not watched: clock frequency", "not watched: temperature"))
    assert summed(record, record).usable


def test_host_bound_by_most_processes() -> None:
    bound, free = {**process(10.0), "host_bound": True}, process(10.0)
    assert judge(case(bound, bound, free)).validity == "host_bound"
    assert judge(case(bound, free, free)).validity == "valid"


def test_the_worst_verdict_wins_and_every_reason_is_kept() -> None:
    record = {**disturbed("contended", [True] * 2), "unwatched": ["temperature"], "host_bound": True}
    found = judge(case(record, record))
    assert found.validity == "contended"
    assert len(found.reasons) == 3
    assert sorted(RANKING) == sorted(VALIDITY)


def test_ids_follow_content() -> None:
    one, two = summed(process(10.0), process(10.0)), summed(process(10.0), process(10.1))
    assert one.id != two.id
    assert len(one.id) == 12
