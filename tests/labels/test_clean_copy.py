"""A cleaned copy has no fault, whatever was wrong with the data, and keeps all that was right."""

import errno
import json
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from damaged_sets import CASES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labeled_sets import SOUND, truth_of, write_image, write_lines, write_truth
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.labels.lint.clean import write_clean
from paretodet.labels.lint.examine import examine
from paretodet.labels.read import read_labels

DAMAGES = {form: [case[2] for case in CASES if case[1] == form] for form in SOUND}
NUMBER = st.one_of(st.floats(), st.integers(-100, 100), st.sampled_from([0, 1e-30, 1e30, 63.9999999, 48]))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.integers(-3, 60),
        "image_id": st.integers(0, 8),
        "category_id": st.integers(-1, 3),
        "bbox": st.lists(NUMBER, min_size=4, max_size=4),
        "area": NUMBER,
        "iscrowd": st.sampled_from([0, 1, None, "yes"]),
        "segmentation": st.one_of(
            st.none(), st.lists(st.lists(NUMBER, max_size=8), max_size=2), st.just({"size": [48, 64]})
        ),
    },
)


def cleaned(path, folder):
    found = examine(path)
    return found, write_clean(found, folder)


def hostile(folder, form, chosen, fields):
    """A set with many kinds of damage at once, as far as they go together."""
    SOUND[form](folder)
    for number in chosen if DAMAGES[form] else ():
        try:
            DAMAGES[form][number % len(DAMAGES[form])](folder)
        except (OSError, KeyError, IndexError):  # the other damage took away what this one needs
            continue
    if form == "coco":
        truth = truth_of(folder)
        for place, changes in enumerate(fields):
            truth["annotations"][place * 3] |= changes
        write_truth(folder, truth)


@settings(max_examples=30, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(list(SOUND)), st.lists(st.integers(0, 99), max_size=6), st.lists(FIELDS, max_size=8))
def test_a_cleaned_copy_has_no_fault(form, chosen, fields):
    with tempfile.TemporaryDirectory() as top:
        hostile(Path(top) / "set", form, chosen, fields)
        try:
            found, done = cleaned(Path(top) / "set", Path(top) / "clean")
        except ValueError as error:
            assert "set" in str(error)
            return
        again = examine(Path(top) / "clean")
        assert [each for each in again.findings if each.level in ("error", "fault")] == []
        parts = again.subject.parts
        assert (sum(len(part.data) for part in parts), sum(len(part.data.boxes) for part in parts)) == (
            done.images,
            done.boxes,
        )
        assert not again.subject.parts[0].data.outside.any()


@pytest.mark.parametrize("form", SOUND)
def test_a_set_without_faults_is_copied_completely(tmp_path, form):
    found, done = cleaned(SOUND[form](tmp_path / "set"), tmp_path / "clean")
    assert (done.images, done.boxes, done.cut, done.left_out) == (12, 44 if form == "lvis" else 48, 0, ())
    for split in ("train", "val"):
        mine, theirs = read_labels(tmp_path / "clean", split=split), read_labels(tmp_path / "set", split=split)
        assert mine.labels == theirs.labels
        for one, other in zip(mine, theirs, strict=True):
            assert one.image.read_bytes() == other.image.read_bytes()
            assert np.array_equal(one.boxes, other.boxes) and np.array_equal(one.labels, other.labels)
            assert one.size == other.size
            masks = zip(one.masks or (), other.masks or (), strict=True)
            assert all(np.array_equal(m.decode(one.size), n.decode(one.size)) for m, n in masks)
    assert (form in ("coco", "lvis")) == (read_labels(tmp_path / "clean", split="val")[0].masks is not None)


def test_what_is_left_out_is_reported_and_the_test_split_keeps_its_image(tmp_path):
    folder = SOUND["coco"](tmp_path / "set")
    (folder / "images/train/1.jpg").unlink()
    write_image(folder / "images/train/2.jpg", 999, size=(50, 60))
    (folder / "images/train/3.jpg").write_bytes((folder / "images/val/4.jpg").read_bytes())
    truth = truth_of(folder)
    truth["annotations"][0]["bbox"] = [-5, 4, 25, 16]
    write_truth(folder, truth)
    _, done = cleaned(folder, tmp_path / "clean")
    reasons = {each.file.name: each.text for each in done.left_out}
    assert reasons == {
        "1.jpg": "no such file",
        "2.jpg": "its size is not that of its labels",
        "3.jpg": "val has a copy of it",
    }
    assert (done.images, done.boxes, done.cut) == (9, 36, 1)
    assert truth_of(tmp_path / "clean")["annotations"][0]["bbox"] == [0, 4, 20, 16]
    assert json.loads(json.dumps(done.to_json()))["boxes_cut"] == 1


