"""Which rows get an estimated AP."""

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from paretodet import config
from paretodet.config import CONDITIONS, EXECUTION
from paretodet.detectors.estimates import estimate
from paretodet.records.estimate import estimate_of
from paretodet.records.measurement import Measurement
from paretodet.sweep.estimates import CALIBRATED, FREE, with_estimated_ap

NAME = "faster_rcnn-resnet101-300-s16-p100"
JOB = {"name": NAME, "batch": 1, "device": None, "score": None, "nms": None, "threads": 2, "runtime": "eager"}
ROW = Measurement(id="i", run="r", at="2030", name=NAME, latency_ms_p50=5.0, job=JOB)


def estimated(**changes: Any) -> bool:
    (row,) = with_estimated_ap([replace(ROW, **changes)])
    return estimate_of(row) is not None


def test_a_row_gets_the_estimate_of_its_name() -> None:
    (row,) = with_estimated_ap([ROW])
    assert estimate_of(row) == estimate(NAME) and row.ap is None and row.id == ROW.id


@pytest.mark.parametrize(
    "changes",
    [
        {"runtime": "openvino", "precision": "bf16", "job": {**JOB, "precision": "bf16", "runtime": "openvino"}},
        {"batch": 8, "threads": 1, "job": {**JOB, "batch": 8}},
        {"job": {}},
    ],
)
def test_how_it_is_executed_does_not_matter(changes: dict[str, Any]) -> None:
    assert estimated(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"ap": 32.0},
        {"ap": 20.0, "ap_measured": True},
        {"published_ap": 32.0},
        {"weights": "0123abcd"},
        {"precision": "int8"},
        {"job": {**JOB, "precision": "int8"}},
        {"job": {**JOB, "score": 0.3}},
        {"job": {**JOB, "nms": 0.5}},
        {"job": {**JOB, "labels": ["cell"]}},
        {"job": {**JOB, "fit": "stretch"}},
        {"name": "yolo_v3-darknet53-416"},
    ],
    ids=str,
)
def test_what_changes_the_accuracy_leaves_it_unknown(changes: dict[str, Any]) -> None:
    assert not estimated(**changes)


def test_the_free_keys_are_those_of_published_accuracy() -> None:
    assert EXECUTION | {"name", "trust", *CONDITIONS} == FREE and CALIBRATED == config.CALIBRATED


def test_estimates_need_no_torch() -> None:
    code = "import sys, paretodet.sweep.estimates; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
