"""What every label format keeps, and that nothing else names one."""

from pathlib import Path

import pytest

import paretodet
from bearings import files_that_name_a_format, format_names
from labeled_sets import SOUND
from paretodet.diagnosis import means_data
from paretodet.labels.formats import FORMATS
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.read import format_of, read_labels, splits
from paretodet.labels.splits import named

PACKAGE = Path(paretodet.__file__).parent


def test_every_format_has_a_set_without_faults():
    assert sorted(SOUND) == sorted(form.name for form in FORMATS)


@pytest.mark.parametrize("name", SOUND)
def test_one_format_reads_a_set(tmp_path, name):
    folder = SOUND[name](tmp_path / "set")
    form = format_of(folder)
    assert form.name == name and splits(folder) == ("train", "val")
    assert [each.name for each in FORMATS if each.matches(folder)][0] == name
    train = read_labels(folder, split="train")
    assert len(train) == 6 and train.labels in (("dog", "cat"), ("cat", "dog"))


@pytest.mark.parametrize(
    ("split", "known", "found"),
    [
        ("val", ["train", "valid"], "valid"),
        ("valid", ["train2017", "val2017"], "val2017"),
        ("val", ["val", "valid"], "val"),
        ("validation", ["val", "valid"], "validation"),
        ("train", ["training"], "training"),
        ("test", ["val"], "test"),
        ("test", ["Train", "Test"], "Test"),
        ("train", ["Train", "Test"], "Train"),
        ("Valid", ["train", "val"], "val"),
        (None, ["val"], None),
        ("dev", ["val"], "dev"),
    ],
)
def test_a_split_may_be_called_by_another_usual_name(split, known, found):
    assert named(split, known) == found


@pytest.mark.parametrize("name", SOUND)
def test_every_format_takes_the_other_names(tmp_path, name):
    folder = SOUND[name](tmp_path / "set")
    assert len(read_labels(folder, split="valid")) == len(read_labels(folder, split="val")) == 6
    with pytest.raises(ValueError, match="split: got 'dev'"):
        read_labels(folder, split="dev")


@pytest.mark.parametrize("name", SOUND)
def test_a_file_of_labels_is_no_candidate(tmp_path, name):
    folder, form = SOUND[name](tmp_path / "set"), next(each for each in FORMATS if each.name == name)
    files = [form.file(folder, split) for split in form.splits(folder)]
    assert all(means_data(str(file)) and (file.is_dir() or file.suffix in form.suffixes) for file in files)


@pytest.mark.parametrize("name", SOUND)
def test_every_box_has_a_place_in_a_file(tmp_path, name):
    folder = SOUND[name](tmp_path / "set")
    parts, unread = open_parts(folder, format_of(folder))
    places = [part.at(row, "") for part in parts for row in range(len(part.data.boxes))]
    assert not unread and all(place.file.is_file() and place.place for place in places)
    assert len({(place.file, place.place) for place in places}) == len(places) > 40


@pytest.mark.parametrize("name", SOUND)
def test_a_folder_of_images_is_taken_or_refused(tmp_path, name):
    folder, form = SOUND[name](tmp_path / "set"), next(each for each in FORMATS if each.name == name)
    if form.takes_images:
        assert read_labels(folder, split="val", images=tmp_path).folder == tmp_path
    else:
        with pytest.raises(ValueError, match="image-root: .* states where its images are"):
            read_labels(folder, images=tmp_path)


def test_no_other_file_names_a_format():
    assert format_names(PACKAGE) == {form.name for form in FORMATS}
    assert files_that_name_a_format(PACKAGE) == []


@pytest.mark.parametrize("name", [name for name in SOUND if name != "fiftyone"])  # whose file has one name
def test_suffixes_of_label_files_may_be_in_capitals(tmp_path, name):
    folder = SOUND[name](tmp_path / "set")
    boxes = len(read_labels(folder, split="train").boxes)
    for file in [each for each in folder.rglob("*") if each.suffix in (".json", ".csv", ".xml", ".txt")]:
        file.rename(file.with_suffix(file.suffix.upper()))
    assert format_of(folder).name == name and splits(folder) == ("train", "val")
    assert len(read_labels(folder, split="train").boxes) == boxes > 0
