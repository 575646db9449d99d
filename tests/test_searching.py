"""`search`: its space, what is left out and why, what is known before, and the rows that it leaves."""

import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import paretodet
from paretodet.bench.job import Job
from paretodet.bench.machine import identity
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.frontier.searched import SearchResult
from paretodet.opening import job
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
from paretodet.searching import search
from paretodet.sweep.known import expected_rows
from paretodet.sweep.searching import Runnable
from toy_bench import ToyBench

SSD, YOLO, TINY, UNKNOWN = (
    "ssd-mobilenet_v1-300",
    "yolo_v3-darknet53-320",
    "yolo_v3_tiny-416",
    "rfcn-mobilenet_v1-300-s16-p50",
)
NAMES = (SSD, "ssd-inception_v2-300", "ssd_liu-vgg16-300", YOLO, "yolo_v3-darknet53-416", TINY)
TWO = {"runtimes": ("eager", "winograd"), "precisions": ("fp32",)}


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[ToyBench]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("paretodet.searching.OneByOne", ToyBench)
    monkeypatch.setattr(ToyBench, "measured", [])
    yield ToyBench


def names(result: SearchResult, indices: list[int]) -> set[tuple[str, str]]:
    rows = [result.configurations[index].expected for index in indices]
    return {(row.name, row.runtime) for row in rows}


def test_it_finds_the_frontier_of_names_and_runtimes_and_stores_its_rows() -> None:
    seen: list[Measurement] = []
    result = search([*NAMES, UNKNOWN], **TWO, on_row=seen.append)
    assert len(result) == 2 * len(NAMES) and not result.undecided
    assert names(result, result.members) >= {(SSD, "winograd"), ("yolo_v3-darknet53-416", "winograd")}
    assert {runtime for _, runtime in names(result, result.members)} == {"winograd"}
    assert len(seen) == len(ToyBench.measured) == int(result.measured.sum())
    rows = paretodet.read_rows("paretodet.db")
    assert {row.id for row in rows} == {row.id for row in seen} and {row.run for row in seen} == {result.run}
    frontier = paretodet.pareto_frontier(rows, split="mixed")
    assert {member.row.name for member in frontier.members} == {name for name, _ in names(result, result.members)}


def test_what_has_no_accuracy_is_named_with_the_way_out() -> None:
    said: list[str] = []
    result = search([SSD, UNKNOWN], **TWO, notify=said.append)
    (left,) = result.left_out
    assert left.labels == (UNKNOWN,) and "--data DATA" in left.reason
    with pytest.raises(InputError, match=UNKNOWN) as caught:
        search([UNKNOWN], **TWO)
    assert caught.value.id == "space-empty"


def test_an_accuracy_is_estimated_on_request_and_marked() -> None:
    result = search([SSD, UNKNOWN], **TWO, estimates=True)
    assert len(result) == 4 and not result.left_out
    estimated = {result.configurations[index].expected.name for index in range(4) if result.estimated[index]}
    assert estimated == {UNKNOWN} and any("is estimated" in note for note in result.notes)
    place = next(index for index in range(4) if result.estimated[index])
    estimate, gain = estimate_of(result.configurations[place].expected), result.gain_of(place)
    assert estimate and gain.point == estimate.ap and gain.low < estimate.low < estimate.high < gain.high
    rows = [row for row in paretodet.read_rows("paretodet.db") if row.name == UNKNOWN]
    assert rows and all(row.ap_estimate is None and row.ap is None for row in rows)


def test_trained_weights_get_no_estimate_and_one_of_another_split_is_not_compared() -> None:
    made = job(CandidateConfig(name=UNKNOWN))
    trained = replace(made, recipe=made.recipe | {"weights": "a" * 64})
    rows = expected_rows([made, trained], {}, gain="ap", split=None, estimates=True)
    estimate = estimate_of(rows[0])
    assert estimate and estimate_of(rows[1]) is None
    result = search(
        ["hf:d_fine-n", UNKNOWN], split="val2017", estimates=True, runtimes=("eager",), precisions=("fp32",)
    )
    (left,) = result.left_out
    assert left.labels == (UNKNOWN,) and estimate.split in left.reason and "None" not in left.reason


def test_published_accuracy_is_not_that_of_int8() -> None:
    result = search([SSD], runtimes=("eager", "onnxruntime"), precisions=("fp32", "int8"))
    kinds = {each.expected.precision for each in result.configurations}
    assert kinds == {"fp32"} and all("int8" in left.reason for left in result.left_out)


