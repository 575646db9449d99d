"""Which split of its labels a training takes."""

from pathlib import Path

import pytest

from labeled_sets import SOUND, write_xml
from paretodet.errors import InputError
from paretodet.training.config import TrainConfig
from paretodet.training.data import open_training_data
from paretodet.training.recipes import make_recipe

NAME = "ssd-mobilenet_v1-300"
WITHOUT_SPLITS = {"coco": "annotations/instances_train.json", "csv": "train_labels.csv", "labelme": "train"}


def opened(path, **changes):
    recipe = make_recipe("quick", NAME, steps=1, batch=2)
    return open_training_data(TrainConfig(name=NAME, data=path, recipe=recipe, **changes), lambda sentence: None)


@pytest.mark.parametrize("option", ["split", "val_split"])
@pytest.mark.parametrize("name", WITHOUT_SPLITS)
def test_a_split_of_labels_without_splits_is_refused_with_a_way_out(tmp_path, name, option):
    path = SOUND[name](tmp_path) / WITHOUT_SPLITS[name]
    with pytest.raises(InputError) as error:
        opened(path, **{option: "val"})
    assert error.value.id == "split-unknown" and f"paretodet split {path}" in error.value.message


def test_a_split_of_other_labels_without_splits_is_refused(tmp_path):
    folder = SOUND["coco"](tmp_path) / "annotations"
    with pytest.raises(InputError, match="--val-split") as error:
        opened(folder / "instances_train.json", val=folder / "instances_val.json", val_split="test")
    assert error.value.id == "split-unknown"


def test_missing_labels_are_missing_whatever_their_split(tmp_path):
    for option in ("split", "val_split"):
        with pytest.raises(InputError) as error:
            opened(tmp_path / "none.json", **{option: "val"})
        assert error.value.id == "file-missing"


def test_a_file_takes_its_own_name_as_a_split(tmp_path):
    path = SOUND["coco"](tmp_path) / "annotations" / "instances_train.json"
    assert (opened(path, split="train").split, len(opened(path, split="train").labels)) == ("train", 6)


SPLIT_PLACES = {"labelme": "{}", "voc": "ImageSets/Main/{}.txt", "coco": "annotations/instances_{}.json"}


def renamed(folder, form, **names):
    """The set of a format with other names of its splits."""
    SOUND[form](folder)
    for split, name in names.items():
        (folder / SPLIT_PLACES[form].format(split)).rename(folder / SPLIT_PLACES[form].format(name))
    return folder


@pytest.mark.parametrize("form", ["labelme", "voc"])
def test_names_of_splits_may_have_capitals(tmp_path, form):
    found = opened(renamed(tmp_path / "set", form, train="Train", val="Valid"))
    assert (found.split, found.val_split, len(found.labels)) == ("Train", "Valid", 6)
    assert opened(tmp_path / "set", split="train").labels.names == found.labels.names


def test_tags_of_fiftyone_may_have_capitals(tmp_path):
    path = SOUND["fiftyone"](tmp_path) / "samples.json"
    path.write_text(path.read_text().replace('["train"]', '["Train"]').replace('["val"]', '["Test"]'))
    assert (opened(path).split, len(opened(path).labels)) == ("Train", 6)


@pytest.mark.parametrize("held", ["test", "Test", "dev", "val2017"])
@pytest.mark.parametrize("given", [{}, {"val": "."}])
def test_a_split_that_is_held_out_is_not_trained_on(tmp_path, held, given):
    folder = renamed(tmp_path / "set", "voc", train="trainval", val=held)
    with pytest.raises(InputError, match="trainval") as error:
        opened(folder, **{option: folder / path for option, path in given.items()})
    assert error.value.id == "split-unnamed"
    assert len(opened(folder, split="trainval").labels) == 6


def test_splits_of_other_names_are_trained_on_together(tmp_path):
    found = opened(renamed(tmp_path / "set", "voc", train="first", val="second"))
    assert (found.split, found.val_split, len(found.labels)) == (None, None, 12)


@pytest.mark.parametrize("form", ["coco", "voc"])
def test_of_two_splits_for_training_one_must_be_named(tmp_path, form):
    folder = renamed(tmp_path / "set", form, train="train2014", val="train2017")
    with pytest.raises(InputError, match="train2014 and train2017") as error:
        opened(folder)
    assert error.value.id == "split-unnamed" and opened(folder, split="train2017").split == "train2017"


def test_the_data_of_a_training_have_a_name_wherever_it_is_started(tmp_path, monkeypatch):
    monkeypatch.chdir(SOUND["voc"](tmp_path / "set"))
    assert opened(Path()).identity == opened(tmp_path / "set").identity


def test_validation_labels_without_a_box_are_refused_with_a_way_out(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    for path in (folder / "Annotations").glob("val*.xml"):
        write_xml(folder, path.stem, "")
    with pytest.raises(InputError, match="--val") as error:
        opened(folder)
    assert error.value.id == "labels-none"


def test_a_class_that_no_training_image_has_is_refused_with_a_way_out(tmp_path):
    folder = SOUND["csv"](tmp_path / "set")
    path = folder / "val_labels.csv"
    path.write_text(path.read_text().replace("cat", "cow"))
    with pytest.raises(InputError, match=r"classes cow;.*training images") as error:
        opened(folder)
    assert error.value.id == "label-unknown"
