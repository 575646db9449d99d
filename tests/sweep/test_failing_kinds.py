"""A search where one runtime and precision fails: few of it are tried, and the end says so."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_searching_engine import SIDES, WIDTHS, Bench, network

from paretodet.bench.job import Job
from paretodet.frontier.searched import SearchResult
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
from paretodet.report.searched import decided, endings, search_json
from paretodet.sweep.known import expected_rows, kinds_of
from toy_bench import Clock, started

BROKEN = {"runtime": "eager", "precision": "bf16"}


def networks() -> list[Job]:
    """Every network in fp32 and in bf16, which takes less time."""
    made = [network(side, width) for side in SIDES for width in WIDTHS]
    asked = ({"runtime": "eager", "precision": "fp32"}, BROKEN)
    return [replace(job, recipe=job.recipe | how, asked=how) for job in made for how in asked]


class Failing(Bench):
    """Everything in bf16 fails, or only `accident`."""

    accident: str = ""

    def __call__(self, job: Job, *, patience: float, processes: int = 2) -> Measurement:
        row = super().__call__(job, patience=patience, processes=processes)
        row = replace(row, runtime=job.asked["runtime"], precision=job.asked["precision"])
        if row.precision == "bf16" and self.accident in ("", job.name):
            gone = {"latency_ms_p50": None, "latency_ms_p50_low": None, "latency_ms_p50_high": None}
            return with_id(replace(row, error="boxes contains NaN", validity="error", **gone))
        faster = 0.8 if row.precision == "bf16" else 1.0
        bounds = ("latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high")
        return with_id(replace(row, **{name: faster * getattr(row, name) for name in bounds}))


def searched(tmp_path: Path, *, accident: str = "", minutes: float = 60.0, blind: bool = False) -> SearchResult:
    clock = Clock()
    bench, search = Failing(clock), started(Store(tmp_path / f"{blind}.db"), networks(), clock, minutes=minutes)
    bench.accident = accident
    if blind:
        search.empty = replace(search.empty, kinds=())
    for _ in search.measure(bench, patience=60.0):
        pass
    return search.result()


def test_few_of_what_always_fails_are_tried_and_the_end_names_those_that_were_not(tmp_path: Path) -> None:
    result, blind = (searched(tmp_path, minutes=4.0, blind=blind) for blind in (False, True))
    assert 2 <= len(result.failed) <= 8 and len(blind.failed) > 12
    assert result.avoided and not {*result.avoided} & {*result.spared} and not blind.avoided
    assert {result.configurations[index].expected.precision for index in result.avoided} == {"bf16"}
    (sentence,) = [line for line in endings(result) if "fail" in line and "NaN" not in line]
    assert f"{len(result.avoided)} configurations" in sentence
    assert f"in eager bf16 ({len(result.failed)} of {len(result.failed)} failed)" in sentence
    assert not any("in eager bf16" in line for line in endings(blind))
    for entry in search_json(result)["avoided"]:
        assert entry["kind"] == "detectors of the catalogue in eager bf16" and 0 < entry["works"] < 0.3


def test_the_frontier_of_what_works_is_found_where_the_rest_of_its_kind_failed(tmp_path: Path) -> None:
    result = searched(tmp_path)
    members = {result.configurations[index].expected.precision for index in result.members}
    assert members == {"fp32"} and len(result.failed) <= 9
    assert result.undecided == result.dependent  # those that were not tried may work after all
    assert f"{len(result.undecided)} less sure as some that probably fail were not tried" in decided(result)


@pytest.mark.parametrize("accident", ["toy-net25-128", "toy-net50-256", "toy-net100-576"])
def test_one_failure_by_accident_does_not_end_a_kind(accident: str, tmp_path: Path) -> None:
    result = searched(tmp_path, accident=accident)
    assert [each.expected.name for each in result.failed] in ([accident], [])
    members = [result.configurations[index].expected for index in result.members]
    assert sum(each.precision == "bf16" for each in members) > 0.8 * len(members) and not result.undecided
    assert not result.avoided


def test_the_kinds_of_names() -> None:
    names = ("hf:d_fine-n", "ssd-mobilenet_v1-300", "models/yolov8n.onnx", "tv:ssd300")
    jobs = [replace(network(128, 50), name=name, recipe={"name": name}, asked=BROKEN) for name in names]
    kinds = kinds_of(expected_rows(jobs, {}, gain="ap", split=None))
    origins = ("hf: models", "detectors of the catalogue", ".onnx files", "tv: models")
    assert kinds == tuple(("eager", "eager bf16", f"{origin} in eager bf16") for origin in origins)
