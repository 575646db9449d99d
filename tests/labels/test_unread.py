"""What is known and not read is named, with the way out."""

import json

import pytest

from labeled_sets import BOXES, SOUND, line, write_image
from paretodet.labels.read import find_format, format_of, read_labels


def via(folder):
    region = {"shape_attributes": {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}, "region_attributes": {}}
    (folder / "via.json").write_text(json.dumps({"a.jpg1": {"filename": "a.jpg", "regions": [region]}}))
    return folder / "via.json"


def create_ml(folder):
    box = {"label": "dog", "coordinates": {"x": 1, "y": 2, "width": 3, "height": 4}}
    (folder / "labels.json").write_text(json.dumps([{"image": "a.jpg", "annotations": [box]}]))
    return folder


def tfrecord(folder):
    (folder / "train").mkdir()
    (folder / "train/a.tfrecord").write_bytes(b"\0" * 16)
    return folder


def yolo(folder):
    for number in range(2):
        write_image(folder / f"images/{number}.jpg", number)
        (folder / "labels").mkdir(exist_ok=True)
        (folder / f"labels/{number}.txt").write_text(line(*BOXES[0]))
    return folder


def yolo_with_names(folder):
    (folder / "classes.txt").write_text("dog\ncat\n")
    return yolo(folder)


def classification(folder):
    for number, name in enumerate(("dog", "cat")):
        write_image(folder / name / "0.jpg", number)
    return folder


def one_xml(folder):
    SOUND["voc"](folder / "set")
    return folder / "set/Annotations/train0.xml"


def kitti(folder):
    (folder / "label_2").mkdir()
    return folder


CASES = {
    via: ("VGG Image Annotator", "COCO format"),
    create_ml: ("Create ML", "export"),
    tfrecord: ("TFRecord", "-if tf_detection_api -f coco"),
    yolo: ("YOLO's text files without their .yaml", "data.yaml with the lines `train: images` and `names: ["),
    yolo_with_names: ("YOLO's text", '["dog", "cat"]'),
    classification: ("labels of classification", "box around every object"),
    one_xml: ("one xml file of Pascal VOC", "name the folder"),
    kitti: ("KITTI", "-if kitti"),
}


@pytest.mark.parametrize("make", CASES)
def test_it_is_named_with_the_way_out(tmp_path, make):
    path, (what, way) = make(tmp_path), CASES[make]
    with pytest.raises(ValueError) as refused:
        read_labels(path)
    message = str(refused.value)
    assert message.startswith(f"labels: {path} holds ") and what in message and way in message
    assert refused.value.id == "labels-format"


def test_the_way_out_of_yolo_s_texts_works(tmp_path):
    folder = yolo_with_names(tmp_path)
    with pytest.raises(ValueError) as refused:
        format_of(folder)
    _, train, _, names, *_ = str(refused.value).split("`")
    (folder / "data.yaml").write_text(f"{train}\n{names}\n")
    assert len(read_labels(folder)) == 2 and read_labels(folder).labels == ("dog", "cat")


@pytest.mark.parametrize("name", SOUND)
def test_a_format_that_is_read_is_read(tmp_path, name):
    assert find_format(SOUND[name](tmp_path / "set")).name == name


def test_nothing_is_said_of_what_is_not_known(tmp_path):
    (tmp_path / "a.txt").write_text("hello")
    with pytest.raises(ValueError, match="none of the known formats"):
        read_labels(tmp_path)
