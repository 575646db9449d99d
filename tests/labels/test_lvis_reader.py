"""LVIS's files: the classes that were looked for in an image, and images that are named only by their URL."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labeled_sets import SOUND, truth_of, write_truth
from paretodet.labels.formats.lvis import is_lvis, read_lvis
from paretodet.labels.lint.clean import write_clean
from paretodet.labels.lint.examine import examine
from paretodet.labels.model import Purpose
from paretodet.labels.read import format_of, read_labels, splits

IMAGE = {"id": 5, "coco_url": "http://images.example.org/val2017/5.jpg", "height": 40, "width": 60}
FIELDS = {"neg_category_ids": [9], "not_exhaustive_category_ids": [3]}
BOX = {"id": 1, "image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 12, "segmentation": [[1, 2, 4, 2, 4, 6]]}
CATEGORIES = [{"id": 9, "name": "cat", "frequency": "r"}, {"id": 3, "name": "dog", "frequency": "f"}]


def write(path: Path, **changes: Any) -> Path:
    truth = {"images": [IMAGE | FIELDS], "annotations": [BOX], "categories": CATEGORIES} | changes
    path.write_text(json.dumps(truth))
    return path


def test_what_was_looked_for_is_kept(tmp_path: Path) -> None:
    other = IMAGE | {"id": 2, "neg_category_ids": [3, 9, 77], "not_exhaustive_category_ids": []}
    found = read_lvis(write(tmp_path / "val.json", images=[other, IMAGE | FIELDS]))
    assert (found.labels, found.category_ids) == (("dog", "cat"), (3, 9))
    known = found.federated
    assert known.absent.tolist() == [[0, 0], [0, 1], [1, 1]] and known.partial.tolist() == [[1, 0]]
    assert known.frequency == ("f", "r")
    assert [known.to_json(index, (3, 9)) for index in (0, 1)] == [
        {"neg_category_ids": [3, 9], "not_exhaustive_category_ids": []},
        FIELDS,
    ]
    assert found.select(np.array([False, True])).federated.to_json(0, (3, 9)) == FIELDS


def test_an_image_is_named_by_the_end_of_its_url(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    (tmp_path / "val2017" / "5.jpg").touch()
    assert read_lvis(write(tmp_path / "val.json"))[0].image == tmp_path / "val2017" / "5.jpg"
    (tmp_path / "val2017").rename(tmp_path / "photos")
    flat = read_lvis(tmp_path / "val.json", images=tmp_path / "photos")
    assert flat[0].image == tmp_path / "photos" / "5.jpg"
    named = IMAGE | FIELDS | {"file_name": "a.jpg"}
    assert read_lvis(write(tmp_path / "val.json", images=[named])).name(0) == "a.jpg"


def test_the_format_is_recognized_by_its_fields(tmp_path: Path) -> None:
    path = write(tmp_path / "lvis_v1_val.json")
    assert is_lvis(path) and format_of(path).name == format_of(tmp_path).name == "lvis"
    write(tmp_path / "lvis_v1_train.json")
    assert splits(tmp_path) == ("train", "val") and len(read_labels(tmp_path, split="val")) == 1
    write(tmp_path / "lvis_v0.5_val.json")
    assert splits(tmp_path) == ("lvis_v0.5_val", "train", "lvis_v1_val")  # neither takes the other's name
    (tmp_path / "lvis_v0.5_val.json").unlink()
    write(path, images=[IMAGE])
    assert not is_lvis(path) and format_of(path).name == "coco" and not is_lvis(tmp_path / "none.json")


@pytest.mark.parametrize(("field", "value"), [("neg_category_ids", 3), ("not_exhaustive_category_ids", ["x3"])])
def test_an_image_with_a_malformed_list_is_left_out(tmp_path: Path, field: str, value: Any) -> None:
    path = write(tmp_path / "val.json", images=[IMAGE | FIELDS | {field: value}, IMAGE | FIELDS | {"id": 6}])
    found = read_lvis(path)
    assert found.keys.tolist() == [6] and field in found.skipped[0].reason


def test_frequencies_are_those_of_all_classes_or_none(tmp_path: Path) -> None:
    path = write(tmp_path / "val.json", categories=[CATEGORIES[0], {"id": 3, "name": "dog"}])
    assert read_lvis(path, purpose=Purpose.SCORE).federated.frequency == ()


def test_a_cleaned_copy_is_federated_too(tmp_path: Path) -> None:
    folder = SOUND["lvis"](tmp_path / "set")
    write_clean(examine(folder), tmp_path / "clean")
    for split in ("train", "val"):
        before, after = (read_labels(tmp_path / name, split=split).federated for name in ("set", "clean"))
        assert np.array_equal(before.absent, after.absent) and np.array_equal(before.partial, after.partial)
        assert before.frequency == after.frequency == ("f", "r")


def test_a_class_may_be_missing_from_all_lists(tmp_path: Path) -> None:
    folder = SOUND["lvis"](tmp_path / "set")
    truth = truth_of(folder)
    for image in truth["images"]:
        image["neg_category_ids"] = []
    write_truth(folder, truth)
    assert read_labels(folder, split="train").federated.absent.shape == (0, 2)


@pytest.mark.parametrize("field", FIELDS)
def test_one_of_the_fields_is_enough(tmp_path: Path, field: str) -> None:
    path = write(tmp_path / "labels.json", images=[IMAGE | {field: FIELDS[field]}])
    assert format_of(path).name == "lvis" and read_labels(path, purpose=Purpose.SCORE).federated is not None


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_file_name_that_is_empty_is_absent(tmp_path: Path, nothing: Any) -> None:
    found = read_lvis(write(tmp_path / "val.json", images=[IMAGE | FIELDS | {"file_name": nothing}]))
    assert found.name(0) == "val2017/5.jpg" and not found.skips
