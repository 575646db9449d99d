"""A byte-order mark in front of UTF-8, which some editors write, changes no label."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paretodet.evaluation.files import read_results
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.labels.class_names import read_class_names
from paretodet.labels.read import read_labels

MARK = b"\xef\xbb\xbf"
XML = (
    "<annotation><size><width>9</width><height>8</height></size><object><name>dog</name><bndbox><xmin>1</xmin>"
    "<ymin>1</ymin><xmax>3</xmax><ymax>3</ymax></bndbox></object></annotation>"
)
COCO = {
    "images": [{"id": 4, "file_name": "a.png", "width": 9, "height": 8}],
    "categories": [{"id": 3, "name": "dog"}],
    "annotations": [{"id": 1, "image_id": 4, "category_id": 3, "bbox": [1, 2, 3, 4], "area": 12, "iscrowd": 0}],
}
SETS = {
    "coco": {"instances.json": json.dumps(COCO)},
    "voc": {"Annotations/a.xml": XML, "Annotations/b.xml": XML, "ImageSets/Main/val.txt": "a\nb\n"},
    "yolo": {
        "data.yaml": "val: val.txt\nnames: [cat, dog]\n",
        "val.txt": "./images/a.png\n",
        "labels/a.txt": "1 0.5 0.5 0.5 0.5\n",
    },
    "openimages": {
        "val-annotations-bbox.csv": "ImageID,LabelName,XMin,XMax,YMin,YMax\na,/m/1,0.25,0.75,0.5,1\n",
        "class-descriptions-boxable.csv": "/m/1,dog\n",
    },
}


def lay(folder: Path, files: dict[str, str], mark: bytes) -> Path:
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (9, 8)).save(folder / "images" / "a.png")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(mark + text.encode())
    return folder


@pytest.mark.parametrize("form", SETS)
def test_labels_are_read_as_without(tmp_path: Path, form: str) -> None:
    split = None if form == "coco" else "val"
    plain, marked = (
        read_labels(lay(tmp_path / form / name, SETS[form], mark), split=split)
        for name, mark in (("plain", b""), ("marked", MARK))
    )
    assert marked.skips == plain.skips == 0 and marked.labels == plain.labels and len(marked) == len(plain) > 0
    for one, other in zip(plain, marked, strict=True):
        assert one.id == other.id and len(one.boxes) == 1
        assert np.array_equal(one.boxes, other.boxes) and np.array_equal(one.labels, other.labels)


def test_what_is_scored_is_read_as_without(tmp_path: Path) -> None:
    lay(tmp_path / "x", {"labels.json": json.dumps(COCO), "results.json": "[]"}, MARK)
    assert read_ground_truth(tmp_path / "x" / "labels.json").labels.written.tolist() == [[1, 2, 3, 4]]
    assert read_results(tmp_path / "x" / "results.json") == []


def test_the_first_class_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_bytes(MARK + b"dog\ncat\n")
    assert read_class_names(tmp_path / "names.txt") == ("dog", "cat")
    (tmp_path / "names.txt").write_bytes("dog\ncat\n".encode("utf-16"))
    with pytest.raises(ValueError, match=r"classes: .*names\.txt cannot be read"):
        read_class_names(tmp_path / "names.txt")
