"""The format of labels is recognized by their files."""

import numpy as np
import pytest
from PIL import Image

from paretodet.labels.read import read_labels, splits
from paretodet.loader.shapes import Shapes

SHAPES = Shapes(count=2, height=32, width=48, seed=3)


def coco(folder, *names):
    """Labels under several names beside one folder of images."""
    path = SHAPES.write(folder)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(path.read_text())
    if names:
        path.unlink()
    return folder


def voc(folder):
    for name in ("Annotations", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    size, box = "<size><width>9</width><height>9</height></size>", "<xmin>1</xmin><ymin>1</ymin><xmax>3</xmax>"
    thing = f"<object><name>dog</name><bndbox>{box}<ymax>3</ymax></bndbox></object>"
    (folder / "Annotations" / "a.xml").write_text(f"<annotation>{size}{thing}</annotation>")
    (folder / "ImageSets" / "Main" / "train.txt").write_text("a")
    return folder


def yolo(folder, name="data.yaml"):
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "images" / "a.png")
    (folder / name).write_text("train: images\nnames: [dog]")
    return folder


def test_each_format_is_recognized(tmp_path):
    assert read_labels(coco(tmp_path / "coco")).labels == SHAPES.labels
    assert read_labels(tmp_path / "coco" / "instances.json")[1].image.is_file()
    assert read_labels(voc(tmp_path / "voc")).labels == ("dog",)
    assert read_labels(yolo(tmp_path / "yolo")).labels == ("dog",)
    assert read_labels(str(tmp_path / "yolo" / "data.yaml"), split="train").labels == ("dog",)
    assert read_labels(yolo(tmp_path / "other", "cells.yml")).labels == ("dog",)


def test_each_format_lists_its_splits(tmp_path):
    assert splits(voc(tmp_path / "voc")) == splits(yolo(tmp_path / "yolo")) == ("train",)
    labels = "annotations/instances_train2017.json", "annotations/instances_val2017.json", "annotations/captions.json"
    assert splits(coco(tmp_path / "coco", *labels)) == ("train2017", "val2017")
    assert splits(coco(tmp_path / "export", "train/_annotations.coco.json", "valid/_annotations.coco.json")) == (
        "train",
        "valid",
    )
    assert splits(tmp_path / "nothing") == ()


def test_a_split_of_several_coco_files_must_be_given(tmp_path):
    folder = coco(tmp_path, "annotations/instances_train2017.json", "annotations/instances_val2017.json")
    for split in ("val", "val2017"):
        assert read_labels(folder, split=split)[0].image.is_file()
    for split, got in ((None, "several files and no split named"), ("test", "split: got 'test'")):
        with pytest.raises(ValueError, match=f"{got}, it has train2017, val2017: name one of them"):
            read_labels(folder, split=split)


def test_a_split_that_a_file_does_not_have_is_refused(tmp_path):
    path = coco(tmp_path) / "instances.json"
    with pytest.raises(ValueError, match="split: got 'val', it has instances"):
        read_labels(path, split="val")


def test_the_real_folders(data_folder):
    assert splits(data_folder / "bccd") == ("test", "train", "trainval", "val")
    assert len(read_labels(data_folder / "bccd", split="val")) == 87
    assert len(read_labels(data_folder / "coco_val2017_44")) == 44


@pytest.mark.parametrize("name", ["nothing", "empty", "a.txt"])
def test_what_is_no_format_is_refused_with_those_there_are(tmp_path, name):
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.txt").touch()
    reason = "no such file or folder" if name == "nothing" else "none of the known formats"
    with pytest.raises(ValueError, match=rf"{name} is {reason}; known are .*COCO: "):
        read_labels(tmp_path / name)


def test_numbers_and_samples_are_the_same_in_a_forked_worker(tmp_path):
    """What a loader's workers do, without one."""
    import multiprocessing

    found = read_labels(coco(tmp_path))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        boxes = pool.map(Boxes(found), range(len(found)))
    assert all(np.array_equal(each, found[index].boxes) for index, each in enumerate(boxes))


class Boxes:
    def __init__(self, found):
        self.found = found

    def __call__(self, index):
        return self.found[index].boxes
