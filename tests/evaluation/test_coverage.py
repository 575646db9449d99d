"""Images without any row are told, with the split that the others are."""

import json

import pytest
from evaluation_sets import known, perfect, spread

from labeled_sets import SOUND
from paretodet.evaluation.coverage import missing_images
from paretodet.labels.read import read_labels
from paretodet.scoring import evaluate_file


def rows_of(labels):
    """A row for every object."""
    names = [labels.name(place) for place in range(len(labels))]
    return [
        {"file_name": names[owner], "category_id": labels.category_ids[label], "bbox": box, "score": 0.9}
        for owner, label, box in zip(labels.owners.tolist(), labels.classes, labels.xywh.tolist(), strict=True)
    ]


@pytest.mark.parametrize("form", ["yolo", "voc", "cvat", "fiftyone", "labelme"])
def test_results_of_one_split_name_it(tmp_path, form):
    folder = SOUND[form](tmp_path / "set")
    results = tmp_path / "results.json"
    results.write_text(json.dumps(rows_of(read_labels(folder, split="val"))))
    (note,) = evaluate_file(results, folder).subject["paired"]
    assert "6 of 12 images" in note and "--data-split val" in note
    only = evaluate_file(results, folder, split="val")
    assert only.subject["paired"] == [] and only.boxes.whole.ap == pytest.approx(100)
    both = [*rows_of(read_labels(folder, split="val")), *rows_of(read_labels(folder, split="train"))[:1]]
    results.write_text(json.dumps(both))
    (note,) = evaluate_file(results, folder).subject["paired"]
    assert "7 of 12 images" in note and "--data-split" not in note


@pytest.mark.parametrize(("kept", "notes"), [(20, 0), (19, 0), (17, 1), (1, 1), (0, 1)])
def test_a_few_images_without_detections_are_usual(tmp_path, kept, notes):
    truth = spread({1: "car"})
    (tmp_path / "labels.json").write_text(json.dumps(truth))
    found = [row for row in perfect(truth) if row["image_id"] < kept]
    told = missing_images(found, known(truth), tmp_path / "labels.json", split=None)
    assert len(told) == notes and all(f"{kept} of 20 images" in each for each in told)


def test_images_without_objects_need_no_detection(tmp_path):
    truth = spread({1: "car"})
    (tmp_path / "labels.json").write_text(json.dumps(truth))
    found = [row for row in perfect(truth) if row["image_id"] < 10]
    truth["annotations"] = [row for row in truth["annotations"] if row["image_id"] < 10]
    assert missing_images(found, known(truth), tmp_path / "labels.json", split=None) == ()