def test_a_cost_to_be_small_needs_no_accuracy() -> None:
    result = search([UNKNOWN, SSD], gain="-memory_infer_mib", **TWO)
    assert len(result) == 4 and result.left_out == () and result.split is None
    assert result.members and all(result.measured[index] for index in result.members)


def test_it_goes_on_where_it_stopped_and_then_has_nothing_left_to_do() -> None:
    ToyBench.measured.clear()

    class Stop(Exception):
        pass

    def stop(row: Measurement) -> None:
        if len(ToyBench.measured) == 3:
            raise Stop

    with pytest.raises(Stop):
        search(NAMES, **TWO, on_row=stop)
    result = search(NAMES, **TWO)
    assert len(ToyBench.measured) == len({*ToyBench.measured}) == int(result.measured.sum())
    again = search(NAMES, **TWO)
    assert again.run == result.run and again.members == result.members
    assert len(ToyBench.measured) == int(result.measured.sum())


def test_rows_that_measure_left_in_the_store_are_not_measured_again() -> None:
    config = CandidateConfig(name=SSD)
    row = ToyBench([], plan=paretodet.Plan(), run="m", on_progress=None)(job(config), patience=0.0)
    Store("paretodet.db").append(row)
    result = search([SSD, TINY], runtimes=("eager",), precisions=("fp32",))
    assert [each.row and each.row.id == row.id for each in result.configurations] == [True, False]


def test_an_accuracy_that_was_measured_before_is_known_in_other_runtimes_but_not_in_other_precisions() -> None:
    made = job(CandidateConfig(name=UNKNOWN))
    scored = replace(
        made,
        recipe=made.recipe | {"scored_on": "val@1"},
        about={"ap": 12.5, "ap_measured": True, "ap_split": "val@1", "ap_source": "measured here on 9 images"},
    )
    row = ToyBench([], plan=paretodet.Plan(), run="m", on_progress=None)(scored, patience=0.0)
    Store("paretodet.db").append(row)
    result = search([UNKNOWN], runtimes=("eager", "winograd"), precisions=("fp32", "bf16"))
    assert names(result, list(range(len(result)))) == {(UNKNOWN, "eager"), (UNKNOWN, "winograd")}
    assert result.split == "measured:val@1" and [left.labels for left in result.left_out]
    sources = {each.row.ap_source for each in result.configurations if each.row}
    assert sources == {"measured here on 9 images", f"measured here on 9 images, in eager (row {row.id[:8]})"}


def test_accuracies_that_cannot_be_compared_are_not_mixed() -> None:
    made = job(CandidateConfig(name=UNKNOWN))
    about = {"ap": 12.5, "ap_measured": True, "ap_split": "val@1", "ap_source": "measured here"}
    row = ToyBench([], plan=paretodet.Plan(), run="m", on_progress=None)(replace(made, about=about), patience=0.0)
    Store("paretodet.db").append(row)
    mixed = search([UNKNOWN, SSD, TINY], **TWO)
    assert {each.expected.name for each in mixed.configurations} == {SSD, TINY}
    assert any("val@1" in note for note in mixed.notes)
    measured = search([UNKNOWN, SSD, TINY], split="measured", **TWO)
    assert {each.expected.name for each in measured.configurations} == {UNKNOWN}


def test_a_reason_names_a_split_that_can_be_searched() -> None:
    made = job(CandidateConfig(name=UNKNOWN))
    about = {"ap": 12.5, "ap_measured": True, "ap_split": "my val@1", "ap_source": "measured here"}
    row = ToyBench([], plan=paretodet.Plan(), run="m", on_progress=None)(replace(made, about=about), patience=0.0)
    Store("paretodet.db").append(row)
    (left,) = search([UNKNOWN, SSD, TINY], **TWO).left_out
    split = shlex.split(left.reason.partition("--split ")[2])[0]
    measured = search([UNKNOWN, SSD, TINY], split=split, **TWO)
    assert {each.expected.name for each in measured.configurations} == {UNKNOWN}


def test_sizes_and_proposals_are_combined() -> None:
    name = "faster_rcnn-mobilenet_v1-300-s16-p50"
    result = search([name], sizes=[(200, 200), (300, 300)], proposals=[10, 20], gain="-memory_infer_mib", **TWO)
    found = {each.expected.name for each in result.configurations}
    assert found == {f"faster_rcnn-mobilenet_v1-{side}-s16-p{count}" for side in (200, 300) for count in (10, 20)}
    assert all(each.expected.macs for each in result.configurations)


