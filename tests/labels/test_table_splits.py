"""A column of splits in a table: how its values may be written, and what is refused."""

import pytest

from labeled_sets import write_image
from paretodet.errors import InputError
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.labels.formats import table as table_format
from paretodet.labels.formats.table import read_table
from paretodet.labels.lint.examine import examine
from paretodet.labels.read import read_labels, splits
from paretodet.reading import sha256
from paretodet.training.config import TrainConfig
from paretodet.training.data import open_training_data
from paretodet.training.recipes import make_recipe

NAME = "ssd-mobilenet_v1-300"


def table(folder, *rows, column="split"):
    """Rows of an image, a class and a split."""
    folder.mkdir(exist_ok=True)
    for seed, image in enumerate(sorted({image for image, *_ in rows})):
        write_image(folder / f"{image}.jpg", seed)
    lines = [f"{image}.jpg,4,8,16,22,{label},{split}\n" for image, label, split in rows]
    (folder / "labels.csv").write_text(f"image,x,y,w,h,class,{column}\n{''.join(lines)}")
    return folder / "labels.csv"


def divided(folder, train="train", val="val", **more):
    return table(folder, ("a", "dog", train), ("b", "cat", val), ("c", "cat", train), **more)


def names(data):
    return [sample.image.name for sample in data]


@pytest.mark.parametrize("train", ["train", "TRAIN", "Training", "train2017"])
@pytest.mark.parametrize("val", ["val", "Valid", "VALIDATION", "val2017"])
@pytest.mark.parametrize("asked", ["val", "valid", "validation"])
def test_a_split_is_found_by_any_of_its_names(tmp_path, train, val, asked):
    path = divided(tmp_path, train, val)
    for place in (path, tmp_path):
        assert splits(place) == (train, val) and names(read_labels(place, split=asked)) == ["b.jpg"]
    found = read_table(path, split="train")
    assert names(found) == ["a.jpg", "c.jpg"] and found.labels == ("cat", "dog") and found.keys.tolist() == [0, 2]


def test_two_spellings_are_one_split_and_other_names_are_splits_too(tmp_path):
    rows = (("a", "dog", "Train"), ("b", "dog", "train"), ("c", "dog", "validation"), ("d", "dog", "val"))
    path = table(tmp_path, *rows, ("e", "dog", "holdout"), column="Subset")
    assert splits(path) == ("Train", "validation", "holdout")
    expected = {"train": ["a.jpg", "b.jpg"], "val": ["c.jpg", "d.jpg"], "holdout": ["e.jpg"]}
    assert {name: names(read_labels(path, split=name)) for name in expected} == expected


def test_a_split_that_the_column_lacks_is_refused_with_those_it_has(tmp_path):
    with pytest.raises(InputError, match="has train, val in its column 'split'") as refused:
        read_labels(divided(tmp_path), split="test")
    assert refused.value.id == "split-unknown"


@pytest.mark.parametrize("values", [("val", "test"), ("train", "train"), ("0", "1"), ("train", "1"), ("red", "blue")])
def test_all_lines_are_read_where_they_are_not_for_training_and_for_something_else(tmp_path, values):
    assert len(read_labels(divided(tmp_path, *values)).boxes) == 3


def test_only_what_is_held_out_is_not_trained_on_unasked(tmp_path):
    assert refused_training(divided(tmp_path, "test", "test")) == "split-unnamed"


def refused_training(path):
    with pytest.raises(InputError) as refused:
        opened(path)
    return refused.value.id


def opened(path):
    recipe = make_recipe("quick", NAME, steps=1, batch=2)
    return open_training_data(TrainConfig(name=NAME, data=path, recipe=recipe), lambda sentence: None)


def test_a_training_takes_both_splits_of_a_column(tmp_path):
    data = opened(divided(tmp_path, "TRAIN", "VALIDATION"))
    assert (names(data.labels), names(data.validation.labels)) == (["a.jpg", "c.jpg"], ["b.jpg"])


def test_a_line_without_a_split_is_left_out_and_reported(tmp_path):
    path = table(tmp_path, ("a", "dog", "train"), ("b", "dog", "val"), ("c", "dog", ""))
    found = read_labels(path, split="train")
    assert names(found) == ["a.jpg"] and [(each.id, each.place) for each in found.skipped] == [
        ("field-malformed", "line 4")
    ]


def test_a_bad_line_of_another_split_is_not_reported(tmp_path):
    path = divided(tmp_path)
    path.write_text(path.read_text() + "d.jpg,4,8,x,22,dog,val\n")
    assert [read_labels(path, split=split).skips for split in ("train", "val")] == [0, 1]


def test_two_splits_of_one_file_are_two_ground_truths(tmp_path):
    path = divided(tmp_path)
    train, val = (read_ground_truth(path, split=split) for split in ("train", "val"))
    assert (train.name, val.name) == ("labels.csv/train", "labels.csv/val") and train.sha256 != val.sha256


def test_doctor_examines_each_split_of_a_column(tmp_path):
    found = examine(divided(tmp_path, column="set"))
    assert [(part.split, len(part.data)) for part in found.subject.parts] == [("train", 2), ("val", 1)]
    assert found.status == 0


@pytest.mark.parametrize(
    ("values", "split"), [(("test", "test"), None), (("val", "test"), None), (("test", "test"), "test")]
)
def test_a_file_whose_lines_are_read_as_one_is_known_by_its_own_hash(tmp_path, values, split):
    path = divided(tmp_path, *values)
    for place in (path, tmp_path):
        found = read_ground_truth(place, split=split)
        assert (found.name, found.sha256) == ("labels.csv", sha256(path))


def test_a_file_beside_others_is_known_by_its_own_hash_though_its_lines_name_its_split(tmp_path):
    path = divided(tmp_path, "test", "test").rename(tmp_path / "test.csv")
    divided(tmp_path, "train", "train").rename(tmp_path / "train.csv")
    assert read_ground_truth(tmp_path, split="test").sha256 == sha256(path)


def test_a_number_among_usual_splits_is_a_split_too(tmp_path):
    path = table(tmp_path, ("a", "dog", "train"), ("b", "dog", "val"), ("c", "dog", "2"))
    assert splits(path) == ("train", "val", "2") and names(read_labels(path, split="val")) == ["b.jpg"]
    with pytest.raises(InputError) as refused:
        read_labels(path)
    assert refused.value.id == "split-unnamed"


def test_a_file_is_read_once_for_its_splits_until_it_changes(tmp_path, monkeypatch):
    path, lines, rows = divided(tmp_path), [], table_format._rows

    def counted(*arguments):
        for each in rows(*arguments):
            lines.append(each)
            yield each

    monkeypatch.setattr(table_format, "_rows", counted)
    assert [splits(path) for _ in range(3)] == [("train", "val")] * 3 and len(lines) == 3
    path.write_text(path.read_text() + "a.jpg,4,8,16,22,dog,test\n")
    assert splits(path) == ("train", "val", "test") and len(lines) == 7
