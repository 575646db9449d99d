"""The accuracy of a row is that of the artifact that is timed."""

import json
import re
from functools import partial

import numpy as np
import pytest
from PIL import Image

from paretodet.bench.job import Job
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.opening import CandidateConfig, job, open_candidate
from paretodet.sweep.scoring import mark_scored, score_job

NAME = "yolo_v3_tiny-64"


@pytest.fixture
def labels(tmp_path):
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((48, 64, 3), np.uint8)).save(tmp_path / "images" / name)
    truth = {
        "images": [
            {"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(("a.png", "b.png"))
        ],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(truth))
    return path


def test_a_job_is_scored_in_a_fresh_process(labels):
    published = {"ap": 16.0, "ap50": 33.0, "ap_split": "val2014-5k"}
    before = job(CandidateConfig(name=NAME))
    after = score_job(before, read_ground_truth(labels), published=published)
    assert 0 <= after.about["ap"] <= 100 and after.about["ap_measured"] is True
    assert after.about["ap_split"].startswith("instances.json@")
    assert (after.about["published_ap"], after.about["published_ap50"]) == (16.0, 33.0)
    assert CandidateConfig.from_json(after.recipe) == CandidateConfig.from_json(before.recipe)
    assert after.recipe != before.recipe and after.make is before.make


def test_a_failing_candidate_gives_one_message(labels):
    broken, messages = Job(name="broken", make=partial(open_candidate, "no-such-300")), []
    result = score_job(broken, read_ground_truth(labels), published={"ap": 16.0}, notify=messages.append)
    assert (
        re.fullmatch(r"broken has no accuracy on instances\.json: .*no-such-300.*", messages[0]) and len(messages) == 1
    )
    assert result.about["ap_source"].startswith("not measured: ") and result.about["published_ap"] == 16.0
    assert "ap" not in result.about and result.recipe == mark_scored(broken, read_ground_truth(labels)).recipe


@pytest.mark.parametrize("readable", [True, False])
def test_images_of_another_size_and_unreadable_ones_are_left_out_and_counted(labels, readable):
    Image.fromarray(np.zeros((48, 60, 3), np.uint8)).save(path := labels.parent / "images" / "b.png")
    if not readable:
        path.write_bytes(b"no image")
    result = score_job(job(CandidateConfig(name=NAME)), read_ground_truth(labels), published={})
    assert result.about["ap_source"] == "measured here on 1 images, 1 unreadable or of another size left out"