def test_splits_that_number_classes_differently_agree_afterwards(tmp_path):
    folder = SOUND["coco"](tmp_path / "set")
    truth = truth_of(folder, "val")
    truth["categories"] = [{"id": 5, "name": "cat"}, {"id": 7, "name": "dog"}]
    for each in truth["annotations"]:
        each["category_id"] = 7 - 2 * each["category_id"]
    write_truth(folder, truth, "val")
    cleaned(folder, tmp_path / "clean")
    for split in ("train", "val"):
        data = read_labels(tmp_path / "clean", split=split)
        assert [data.labels[label] for label in data[0].labels] == ["dog", "dog", "cat", "cat"]


def test_names_that_other_tools_refuse_are_replaced(tmp_path):
    folder = SOUND["yolo"](tmp_path / "set")
    images, labels = folder / "images/train", folder / "labels/train"
    names = ["a\\b.jpg", os.fsdecode(b"odd\xff.jpg"), "SAME.jpg", "same.jpg", "sub/same.jpg"]
    for number, name in enumerate(names):
        write_image(images / "new.jpg", 100 + number)
        (images / name).parent.mkdir(exist_ok=True)
        (images / "new.jpg").rename(images / name)
        text = (labels / name).with_suffix(".txt")
        text.parent.mkdir(exist_ok=True)
        text.write_text("0 0.5 0.5 0.2 0.2\n")
    cleaned(folder, tmp_path / "clean")
    written = [each["file_name"] for each in truth_of(tmp_path / "clean")["images"]]
    assert len(written) == 11 == len({name.casefold() for name in written})
    assert all(name.isprintable() and "\\" not in name and "/" not in name for name in written)
    assert len(read_labels(tmp_path / "clean", split="train")) == 11


def test_images_are_copies_and_the_originals_stay_as_they_are(tmp_path):
    def contents():
        return {file: file.read_bytes() for file in sorted((tmp_path / "set").rglob("*")) if file.is_file()}

    before = SOUND["voc"](tmp_path / "set") and contents()
    _, done = cleaned(tmp_path / "set", tmp_path / "clean")
    (copy,) = (tmp_path / "clean").glob("images/train/train0.jpg")
    original = tmp_path / "set/JPEGImages/train0.jpg"
    assert copy.stat().st_nlink == original.stat().st_nlink == 1 and not copy.samefile(original)
    write_image(copy, 999)
    assert contents() == before and done.images == 12
    assert sorted(file.suffix for file in copy.parent.iterdir()) == [".jpg"] * 6


def test_what_is_kept_and_what_is_not(tmp_path):
    """Ids of images and names in any script stay; one sentence lists the fields that the copy does not have."""
    folder = SOUND["coco"](tmp_path / "set")
    names = [
        "\u06a9\u062a\u0627\u0628\u200c\u0647\u0627",
        "\U0001f468\u200d\U0001f33e",
    ]  # joined by what is not printable
    for split in ("train", "val"):
        truth = truth_of(folder, split)
        for each in (*truth["images"], *truth["annotations"]):
            each["id" if "file_name" in each else "image_id"] *= 700
        truth["categories"] = [{"id": key, "name": name, "supercategory": "x"} for key, name in enumerate(names)]
        write_truth(folder, truth, split)
    (folder / "images/train/3.jpg").unlink()
    _, done = cleaned(folder, tmp_path / "clean")
    truth = truth_of(tmp_path / "clean")
    assert [each["id"] for each in truth["images"]] == [700, 1400, 2100, 3500, 4200]
    assert {each["image_id"] for each in truth["annotations"]} == {each["id"] for each in truth["images"]}
    assert [each["name"] for each in truth["categories"]] == names
    assert "supercategories" in done.not_carried and done.to_json()["not_carried"] == done.not_carried
    voc = cleaned(SOUND["voc"](tmp_path / "voc"), tmp_path / "of voc")[1]
    assert "truncated" in voc.not_carried
    yolo = SOUND["yolo"](tmp_path / "yolo")
    assert cleaned(yolo, tmp_path / "of yolo")[1].not_carried == ""
    settings = yolo / "data.yaml"
    settings.write_text(settings.read_text() + "kpt_shape: [2, 3]\n")
    assert cleaned(yolo, tmp_path / "of poses")[1].not_carried == "keypoints of poses"


