"""Which split of its labels a training takes."""

import pytest

from labeled_sets import SOUND
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
