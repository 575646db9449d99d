"""Candidates by name: settings are expanded, images and labels are read, and rows go into a store."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from paretodet.bench import runner
from paretodet.bench.job import Job, Plan
from paretodet.config import CandidateConfig
from paretodet.detectors.families import UnknownName
from paretodet.errors import InputError
from paretodet.loader.shapes import Shapes
from paretodet.measuring import expand, measure, run, set_up
from paretodet.opening import refused_job
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id
from paretodet.records.store import Store
from paretodet.sweep import measuring as sweep_measuring
from paretodet.weights import files, safe

SSD = "ssd-mobilenet_v1-300"


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The jobs that the bench was given, which here makes a row of each at once."""
    jobs: list[Job] = []

    def bench(given: list[Job], *, run: str = "single", **rest: Any) -> Iterator[Measurement]:
        jobs.extend(given)
        rows = (
            Measurement(id="", run=run, at="2030-01-01", name=job.name, job=job.recipe, **job.about) for job in given
        )
        return map(with_id, rows)

    monkeypatch.setattr(runner, "measure", bench)
    monkeypatch.setattr(sweep_measuring, "measure", bench)
    return jobs


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_what_cannot_run_has_the_job_of_what_runs_later() -> None:
    """So that its row takes the place of the error."""
    for runtime in ("eager", "onnxruntime"):
        config = CandidateConfig(name=SSD, runtime=runtime)
        refused = refused_job(config, InputError("absent", "extra-missing"))
        later = CandidateConfig(name=SSD, runtime=None if runtime == "eager" else runtime)
        assert refused.recipe == later.to_json() and refused.asked["runtime"] == runtime


def test_settings_multiply() -> None:
    configs = expand(["faster_rcnn-resnet101-300-s16-p50"], proposals=(10, 50), scores=(0.1, 0.3), batch=2)
    assert [(each.name.rpartition("-")[2], each.score, each.batch) for each in configs] == [
        ("p10", 0.1, 2), ("p10", 0.3, 2), ("p50", 0.1, 2), ("p50", 0.3, 2),
    ]  # fmt: skip
    for ask in (expand, set_up):
        with pytest.raises(UnknownName, match=SSD):
            ask(["ssd-mobilnet-300"])
    with pytest.raises(UnknownName, match=SSD):
        set_up([CandidateConfig(name="ssd-mobilnet-300")])


def test_names_configurations_and_jobs_are_measured(measured: list[Job], photo: Path) -> None:
    own = Job(name="own", make=object)
    rows = list(measure([SSD, CandidateConfig(name="hf:d_fine-n", batch=2), own], images=photo))
    assert [row.name for row in rows] == [SSD, "hf:d_fine-n", "own"]
    assert [job.images for job in measured] == [(photo,), (photo,), ()] and measured[2] is own
    assert rows[0].ap == 18.8


def test_one_candidate_may_stand_alone(measured: list[Job], photo: Path) -> None:
    own = Job(name="own", make=object)
    alone: tuple[tuple[Any, str], ...] = ((SSD, SSD), (Path(SSD), SSD), (CandidateConfig(name=SSD), SSD), (own, "own"))
    for candidate, name in alone:
        assert [job.name for job in set_up(candidate, images=photo).jobs] == [name]
    assert [row.name for row in measure(SSD, images=photo)] == [SSD]


def test_an_input_without_effect_is_refused(photo: Path, tmp_path: Path) -> None:
    labels = Shapes(count=2, height=32, width=32, seed=0).write(tmp_path)
    useless: tuple[dict[str, Any], ...] = (
        {"images": photo, "data": labels},
        {"split": "val"},
        {"image_root": tmp_path},
    )
    for options in useless:
        with pytest.raises(InputError, match=r"\[option-conflict\]"):
            set_up([SSD], **options)


def test_a_store_keeps_the_rows(measured: list[Job], photo: Path, tmp_path: Path) -> None:
    (row,) = measure([SSD], images=photo, store=tmp_path / "rows.db")
    assert Store(tmp_path / "rows.db").rows() == (row,)


def test_labels_give_the_images_and_the_accuracy(
    measured: list[Job], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def scored(job: Job, labels: Any, **rest: Any) -> Job:
        return Job(name=job.name, make=job.make, images=job.images, about={"ap": 7.0}, recipe=job.recipe)

    monkeypatch.setattr("paretodet.measuring.score_job", scored)
    labels = Shapes(count=2, height=32, width=32, seed=0).write(tmp_path)
    setup = set_up([SSD], data=labels)
    assert setup.labels is not None and [path.parent.name for path in setup.jobs[0].images] == ["images"] * 2
    (row,) = run(setup, store=None, plan=Plan())
    assert row.ap == 7.0 and row.job["scored_on"].startswith("instances.json@")


def test_labels_may_score_trained_candidates_only(
    measured: list[Job], tmp_path: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others keep what was published, and latency is measured on the given images."""
    beside: list[dict[str, Any]] = []

    def scored(job: Job, labels: Any, *, published: dict[str, Any], **rest: Any) -> Job:
        beside.append(published)
        return replace(job, about={"ap": 7.0})

    monkeypatch.setattr("paretodet.measuring.score_job", scored)
    weights = tmp_path / "w.safetensors"
    safe.save({"any": torch.zeros(1)}, weights, {files.KEY: json.dumps({"name": SSD, "ap": 21.0, "split": "zoo"})})
    labels = Shapes(count=2, height=32, width=32, seed=0).write(tmp_path)
    setup = set_up([SSD, str(weights)], images=None, data=labels, only_trained=True)
    assert [set(job.images) & set(setup.labels.files if setup.labels else ()) for job in setup.jobs] == [set(), set()]
    rows = list(run(setup, store=None, plan=Plan()))
    assert [row.ap for row in rows] == [18.8, 7.0] and ["scored_on" in row.job for row in rows] == [False, True]
    assert [each["ap"] for each in beside] == [21.0]  # of these weights, not of the name