def failing(row: Measurement) -> Measurement:
    times = dict.fromkeys(("latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high"))
    gone: dict[str, Any] = {"error": "it failed", "validity": "error", **times}
    return with_id(replace(row, **gone)) if row.runtime == "winograd" else row


def test_a_runtime_that_fails_is_named_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ToyBench, "change", staticmethod(failing))
    result = search(NAMES, **TWO)
    assert {each.expected.runtime for each in result.failed} == {"winograd"}
    assert {runtime for _, runtime in names(result, result.members)} == {"eager"}


@pytest.mark.parametrize(
    ("space", "options", "id"),
    [
        ([], {}, "space-empty"),
        ([SSD], {"minutes": 0}, "option-range"),
        ([SSD], {"minutes": float("nan")}, "option-range"),
        ([SSD], {"cost": "total_ms", "gain": "-total_ms"}, "option-conflict"),
        ([UNKNOWN], {"split": "val2017"}, "space-empty"),
        ([SSD], {"cost": "parameters"}, "option-value"),
        ([SSD], {"cost": "memory_device_mib"}, "option-value"),
        ([SSD], {"gain": "-memory_reserved_mib"}, "option-value"),
        ([SSD], {"cost": "speed"}, "field-unknown"),
        ([SSD], {"gain": "-speed"}, "field-unknown"),
        (["sdd-mobilenet_v1-300"], {}, "name-unknown"),
        ([SSD], {"split": "val1917"}, "split-unknown"),
        ([SSD], {"proposals": [10]}, "option-unsupported"),
    ],
)
def test_bad_input_is_one_sentence(space: list[str], options: dict[str, Any], id: str) -> None:
    with pytest.raises(InputError) as caught:
        search(space, **(TWO | options))
    assert caught.value.id == id and not ToyBench.measured


def test_jobs_whose_rows_could_not_be_told_apart_are_refused() -> None:
    first, second = (Job(name="mine", make=dict, about={"ap": ap, "ap_split": "test-dev"}) for ap in (10.0, 20.0))
    with pytest.raises(InputError, match="'mine'") as caught:
        search([SSD, first, second], **TWO)
    assert caught.value.id == "option-conflict" and not ToyBench.measured
    assert len(search([first, replace(second, recipe={"name": "mine", "score": 0.3})], **TWO)) == 2


def test_a_machine_that_can_run_nothing_says_why() -> None:
    class Unable:
        identity = identity()

        def runnable(self, *given: Any, **values: Any) -> Runnable:
            return Runnable((), ("board: Not in the space: runtime ncnn needs ncnn.",))

    with pytest.raises(InputError, match="runtime ncnn needs ncnn") as caught:
        search([SSD], host=Unable(), **TWO)
    assert caught.value.id == "space-empty"


def test_energy_without_a_meter_is_refused_before_anything_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("paretodet.searching.open_meter", asked.append)
    for options in ({"cost": "energy_j"}, {"gain": "-energy_j", "device": "cuda"}):
        with pytest.raises(InputError) as caught:
            search([SSD], **(TWO | options))
        assert caught.value.id == "option-value" and not ToyBench.measured
    assert asked == ["cpu", "cuda"]


def test_where_nothing_can_run_it_says_what_is_missing_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    from paretodet.extras import MissingExtra
    from paretodet.runtimes.ncnn import Ncnn
    from paretodet.runtimes.openvino import OpenVino

    for kind in (Ncnn, OpenVino):

        def absent(form: str, name: str = kind.name) -> None:
            raise MissingExtra(f"runtime {name} needs {name}: pip install it")

        monkeypatch.setattr(kind, "require", staticmethod(absent))
    for runtimes in (("ncnn", "openvino"), ("ncnn",)):
        with pytest.raises(InputError) as caught:
            search([SSD], runtimes=runtimes, precisions=("fp32",))
        assert all(f"runtime {name} needs {name}" in str(caught.value) for name in runtimes)


def test_a_job_of_a_users_code_is_a_configuration() -> None:
    mine = [
        Job(name=f"mine-{size}", make=dict, recipe={"name": f"mine-{size}"}, about={"ap": ap, "ap_split": "test-dev"})
        for size, ap in ((1, 10.0), (2, 20.0))
    ]
    result = search([SSD, *mine], **TWO)
    assert {each.expected.name for each in result.configurations} == {SSD, "mine-1", "mine-2"}
