"""The runner's answers with a stand-in for the bench; the tests of places have the real one."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from paretodet.bench.job import Job, Plan
from paretodet.places import runner
from paretodet.places.runner import CALIBRATION, answers
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key, with_id

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


def test_a_machine_is_calibrated_on_request(tmp_path: Path) -> None:
    assert measured(tmp_path) == [NAME]
    assert measured(tmp_path, calibrate=True) == [CALIBRATION, NAME]


def test_options_of_the_candidates_are_not_those_of_the_calibration(tmp_path: Path) -> None:
    assert measured(tmp_path, calibrate=True, options={"batch": 2, "runtime": "eager"}) == [CALIBRATION, NAME]


def test_what_has_a_row_is_not_measured_again(tmp_path: Path) -> None:
    finished = [job_key(CALIBRATION, runner.CandidateConfig(name=CALIBRATION).to_json())]
    assert measured(tmp_path, calibrate=True, finished=finished) == [NAME]
