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


def segmentation(folder):
    for number in range(2):
        write_image(folder / f"images/{number}.jpg", number)
        write_image(folder / f"masks/{number}.png", number)
    return folder


def segmentation_with_suffixes(folder):
    write_image(folder / "a.jpg", 0)
    write_image(folder / "SegmentationClass/a_mask.png", 1)
    return folder


def classification_of_masks(folder):
    for number, name in enumerate(("with_mask", "without_mask", "face")):
        write_image(folder / name / f"{number}.png", number)
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


def kitti_below(folder):
    (folder / "training/labels").mkdir(parents=True)
    (folder / "training/labels/000000.txt").write_text(f"Car 0.00 0 -1.57 {'599.41 ' * 11}\n")
    return folder


def wider(folder):
    (folder / "label.txt").write_text("0--Parade/a.jpg\n2\n449 330 122 149 0 0 0 0 0 0\n1 2 3 4 0 0 0 0 0 0\n")
    return folder


def visdrone(folder):
    (folder / "annotations").mkdir()
    (folder / "annotations/a.txt").write_text("684,8,273,116,0,0,0,0\n406,119,265,70,0,0,0,0,\n")
    return folder


def mot(folder):
    (folder / "gt").mkdir()
    (folder / "gt/gt.txt").write_text("1,1,912,484,97,109,0,7,1\n")
    return folder


def json_lines(folder):
    (folder / "train.odgt").write_text('{"ID": "a", "gtboxes": []}\n')
    return folder


def one_file_of_json_lines(folder):
    write_image(folder / "a.jpg", 1)
    (folder / "metadata.jsonl").write_text('{"file_name": "a.jpg", "objects": {"bbox": [[1, 2, 3, 4]]}}\n')
    return folder / "metadata.jsonl"


def nuimages(folder):
    (folder / "v1.0-mini").mkdir()
    (folder / "v1.0-mini/object_ann.json").write_text(json.dumps([{"token": "1", "bbox": [1, 2, 3, 4]}]))
    return folder


def archive(folder):
    (folder / "set.zip").write_bytes(b"PK")
    return folder / "set.zip"


def pictures(folder):
    for number, split in enumerate(("train", "val")):
        write_image(folder / split / f"{number}.jpg", number)
    return folder


def two_yamls(folder):
    for name in ("a", "b"):
        (yolo(folder) / f"{name}.yaml").write_text("train: images\nnames: [dog, cat]\n")
    return folder


def texts_of_a_set(folder):
    return SOUND["yolo"](folder) / "labels"


def darwin(folder):
    """Darwin 2.0, as `darwin dataset pull` lays it out."""
    box = {"bounding_box": {"h": 4, "w": 3, "x": 1, "y": 2}, "id": "a", "name": "dog", "slot_names": ["0"]}
    slot = {"slot_name": "0", "type": "image", "width": 64, "height": 48}
    document = {"version": "2.0", "item": {"name": "a.jpg", "path": "/", "slots": [slot]}, "annotations": [box]}
    write_image(folder / "images/a.jpg", 1)
    (folder / "releases/latest/annotations").mkdir(parents=True)
    (folder / "releases/latest/annotations/a.json").write_text(json.dumps(document))
    return folder


def darwin_1(folder):
    image = {"width": 64, "height": 48, "original_filename": "a.jpg", "filename": "a.jpg", "url": "https://x"}
    box = {"bounding_box": {"h": 4, "w": 3, "x": 1, "y": 2}, "name": "dog"}
    (folder / "a.json").write_text(json.dumps({"dataset": "set", "image": image, "annotations": [box]}))
    return folder / "a.json"


