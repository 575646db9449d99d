"""What is known and not read is named, with the way out."""

import json
import re

import pytest

from labeled_sets import BOXES, SOUND, line, write_image
from paretodet.labels.read import find_format, format_of, read_labels, splits


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


def via_table(folder):
    (folder / "via.csv").write_text(
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
        'a.jpg,1,"{}",1,0,"{""name"":""rect"",""x"":1,""y"":2,""width"":3,""height"":4}","{""class"":""dog""}"\n'
    )
    return folder


def via_3(folder):
    region = {"vid": "1", "flg": 0, "z": [], "xy": [2, 1, 2, 3, 4], "av": {"1": "dog"}}
    (folder / "via.json").write_text(json.dumps({"project": {"pname": "set"}, "metadata": {"1_a": region}}))
    return folder / "via.json"


def sloth(folder):
    rect = {"class": "rect", "x": 1.0, "y": 2.0, "width": 3.0, "height": 4.0}
    image = {"class": "image", "filename": "a.jpg", "annotations": [rect]}
    (folder / "labels.json").write_text(json.dumps([image], indent=2))
    return folder


def dota(folder):
    (folder / "labelTxt").mkdir()
    lines = "imagesource:GoogleEarth\ngsd:0.1\n2753 2408 2861 2385 2888 2468 2805 2502 large-vehicle 0\n"
    (folder / "labelTxt/P0001.txt").write_text(lines)
    return folder


def supervisely(folder):
    points = {"exterior": [[1, 2], [4, 6]], "interior": []}
    (folder / "ann").mkdir()
    (folder / "ann/a.jpg.json").write_text(
        json.dumps({"size": {"height": 9, "width": 9}, "objects": [{"classTitle": "dog", "points": points}]})
    )
    return folder


def supervisely_project(folder):
    classes = [{"title": "dog", "shape": "rectangle", "color": "#FF0000"}]
    (folder / "meta.json").write_text(json.dumps({"classes": classes, "tags": [], "projectType": "images"}))
    (folder / "one").mkdir()
    supervisely(folder / "one")
    return folder


def kitti(folder):
    (folder / "label_2").mkdir()
    return folder


CASES = {
    via: ("VGG Image Annotator", "COCO format"),
    via_table: (".csv of the VGG Image Annotator", "Import Annotations (from csv)"),
    via_3: ("VGG Image Annotator 3", "image,xmin,ymin,xmax,ymax,class"),
    sloth: ("Sloth", "x + width, y + height"),
    dota: ("DOTA", "upright boxes around them"),
    supervisely: ("a project of Supervisely", "Export to COCO"),
    supervisely_project: ("a project of Supervisely", "Export to Pascal VOC"),
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


def texts(folder, *places, names="classes.txt"):
    """An image and its text in each place, `images` in a path stands for their two folders."""
    for number, place in enumerate(places):
        write_image(folder / place / f"{number}.jpg", number)
        beside = folder / place.replace("images", "labels") / f"{number}.txt"
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(line(*BOXES[0]))
    (folder / names).write_text("dog\ncat\n")
    return folder


def roboflow(folder):
    texts(folder, "train", "valid", "test", names="train/_darknet.labels")
    (folder / "README.dataset.txt").write_text("Birds\n")
    return folder


def subsets_of_cvat(folder):
    """Its lists have the path of another folder."""
    texts(folder, "obj_train_data", "obj_Validation_data", names="obj.names")
    for number, split in enumerate(("train", "Validation")):
        (folder / f"{split}.txt").write_text(f"data/obj_{split}_data/{number}.jpg\n")
    (folder / "obj.data").write_text("classes = 2\ntrain = data/train.txt\nnames = data/obj.names\n")
    return folder


def lists(folder):
    texts(folder, "pool", "pool", "pool")
    for number, split in enumerate(("train", "val", "test")):
        (folder / f"{split}.txt").write_text(f"pool/{number}.jpg\n")
    return folder


SPLIT_TEXTS = {
    roboflow: "`train: train`, `val: valid`, `test: test` and",
    subsets_of_cvat: "`train: obj_train_data`, `val: obj_Validation_data` and",
    lists: "`train: train.txt`, `val: val.txt`, `test: test.txt` and",
    lambda folder: texts(folder, "images/train", "images/val"): "`train: images/train`, `val: images/val` and",
    lambda folder: texts(folder, "train/images", "test/images"): "`train: train`, `test: test` and",
    lambda folder: texts(folder, "train", "val", "valid"): '`train: train`, `val: ["val", "valid"]` and',
    lambda folder: texts(folder, "images/a", "images/b"): "`train: images` and",
}


@pytest.mark.parametrize("make", SPLIT_TEXTS)
def test_the_way_out_of_yolo_s_texts_keeps_the_splits(tmp_path, make):
    folder, lines = make(tmp_path / "set"), SPLIT_TEXTS[make]
    with pytest.raises(ValueError) as refused:
        format_of(folder)
    message = str(refused.value)
    assert refused.value.id == "labels-format" and lines in message and '["dog", "cat"]' in message
    (folder / "data.yaml").write_text("\n".join(re.findall("`([^`]*)`", message)))
    images = [sample.image for sample in read_labels(folder)]
    assert len(splits(folder)) == lines.count(": ") and len(images) == len(set(images)) == len([*folder.rglob("*.jpg")])
    assert sum(len(read_labels(folder, split=split)) for split in splits(folder)) == len(images)
