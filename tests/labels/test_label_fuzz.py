"""Random, cut, lengthened and bit-flipped label files of every format: one error naming the file, or valid labels."""

import json

import numpy as np
import pytest
from hypothesis import strategies as st
from PIL import Image

from fuzzing import damaged, fuzz
from paretodet.labels.read import read_labels
from paretodet.loader.shapes import Shapes

SCALAR = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8))
ANYTHING = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner))
THING = (
    "<object><name>dog</name><difficult>1</difficult>"
    "<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>30</xmax><ymax>33</ymax></bndbox></object>"
)


def coco(folder):
    return Shapes(count=2, height=32, width=32).write(folder)


def voc(folder):
    (folder / "Annotations").mkdir(parents=True)
    path = folder / "Annotations" / "a.xml"
    path.write_text(f"<annotation><size><width>40</width><height>40</height></size>{THING}{THING}</annotation>")
    return path


def yolo(folder):
    (folder / "images").mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "images" / "a.png")
    path = folder / "data.yaml"
    path.write_text("path: .\ntrain: images\nval: [images]\nnc: 2\nnames:\n  0: dog\n  1: cat\n")
    return path


def yolo_lines(folder):
    yolo(folder)
    (folder / "labels").mkdir()
    path = folder / "labels" / "a.txt"
    path.write_text("0 0.5 0.5 0.25 0.25\n1 0.1 0.1 0.9 0.1 0.5 0.9\n")
    return path


def openimages(folder):
    folder.mkdir(parents=True)
    Image.new("RGB", (9, 9)).save(folder / "a.png")
    (folder / "class-descriptions-boxable.csv").write_text("/m/1,dog\n/m/2,cat\n")
    path = folder / "val-annotations-bbox.csv"
    path.write_text("ImageID,LabelName,XMin,XMax,YMin,YMax,IsGroupOf\na,/m/1,0,.5,0,1,0\na,/m/2,.25,.75,.5,1,1\n")
    return path


def openimages_names(folder):
    return openimages(folder).with_name("class-descriptions-boxable.csv")


def survives(folder):
    try:
        found = read_labels(folder)
    except ValueError as error:
        assert str(folder) in str(error)
        return
    assert found.skips >= len(found.skipped)
    for sample in found:
        height, width = sample.size
        assert np.isfinite(sample.boxes).all()
        assert (sample.boxes[:, :2] < sample.boxes[:, 2:]).all()
        assert ((sample.boxes >= 0) & (sample.boxes <= [width, height, width, height])).all()
        assert ((sample.labels >= 0) & (sample.labels < len(found.labels))).all()
        if sample.masks and height * width < 10**6:
            assert all(mask is None or mask.decode(sample.size).shape == sample.size for mask in sample.masks)


def files_read(folder, make, seconds):
    """How many files were read in this time."""
    path = make(folder)
    whole = path.read_bytes()
    contents = damaged(whole)
    if path.suffix == ".json":
        contents = st.one_of(contents, st.builds(_replaced, st.just(whole), st.integers(0, 2**32), ANYTHING))

    def read(content):
        path.write_bytes(content)
        survives(folder)

    return len(fuzz(contents, read, seconds))


def _replaced(whole, place, value):
    truth = json.loads(whole)
    _replace(truth, place, value)
    return json.dumps(truth).encode()


def _replace(node, place, value):
    """One value somewhere inside becomes another."""
    while True:
        keys = list(node) if isinstance(node, dict) else range(len(node))
        place, number = divmod(place, len(keys))
        key = keys[number]
        if not isinstance(node[key], dict | list) or not node[key] or place % 3 == 0:
            node[key] = value
            return
        node = node[key]


@pytest.mark.parametrize("make", [coco, voc, yolo, yolo_lines, openimages, openimages_names])
def test_no_label_file_breaks_its_reader(tmp_path, make):
    assert files_read(tmp_path / "set", make, 1.2) > 20


@pytest.mark.full
@pytest.mark.parametrize("make", [coco, voc, yolo, yolo_lines, openimages, openimages_names])
def test_no_label_file_breaks_its_reader_for_a_minute(tmp_path, make):
    assert files_read(tmp_path / "set", make, 60) > 1000