def test_what_is_refused(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    found = examine(folder)
    with pytest.raises(ValueError, match="fix: .*set holds something already"):
        write_clean(found, folder)
    with pytest.raises(ValueError, match="fix: .*lies inside of"):
        write_clean(found, folder / "clean")
    with pytest.raises(ValueError, match="fix: images must be decoded"):
        write_clean(examine(folder, decode=False), tmp_path / "clean")
    for file in folder.glob("JPEGImages/*"):
        file.unlink()
    with pytest.raises(ValueError, match="no image of .*set is sound"):
        write_clean(examine(folder), tmp_path / "clean")
    assert not (tmp_path / "clean").exists()


def test_the_real_set_loses_its_two_faults(data_folder, tmp_path):
    _, done = cleaned(data_folder / "bccd", tmp_path / "clean")
    assert (done.images, done.boxes) == (364, 4886)
    assert examine(tmp_path / "clean").findings == ()


def test_an_image_listed_twice_keeps_the_boxes_of_both(tmp_path):
    """Some exporters write an entry per object: each entry teaches that the objects of the others are background."""
    SOUND["coco"](tmp_path / "set")
    truth = truth_of(tmp_path / "set")
    first = truth["images"][0]["id"]
    mine = [each for each in truth["annotations"] if each["image_id"] == first]
    truth["images"].append(truth["images"][0] | {"id": 99})
    again = mine[0] | {"id": 500, "image_id": 99}  # what both entries have is there once
    moved = mine[-1] | {"image_id": 99}
    assert len(mine) > 1
    truth["annotations"] = [each for each in truth["annotations"] if each["id"] != moved["id"]] + [moved, again]
    before = sorted(tuple(each["bbox"]) for each in mine)
    write_truth(tmp_path / "set", truth)
    _, done = cleaned(tmp_path / "set", tmp_path / "clean")
    data = read_labels(tmp_path / "clean", split="train")
    x1, y1, x2, y2 = next(
        each for each in data if each.image.name == Path(truth["images"][0]["file_name"]).name
    ).boxes.T
    assert sorted(zip(x1, y1, x2 - x1, y2 - y1, strict=True)) == before
    assert any("gets the boxes of both" in place.text for place in done.left_out)


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("problem", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_a_copy_is_there_whole_or_not_at_all(tmp_path, monkeypatch, problem, there):
    """Half of it, one split of two, would pass as a sound set."""
    found, folder = examine(SOUND["yolo"](tmp_path / "set")), tmp_path / "clean"
    if there:
        folder.mkdir()
    copy, copied = shutil.copyfile, []

    def fails(file, target):
        copied.append(file)
        if len(copied) > 8:  # six a split
            raise problem
        return copy(file, target)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", fails)
        with pytest.raises(type(problem)):
            write_clean(found, folder)
    assert len(copied) == 9
    assert {each.name for each in tmp_path.iterdir()} == {"set", *["clean"] * there}
    assert not there or not any(folder.iterdir())
    done = write_clean(found, folder)
    assert (done.images, done.folder) == (12, folder) and all(file.is_file() for file in done.files)
    assert {each.name for each in folder.iterdir()} == {"annotations", "images"}
    assert {each.name for each in tmp_path.iterdir()} == {"set", "clean"}


def areas(path):
    return read_ground_truth(path, split="train").labels.areas.tolist()


def test_areas_are_those_that_the_original_is_scored_by(tmp_path):
    """Of outlines, of run lengths, and of boxes that have neither: AP by size would be another one else."""
    triangle = "0 0.125 0.125 0.75 0.125 0.75 0.875\n"
    write_lines(SOUND["yolo"](tmp_path / "yolo"), "train", 0, triangle + "1 0.5 0.5 0.5 0.5\n")
    truth = truth_of(SOUND["coco"](tmp_path / "coco"))
    for each in truth["annotations"]:
        del each["area"]
    first, second, third, *_ = truth["annotations"]
    first["segmentation"] = [[4, 4, 20, 4, 20, 20]]
    second["segmentation"] = {"size": [48, 64], "counts": [48 * 30 + 4, 7, 48 * 34 - 11]}
    del third["segmentation"]
    write_truth(tmp_path / "coco", truth)
    for form in ("yolo", "coco"):
        cleaned(tmp_path / form, tmp_path / f"{form}-clean")
        assert areas(tmp_path / f"{form}-clean") == areas(tmp_path / form)
    assert 600 < areas(tmp_path / "yolo")[0] < 800 and areas(tmp_path / "yolo")[1] == 32 * 24
    assert 100 < areas(tmp_path / "coco")[0] < 140 and areas(tmp_path / "coco")[1:3] == [7, 16 * 20]


def test_the_split_that_keeps_an_image_may_have_capitals(tmp_path):
    folder = SOUND["voc"](tmp_path / "set")
    for split in ("train", "val"):
        path = folder / "ImageSets/Main" / f"{split}.txt"
        path.rename(path.with_name(f"{split.title()}.txt"))
    shutil.copy(folder / "JPEGImages/val4.jpg", folder / "JPEGImages/train3.jpg")
    _, done = cleaned(folder, tmp_path / "clean")
    assert {each.file.name: each.text for each in done.left_out} == {"train3.jpg": "Val has a copy of it"}