CASES = {
    via: ("VGG Image Annotator", "COCO format"),
    via_table: (".csv of the VGG Image Annotator", "Import Annotations (from csv)"),
    via_3: ("VGG Image Annotator 3", "image,xmin,ymin,xmax,ymax,class"),
    sloth: ("Sloth", "x + width, y + height"),
    dota: ("DOTA", "upright boxes around them"),
    supervisely: ("a project of Supervisely", "Export to COCO"),
    supervisely_project: ("a project of Supervisely", "Export to Pascal VOC"),
    darwin: ("Darwin", "darwin convert coco"),
    darwin_1: ("Darwin", "darwin convert coco"),
    create_ml: ("Create ML", "export"),
    tfrecord: ("TFRecord", "-if tf_detection_api -f coco"),
    yolo: ("YOLO's text files without their .yaml", "data.yaml with the lines `train: images` and `names: ["),
    yolo_with_names: ("YOLO's text", '["dog", "cat"]'),
    classification: ("labels of classification", "box around every object"),
    classification_of_masks: ("labels of classification", "box around every object"),
    segmentation: ("images and masks, which are labels of segmentation", "box around every object"),
    segmentation_with_suffixes: ("labels of segmentation", "as COCO"),
    one_xml: ("one xml file of Pascal VOC", "name the folder"),
    kitti: ("KITTI", "-if kitti"),
    kitti_below: ("KITTI", "-if kitti"),
    wider: ("WIDER FACE", "image,x,y,w,h,class,ignore"),
    visdrone: ("VisDrone", "image,x,y,w,h,class,ignore"),
    mot: ("MOT", "image,x,y,w,h,class,ignore"),
    json_lines: ("JSON lines", "image,x,y,w,h,class,ignore"),
    one_file_of_json_lines: ("JSON lines", "image,x,y,w,h,class,ignore"),
    nuimages: ("nuImages", "nuimage_converter.py"),
    archive: ("an archive", "unpack it"),
    pictures: ("images and no labels", "name the folder"),
    two_yamls: ("several .yaml", "b.yaml"),
    texts_of_a_set: ("texts of a YOLO set", "data.yaml"),
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


@pytest.mark.parametrize("depth", ["set", "archive/set"])
@pytest.mark.parametrize("name", ["yolo", "cvat", "csv", "openimages", "labelstudio", "fiftyone"])
def test_a_set_in_a_folder_below_is_named(tmp_path, name, depth):
    (tmp_path / "out" / depth).parent.mkdir(parents=True, exist_ok=True)
    folder = SOUND[name](tmp_path / "out" / depth)
    with pytest.raises(ValueError, match=f"holds .* in {folder}: name that folder") as refused:
        read_labels(tmp_path / "out")
    assert refused.value.id == "labels-format" and format_of(folder).name == name


def test_the_columns_that_are_advised_are_read(tmp_path):
    write_image(tmp_path / "a.jpg", 1)
    (tmp_path / "a.csv").write_text("image,x,y,w,h,class,ignore\na.jpg,1,2,9,9,dog,0\na.jpg,20,2,9,9,dog,1\n")
    assert read_labels(tmp_path).crowd.tolist() == [False, True]


@pytest.mark.parametrize("place", ["dataset", "sources/one"])
def test_datumaros_sets_are_found_in_folders_below(tmp_path, place):
    (tmp_path / "project" / place).parent.mkdir(parents=True)
    SOUND["datumaro"](tmp_path / "project" / place)
    project = tmp_path / "project"
    assert format_of(project).name == "datumaro" and splits(project) == ("train", "val")
    found = read_labels(project, split="val")
    assert len(found.boxes) == 24 and found[0].image.parent == project / place / "images/val"


def test_several_sets_of_datumaro_are_splits_with_their_folders(tmp_path):
    for name in ("a", "b"):
        SOUND["datumaro"](tmp_path / name)
    assert splits(tmp_path) == ("a/train", "a/val", "b/train", "b/val")
    assert read_labels(tmp_path, split="b/val")[0].image.parent == tmp_path / "b/images/val"


def test_the_list_of_another_tool_is_not_taken_for_that_of_coco(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"filename": "a.jpg", "annotations": [{"label": "dog", "x": 1}]}))
    (tmp_path / "b.json").write_text(json.dumps({"filename": "b.jpg", "annotations": []}))
    with pytest.raises(ValueError, match="none of the known formats") as refused:
        read_labels(tmp_path)
    assert refused.value.id == "labels-format"


@pytest.mark.parametrize("size", [1, 2**17])
def test_cocos_fields_may_be_sorted_by_their_names(tmp_path, size):
    """The first outline may be longer than what is looked at."""
    SOUND["coco"](tmp_path / "set")
    file = tmp_path / "set/annotations/instances_train.json"
    document = json.loads(file.read_text())
    document["annotations"][0] = {"attributes": "x" * size} | document["annotations"][0]
    (tmp_path / "set/annotations/mine.json").write_text(json.dumps(document, sort_keys=True))
    for each in ("train", "val"):
        (tmp_path / f"set/annotations/instances_{each}.json").unlink()
    assert format_of(tmp_path / "set").name == "coco" and len(read_labels(tmp_path / "set").boxes) == 24


@pytest.mark.parametrize("name", ["cvat", "labelme"])
def test_a_set_of_any_names_in_a_folder_below_is_named(tmp_path, name):
    folder = SOUND[name](tmp_path / "set")
    if name == "cvat":
        (folder / "annotations.xml").rename(folder / "task_1.xml")
        with pytest.raises(ValueError, match=f"holds CVAT in {folder}: name that folder"):
            format_of(tmp_path)
        return
    for split in ("train", "val"):
        (folder / split / "labels").mkdir()
        for file in (folder / split).glob("*.json"):
            file.rename(folder / split / "labels" / file.name)
    assert format_of(tmp_path).name == name and splits(tmp_path) == ("train", "val")
