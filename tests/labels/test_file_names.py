"""File names are of unknown origin: any name gives one error message or valid labels."""

import json
import os

import pytest
from PIL import Image

from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.labels.lint.clean import write_clean
from paretodet.labels.lint.examine import examine
from paretodet.labels.read import read_labels, splits

NAMES = {
    "long": "x" * 300 + ".jpg",
    "longest": "x" * 251 + ".jpg",
    "longer than a path": "x/" * 3000 + "a.jpg",
    "long in bytes": "é" * 200 + ".jpg",
    "below a long folder": "x" * 300 + "/a.jpg",
    "through a long folder": "../" + "x" * 300 + "/../a.jpg",
    "NUL": "a\0b.jpg",
    "none": "",
    "a space": " ",
    "here": ".",
    "above": "..",
    "far above": "../" * 50 + "etc/passwd",
    "a folder": "folder",
    "below a file": "file/a.jpg",
    "a link to itself": "loop",
    "below a link to itself": "loop/a.jpg",
    "a pipe": "pipe",
    "a device": "/dev/zero",
    "half a pair": "\ud800.jpg",
    "a line break": "a\nb.jpg",
    "a pattern": "*.jp[g",
    "another system's": "C:\\a.jpg",
    "an address": "https://localhost/a.jpg",
}
XML = (
    "<annotation><filename>{}</filename><size><width>40</width><height>40</height></size><object><name>dog</name>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>33</ymax></bndbox></object></annotation>"
)


def furnished(folder):
    """An image, and folders to which an odd name could lead."""
    (folder / "folder").mkdir(parents=True)
    Image.new("RGB", (40, 40)).save(folder / "ok.jpg")
    (folder / "file").touch()
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "pipe")
    return folder


def coco(folder, name):
    furnished(folder)
    images = [{"id": key, "file_name": each, "height": 40, "width": 40} for key, each in ((1, name), (2, "ok.jpg"))]
    box = {"category_id": 1, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0}
    truth = {"images": images, "categories": [{"id": 1, "name": "a"}]}
    truth["annotations"] = [box | {"id": each["id"], "image_id": each["id"]} for each in images]
    (folder / "instances.json").write_text(json.dumps(truth))
    return folder / "instances.json"


def voc(folder, name, listed="ok"):
    furnished(folder / "JPEGImages")
    for each in ("Annotations", "ImageSets/Main"):
        (folder / each).mkdir(parents=True)
    (folder / "Annotations/ok.xml").write_bytes(XML.format(name).encode("utf-8", "surrogatepass"))
    (folder / "ImageSets/Main/train.txt").write_bytes(f"ok\n{listed}\n".encode("utf-8", "surrogatepass"))
    return folder


def image_set(folder, name):
    return voc(folder, "ok.jpg", name)


def yolo(folder, name="images", **fields):
    furnished(folder / "images")
    (folder / "labels").mkdir()
    (folder / "labels/ok.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    settings = {"path": ".", "train": "images", "val": "images", "names": ["a"]} | fields
    (folder / "data.yaml").write_text(json.dumps(settings))
    return folder / "data.yaml"


def yolo_path(folder, name):
    return yolo(folder, path=name)


def yolo_train(folder, name):
    return yolo(folder, train=[name])


def yolo_list(folder, name):
    path = yolo(folder, train="list.txt")
    (folder / "list.txt").write_bytes(f"images/ok.jpg\n{name}\n".encode("utf-8", "surrogatepass"))
    return path


@pytest.mark.parametrize("make", [coco, voc, image_set, yolo_path, yolo_train, yolo_list])
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_file_name_breaks_what_reads_labels(tmp_path, make, name):
    path, broken = make(tmp_path / "set", name), 0
    uses = (
        lambda: [sample.boxes for sample in read_labels(path)],
        lambda: read_labels(path, split="train"),
        lambda: splits(path),
        lambda: read_ground_truth(path),
        lambda: write_clean(examine(path), tmp_path / "clean"),
    )
    for use in uses:
        try:
            use()
        except ValueError as error:
            broken += 1
            assert "\n" not in str(error).replace(name, "")
    assert broken < len(uses) or make in (yolo_path, yolo_train)
    assert {each.name for each in tmp_path.iterdir()} <= {"set", "clean"}


def test_an_image_set_with_an_impossible_file_name_reports_it(tmp_path):
    data = read_labels(image_set(tmp_path / "set", "x" * 300), split="train")
    assert len(data) == 1 and data.skips == 1 and "no such file" in data.skipped[0].reason


def test_images_with_the_longest_names_are_copied_to_one_folder(tmp_path):
    name = "x" * 251 + ".png"
    for color, split in enumerate(("train", "other")):
        (tmp_path / "set" / "images" / split).mkdir(parents=True)
        (tmp_path / "set" / "labels" / split).mkdir(parents=True)
        Image.new("RGB", (40, 40), (color, 0, 0)).save(tmp_path / "set" / "images" / split / name)
        (tmp_path / "set" / "labels" / split / name).with_suffix(".txt").write_text("0 0.5 0.5 0.5 0.5\n")
    (tmp_path / "set" / "data.yaml").write_text('{"path": ".", "train": "images", "names": ["a"]}')
    cleaned = write_clean(examine(tmp_path / "set"), tmp_path / "clean")
    assert cleaned.images == 2
    assert len(list((tmp_path / "clean" / "images" / "train").iterdir())) == 2
