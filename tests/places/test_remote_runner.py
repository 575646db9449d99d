"""The runner's answers with a stand-in for the bench; the tests of places have the real one."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from made_bundles import write_grid
from paretodet.bench.job import Job, Plan
from paretodet.places import runner
from paretodet.places.runner import CALIBRATION, answers, search_answers
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key, with_id
from paretodet.transforms.resize_policy import Stretch
from toy_bench import ToyBench

NAME = "ssd-mobilenet_v1-300"


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(jobs: Sequence[Job], *, run: str, **rest: Any) -> Iterator[Measurement]:
        for job in jobs:
            yield with_id(Measurement(id="", run=run, at="2030-01-01", name=job.name, job=job.recipe))

    monkeypatch.setattr(runner, "measure", measure)


def measured(folder: Path, **changed: Any) -> list[str]:
    request = {"names": [NAME], "bundles": {}, "options": {}, "plan": asdict(Plan()), "run": "run", "finished": []}
    messages = list(answers(request | {"calibrate": False} | changed, folder, print))
    return [message["row"]["name"] for message in messages if "row" in message]


def test_a_search_asks_what_can_run_and_then_for_one_job_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "OneByOne", ToyBench)
    monkeypatch.setattr(ToyBench, "measured", [])
    recipe = runner.CandidateConfig(name=NAME).to_json()
    request = {"space": [recipe], "bundles": {}, "runtimes": ["eager", "winograd"], "precisions": ["fp32", "int8"]}
    steps = list[dict[str, Any]]()
    messages = search_answers(request, iter(lambda: steps.pop(0), None), tmp_path, print)
    found = next(messages)["space"]
    jobs = {each["runtime"]: each["job"] for each in found["jobs"]}
    assert jobs == {"eager": recipe, "winograd": recipe | {"runtime": "winograd"}} and found["threads"] >= 1
    assert any("has no int8" in note for note in found["notes"])
    steps.append({"plan": asdict(Plan()), "run": "of the search"})
    assert next(messages) == {"end": True} and ToyBench.measured == []
    for processes in (2, 4):
        steps.append({"job": job_key(NAME, jobs["winograd"]), "patience": 1.0, "processes": processes})
        row, end = next(messages)["row"], next(messages)
        assert (row["runtime"], row["processes"], row["run"]) == ("winograd", processes, "of the search")
        assert end == {"end": True}


def test_a_bundle_is_searched_where_it_was_copied_to(tmp_path: Path) -> None:
    write_grid(tmp_path / "grid", Stretch(height=96, width=96))
    recipe = runner.CandidateConfig(name=str(tmp_path / "grid")).to_json()
    (tmp_path / "grid").rename(tmp_path / recipe["bundle"])
    request = {"space": [recipe], "bundles": {recipe["bundle"]: "grid"}, "runtimes": ["all"], "precisions": ["all"]}
    listed = next(search_answers(request, iter(()), tmp_path, print))["space"]["jobs"]
    assert {"runtime": "onnxruntime", "job": recipe} in listed and recipe["name"] == "grid"
    assert all(each["job"]["bundle"] == recipe["bundle"] and each["job"]["name"] == "grid" for each in listed)


def test_a_machine_is_calibrated_on_request(tmp_path: Path) -> None:
    assert measured(tmp_path) == [NAME]
    assert measured(tmp_path, calibrate=True) == [CALIBRATION, NAME]


def test_options_of_the_candidates_are_not_those_of_the_calibration(tmp_path: Path) -> None:
    assert measured(tmp_path, calibrate=True, options={"batch": 2, "runtime": "eager"}) == [CALIBRATION, NAME]


def test_what_has_a_row_is_not_measured_again(tmp_path: Path) -> None:
    finished = [job_key(CALIBRATION, runner.CandidateConfig(name=CALIBRATION).to_json())]
    assert measured(tmp_path, calibrate=True, finished=finished) == [NAME]
