"""A search decides, measures, commits and goes on; answers that cannot be are refused."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from paretodet.bench.job import Job, Plan, Progress
from paretodet.bench.machine import Identity, facts, fingerprint, versions
from paretodet.errors import InputError
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
from paretodet.sweep.known import expected_rows, expected_seconds, features_of
from paretodet.sweep.searching import check_answer, open_run
from toy_bench import Clock, started

SIDES, WIDTHS = (128, 192, 256, 320, 448, 576), (25, 50, 75, 100)


def make() -> Any:
    raise AssertionError("nothing is opened here")


def network(side: int, width: int, **more: Any) -> Job:
    """A made-up detector whose accuracy rises with its size and width."""
    name = f"toy-net{width}-{side}"
    ap = round(12 * math.log(side / 60) + 8 * math.log(width / 10), 1)
    return Job(
        name=name, make=make, recipe={"name": name}, about={"ap": ap, "ap_split": "val", "ap_rounding": 0.001}, **more
    )


def networks() -> list[Job]:
    return [network(side, width) for side in SIDES for width in WIDTHS]


def latency(job: Job) -> float:
    """Work, and a cost of each call that makes the smallest ones dominated."""
    width, side = (int(part) for part in job.name.removeprefix("toy-net").split("-"))
    return 2.0 + (side / 100) ** 2 * (width / 25) ** 1.5


class Bench:
    """Answers at once; a process takes 5 s of the clock, the self-test too. More processes narrow the interval."""

    def __init__(
        self, clock: Clock, change: Callable[[Measurement], Measurement] = lambda row: row, *, spread: float = 0.002
    ) -> None:
        self.clock, self.change, self.measured, self.spread = clock, change, list[str](), spread
        self.started = False

    def start(self) -> None:
        self.clock.now += 0 if self.started else 5.0
        self.started = True

    def __call__(self, job: Job, *, patience: float, processes: int = 2) -> Measurement:
        self.measured.append(job.name)
        self.clock.now += 5.0 * processes
        point = latency(job)
        row = Measurement(
            id="",
            run="of the search",
            at=f"2030-01-01T00:{len(self.measured):02}:00+00:00",
            name=job.name,
            job=job.recipe,
            machine=fingerprint(facts()),
            versions=versions(),
            artefact=job.name,
            processes=processes,
            latency_ms_p50=point,
            latency_ms_p50_low=point / (1 + self.spread / processes),
            latency_ms_p50_high=point * (1 + self.spread / processes),
            **job.about,
        )
        return with_id(self.change(row))


def true_frontier(jobs: list[Job]) -> set[str]:
    points = {job.name: (latency(job), job.about["ap"]) for job in jobs}
    return {
        name
        for name, (cost, gain) in points.items()
        if not any(c <= cost and g >= gain and (c, g) != (cost, gain) for c, g in points.values())
    }


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "rows.db")


def test_a_search_measures_a_part_and_finds_the_frontier(store: Store) -> None:
    jobs, clock = networks(), Clock()
    bench, search = Bench(clock), started(store, jobs, clock)
    rows = list(search.measure(bench, patience=60.0))
    result = search.result()
    found = {result.configurations[index].expected.name for index in result.members}
    assert found == true_frontier(jobs)
    assert not result.undecided and len(rows) == len(set(bench.measured)) < len(jobs)
    assert len(result.spared) + len(rows) == len(jobs)
    beaten = [result.beaten_by(index) for index in result.spared]
    assert None not in beaten and set(beaten) <= set(result.members)


def test_every_row_is_in_the_store_with_its_time_before_it_is_yielded(store: Store) -> None:
    clock = Clock()
    search = started(store, networks(), clock)
    for count, row in enumerate(search.measure(Bench(clock), patience=60.0), start=1):
        assert store.get(row.id) == row and len(store.rows()) == count
        assert row.settings["search"] == {"seconds": 10.0, "finished": 5.0 + 10.0 * count}


def test_no_measurement_starts_that_would_end_after_the_time(store: Store) -> None:
    clock = Clock()
    bench = Bench(clock)
    search = started(store, networks(), clock, minutes=0.9)
    rows = list(search.measure(bench, patience=60.0))
    assert 3 <= len(rows) <= 5 and clock() <= 54.0
    assert search.result().undecided and search.result().spent == clock()


def test_an_interrupted_search_goes_on_from_the_store(store: Store) -> None:
    jobs, clock = networks(), Clock()
    bench = Bench(clock)
    rows = started(store, jobs, clock).measure(bench, patience=60.0)
    first = [next(rows).name for _ in range(4)]
    later = started(store, jobs, again := Clock())
    result = later.result()
    assert {each.row.name for each in result.configurations if each.row} == set(first) and later.spent == 45.0
    bench.clock = again
    more = [row.name for row in later.measure(bench, patience=60.0)]
    assert not {*more} & {*first} and store.rows()[-1].settings["search"]["finished"] == 45.0 + again()
    whole = later.result()
    assert {whole.configurations[index].expected.name for index in whole.members} == true_frontier(jobs)


def test_the_time_of_a_session_counts_once_if_machines_join_it(store: Store) -> None:
    jobs, clock = networks(), Clock()
    search = started(store, jobs, clock)
    rows = search.measure(Bench(clock), patience=60.0)
    for _ in range(3):
        next(rows)
    search.admit({fingerprint(facts())})
    assert search.spent == clock() == 35.0
    host = Identity(machine="of several machines", versions=versions())
    later = started(store, jobs, Clock(), host=host)
    assert later.spent == 35.0 and not later.result().measured.any()
    later.admit({fingerprint(facts())})
    assert later.spent == 35.0 and later.result().measured.sum() == 3


def test_a_time_that_is_too_short_for_what_is_left_says_so(store: Store) -> None:
    clock, said = Clock(), list[str]()
    bench = Bench(clock)

    def said_in(minutes: float, jobs: list[Job]) -> list[str]:
        said.clear()
        list(started(store, jobs, clock, minutes=minutes, notify=said.append).measure(bench, patience=0.0))
        return list(said)

    jobs = networks()
    (sentence,) = said_in(0.02, jobs)
    assert sentence.startswith("Not measured") and "--minutes" in sentence and not bench.started
    assert said_in(1.5, jobs) == []  # the same command goes on
    assert len(said_in(0.02, jobs)) == 1
    assert said_in(60, jobs) == [] == said_in(0.02, jobs)  # nothing is left
    slow = network(640, 100, asked={"runtime": "aotinductor"})
    (sentence,) = said_in(1, [*jobs[:3], slow])
    assert "1 of 4" in sentence


def test_rows_of_other_runs_count_from_the_beginning_and_those_of_other_machines_or_versions_do_not(
    store: Store,
) -> None:
    jobs, clock = networks()[:6], Clock()
    bench = Bench(clock)
    changes = ({}, {"versions": {"torch": torch.__version__}}, {"machine": "another"}, {"versions": {"torch": "1.0"}})
    for job, change in zip(jobs, (*changes, {"versions": {}}), strict=False):
        store.append(with_id(replace(bench(job, patience=0.0), **change)))
    result = started(store, jobs, clock, run="a new one").result()
    assert [each.row is not None for each in result.configurations] == [True, True] + 4 * [False]
    assert result.configurations[0].finished == 0.0


def test_what_fails_is_committed_and_excluded_and_not_tried_again(store: Store) -> None:
    jobs, clock = networks(), Clock()
    broken = {job.name for job in jobs if job.name.startswith("toy-net100")}

    def fail(row: Measurement) -> Measurement:
        gone = {"error": "it ran out of memory", "validity": "error", "latency_ms_p50": None}
        gone |= {"latency_ms_p50_low": None, "latency_ms_p50_high": None}
        return replace(row, **gone) if row.name in broken else row

    bench, search = Bench(clock, fail), started(store, jobs, clock)
    list(search.measure(bench, patience=60.0))
    result = search.result()
    tried = broken & {*bench.measured}
    assert tried and {each.expected.name for each in result.failed} == tried
    assert {each.reason for each in result.failed} == {"it ran out of memory"}
    assert {row.name for row in store.rows() if row.error} == tried and not result.undecided
    assert not {result.configurations[index].expected.name for index in result.members} & tried
    again = started(store, jobs, Clock())
    assert {each.expected.name for each in again.result().failed} == tried
    assert list(again.measure(bench, patience=60.0)) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"latency_ms_p50_low": -1.0, "latency_ms_p50": -0.5}, "negative"),
        ({"job": {"name": "another"}}, "another configuration"),
        ({"latency_ms_p50_low": 9e9}, "latency_ms_p50_low"),
    ],
)
def test_nonsense_is_refused_and_named_and_the_search_goes_on(store: Store, change: Any, word: str) -> None:
    jobs, clock, said = networks(), Clock(), list[str]()
    first = list[str]()

    def spoil(row: Measurement) -> Measurement:
        first[:] = first or [row.name]
        return replace(row, **change) if row.name == first[0] else row

    search = started(store, jobs, clock, notify=said.append)
    rows = list(search.measure(Bench(clock, spoil), patience=60.0))
    result = search.result()
    assert len(rows) > 3 and first[0] not in {row.name for row in store.rows()}
    assert [each.expected.name for each in result.failed] == first
    assert len(said) == 1 and said[0].startswith(first[0]) and word in said[0]


def test_a_number_that_is_none_is_refused_where_the_row_is_made(store: Store) -> None:
    jobs, clock, said = networks(), Clock(), list[str]()
    search = started(store, jobs, clock, notify=said.append, minutes=1.0)

    def spoil(row: Measurement) -> Measurement:
        return replace(row, latency_ms_p50=math.nan)

    assert list(search.measure(Bench(clock, spoil), patience=60.0)) == [] and not store.rows()
    assert said and all("latency_ms_p50" in each for each in said)


def test_another_artifact_than_that_of_an_earlier_row_is_refused(store: Store) -> None:
    clock = Clock()
    job = network(128, 50)
    row = Bench(clock)(job, patience=0.0)
    check_answer(row, job, None)
    check_answer(row, job, row.artefact)
    with pytest.raises(InputError, match="artifact") as caught:
        check_answer(row, job, "another")
    assert caught.value.id == "row-invalid"
    store.append(with_id(replace(row, machine="another", artefact="another")))
    said = list[str]()
    search = started(store, [job], clock, notify=said.append)
    assert list(search.measure(Bench(clock), patience=60.0)) == [] and "artifact" in said[0]


def test_another_artifact_than_that_of_the_row_before_is_refused_and_the_row_stays(store: Store) -> None:
    clock, said, job = Clock(), list[str](), network(128, 50)
    near = [job, replace(job, name="toy-net51-128", recipe={"name": "toy-net51-128"}, about=job.about | {"ap": 14.0})]

    def change(row: Measurement) -> Measurement:
        return replace(row, artefact="another") if row.processes > 2 else row

    search = started(store, near, clock, notify=said.append)
    rows = list(search.measure(Bench(clock, change, spread=0.1), patience=60.0))
    assert [row.processes for row in rows] == [2, 2] and len(said) == 2
    assert all("artifact" in each for each in said)
    assert int(search.result().measured.sum()) == 2 and not search.result().failed


@pytest.mark.parametrize(
    "when",
    ["deep", None, {"seconds": 3.0}, {"seconds": "3", "finished": -1.0}, {"seconds": 1.0, "finished": 10**400}, [1, 2]],
)
def test_what_others_have_in_the_settings_of_their_rows_is_no_time(store: Store, when: Any) -> None:
    job, clock = network(128, 50), Clock()
    store.append(with_id(replace(Bench(clock)(job, patience=0.0), settings={"search": when})))
    result = started(store, [job, network(192, 50)], Clock()).result()
    assert [each.row is not None for each in result.configurations] == [True, False]
    assert result.spent == 0.0 and result.configurations[0].finished == 0.0 and (result.seconds > 0).all()


def test_another_error_of_the_bench_ends_the_search(store: Store) -> None:
    clock = Clock()

    def missing(row: Measurement) -> Measurement:
        raise InputError("images: photo.jpg: no such file", "image-missing")

    with pytest.raises(InputError, match="image-missing"):
        list(started(store, networks(), clock).measure(Bench(clock, missing), patience=60.0))


def test_a_row_without_the_cost_is_excluded(store: Store) -> None:
    clock = Clock()
    search = started(store, networks(), clock)
    search.empty = replace(search.empty, cost="energy_j")
    rows = search.measure(Bench(clock), patience=60.0)
    next(rows)
    (failed,) = search.result().failed
    assert failed.reason is not None and "energy_j" in failed.reason


def test_progress_counts_decided_memberships_and_the_time_that_is_left(store: Store) -> None:
    clock, seen = Clock(), list[Progress]()
    search = started(store, networks(), clock, on_progress=seen.append)
    rows: Iterator[Measurement] = search.measure(Bench(clock), patience=60.0)
    next(rows)
    search.progress(Progress(name="toy", phase="burst", done=1, total=2, left=None))
    assert seen[-1] == Progress(name="toy", phase="burst", done=0, total=len(search.jobs), left=3600 - clock())


def test_times_of_measurements_are_learned_for_each_runtime() -> None:
    jobs = [
        network(side, 50, asked={"runtime": runtime}) for runtime in ("eager", "compiled", "openvino") for side in SIDES
    ]
    rows = expected_rows(jobs, {}, gain="ap", split=None)
    before = expected_seconds(rows, {})
    assert before[6] > before[0]  # what compiles takes longer
    after = expected_seconds(rows, {6: 300.0, 7: 300.0, 8: 300.0, 0: before[0], 1: before[1]})
    assert after[9] > 2 * before[9] and after[9] / before[9] > 2 * after[3] / before[3]


def test_the_same_search_has_the_same_run_and_another_question_another_one(store: Store) -> None:
    jobs, plan = networks(), Plan()
    first = open_run(store, jobs, plan=plan, question=("latency_ms_p50", "ap", "mixed"))
    assert open_run(store, jobs, plan=plan, question=("latency_ms_p50", "ap", "mixed")) == first
    assert open_run(store, jobs, plan=plan, question=("memory_infer_mib", "ap", "mixed")) != first
    assert open_run(store, jobs[1:], plan=plan, question=("latency_ms_p50", "ap", "mixed")) != first


def test_what_was_known_at_an_earlier_moment(store: Store) -> None:
    clock = Clock()
    search = started(store, networks(), clock)
    list(search.measure(Bench(clock), patience=60.0))
    result = search.result()
    known = [int(result.space(until).measured.sum()) for until in (0.0, 15.0, 25.0, math.inf)]
    assert known == [0, 1, 2, int(result.measured.sum())]
    assert result.at(0.0).membership.tolist() == len(result) * [0.5]
    assert result.at(math.inf).membership.tolist() == result.standing.membership.tolist()


def test_what_is_too_close_is_measured_again_over_more_processes(store: Store) -> None:
    clock = Clock()
    job = network(128, 50)
    worse = {"name": "toy-net51-128", "recipe": {"name": "toy-net51-128"}, "about": job.about | {"ap": 14.0}}
    near = [job, replace(job, **worse)]
    bench, search = Bench(clock, spread=0.1), started(store, near, clock)
    rows = list(search.measure(bench, patience=60.0))
    assert [row.name for row in rows[:2]] == [job.name for job in near] or len({row.name for row in rows[:2]}) == 2
    assert [row.processes for row in rows[2:]] and {row.processes for row in rows[2:]} <= {4, 8}
    result = search.result()
    (best,) = result.members
    assert result.configurations[best].expected.name == near[0].name and not result.undecided
    again = next(each for each in result.configurations if each.before)
    assert again.row and again.before and again.before.row and again.row.processes > again.before.row.processes
    assert int(result.space(again.finished - 1).measured.sum()) == 2


def test_a_gain_that_is_too_close_is_measured_again_too(store: Store) -> None:
    """The latency as the gain, which more processes narrow, and the memory as the cost, which is exact."""
    clock, near = Clock(), [network(128, 50), network(128, 51)]
    search = started(store, near, clock)
    search.empty = replace(search.empty, cost="memory_infer_mib", gain="-latency_ms_p50")
    bench = Bench(clock, lambda row: with_id(replace(row, memory_infer_mib=100.0 + ("51" in row.name))), spread=0.1)
    rows = list(search.measure(bench, patience=60.0))
    assert {row.processes for row in rows[2:]} and {row.processes for row in rows[2:]} <= {4, 8}
    result = search.result()
    assert [result.configurations[best].expected.name for best in result.members] == [near[0].name]
    assert not result.undecided


def test_what_stays_too_close_is_measured_over_eight_processes_at_most(store: Store) -> None:
    clock, job = Clock(), network(128, 50)
    near = [job, replace(job, name="toy-net51-128", recipe={"name": "toy-net51-128"}, about=job.about | {"ap": 14.0})]
    search = started(store, near, clock)
    rows = list(search.measure(Bench(clock, spread=50.0), patience=60.0))
    assert max(row.processes for row in rows) == 8 and search.result().undecided


def test_the_interval_of_an_estimated_gain_holds_as_much_as_that_of_a_measured_one(store: Store) -> None:
    system = Job(name="ssd-inception_v3-300", make=make, recipe={"name": "ssd-inception_v3-300"})
    result = started(store, [system], Clock(), estimates=True).result()
    estimate, gain = estimate_of(result.configurations[0].expected), result.gain_of(0)
    assert estimate and estimate.coverage == 0.9 and result.estimated.all()
    for found, stated in ((gain.low, estimate.low), (gain.high, estimate.high)):
        assert (found - gain.point) / (stated - estimate.ap) == pytest.approx(1.96 / 1.645, rel=1e-3)


def test_the_work_of_another_size_is_in_proportion_to_its_area() -> None:
    jobs = [
        Job(name=name, make=make, recipe={"name": name}) for name in ("ssd-mobilenet_v1-300", "ssd-mobilenet_v1-450")
    ]
    small, large = expected_rows(jobs, {}, gain="ap", split=None)
    assert small.macs and large.macs == pytest.approx(2.25 * small.macs, rel=0.05) and large.parameters


def test_a_row_stays_if_measuring_it_again_fails(store: Store) -> None:
    clock = Clock()
    job = network(128, 50)
    worse = {"name": "toy-net51-128", "recipe": {"name": "toy-net51-128"}, "about": job.about | {"ap": 14.0}}
    near = [job, replace(job, **worse)]

    def fail(row: Measurement) -> Measurement:
        return replace(row, error="it failed", validity="error") if row.processes > 2 else row

    bench = Bench(clock, fail, spread=0.1)
    rows = list(started(store, near, clock).measure(bench, patience=60.0))
    assert [row.error for row in rows] == [None, None, "it failed", "it failed"]
    again = started(store, near, clock)
    assert list(again.measure(bench, patience=60.0)) == [] and not again.result().failed
    assert int(again.result().measured.sum()) == 2


def test_a_space_that_is_measured_completely_needs_no_predictions(store: Store) -> None:
    jobs, clock = [network(128, 50), network(576, 100)], Clock()
    search = started(store, jobs, clock)
    assert len(list(search.measure(Bench(clock), patience=60.0))) == 2
    result = search.result()
    assert result.members == [0, 1] and not result.undecided and result.standing.membership.tolist() == [1.0, 1.0]


def test_a_count_of_zero_is_no_number_of_a_network_and_the_others_keep_their_logarithms() -> None:
    rows = expected_rows(networks()[:2], {}, gain="ap", split=None)
    features = features_of([replace(rows[0], macs=0, parameters=0), replace(rows[1], macs=10**9, parameters=10**6)])
    found = dict(zip(features.number_names, features.numbers.T.tolist(), strict=True))
    assert math.isnan(found["macs"][0]) and found["macs"][1] == pytest.approx(math.log(1e9))
    assert math.isnan(found["parameters"][0]) and found["parameters"][1] == pytest.approx(math.log(1e6))
