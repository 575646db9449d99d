"""For every check a damage to a set without faults, the findings, and their place."""

import json
import shutil

import numpy as np
from PIL import Image

from labeled_sets import (
    BOXES,
    NAMES,
    SIZE,
    SPLITS,
    line,
    line_of,
    numbered,
    thing,
    truth_of,
    write_image,
    write_lines,
    write_truth,
    write_xml,
)
from paretodet.labels.builder import KEPT_SKIPS
from paretodet.labels.lint import parts
from paretodet.labels.model import SkipKind, Skipped

CASES = []  # (check, format, damage, how its first place begins, from the set's folder)
OBJECTS = "".join(thing(NAMES[label], box) for label, box in BOXES)
LINES = [line(label, box) for label, box in BOXES]


def damages(form, *checks, at):
    """Everything that the damage makes to be found; `at` is where the first check finds it."""

    def keep(damage):
        CASES.append((checks, form, damage, at))
        return damage

    return keep


def first(truth, **fields):
    """Changes the first annotation."""
    truth["annotations"][0] |= fields


def annotation(check, *more, at="annotations[0]", **fields):
    def damage(folder):
        truth = truth_of(folder)
        first(truth, **fields)
        write_truth(folder, truth)

    damages("coco", check, *more, at=f"annotations/instances_train.json {at}")(damage)


annotation("box-without-image", image_id=99)
annotation("category-unknown", category_id=7)
annotation("box-not-finite", bbox=[float("nan"), 1, 2, 3])
annotation("box-swapped", bbox=[20, 20, -16, -16])
annotation("box-empty", bbox=[20, 20, 0, 16])
annotation("box-outside", bbox=[100, 100, 9, 9])
annotation("box-malformed", bbox=[1, 2, 3])
annotation("mask-malformed", "mask-missing", segmentation={"size": [48, 64], "counts": "not a mask"})
annotation("mask-of-another-size", "mask-missing", segmentation={"size": [1, 2], "counts": [2]})
annotation("field-malformed", category_id="dog")
annotation("box-cut", bbox=[-9, 4, 29, 16], area=16 * 20, segmentation=[[0, 4, 20, 4, 20, 20, 0, 20]])
annotation("box-tiny", bbox=[4, 4, 1.5, 1.5], area=2, segmentation=[[4, 4, 5.5, 4, 5.5, 5.5, 4, 5.5]])
annotation("box-whole", bbox=[0, 0, 64, 48], area=64 * 48, segmentation=[[0, 0, 64, 0, 64, 48, 0, 48]])
annotation("box-thin", bbox=[4, 1, 59, 2.5], area=147, segmentation=[[4, 1, 63, 1, 63, 3.5, 4, 3.5]])
annotation("annotation-id-repeated", at="annotations[1]", id=2)
annotation("area-wrong", area=9000)
annotation("mask-beside-box", segmentation=[[4, 4, 60, 4, 60, 20]])
annotation("crowd-of-polygons", iscrowd=1)
annotation("ignore-unread", ignore=1)
annotation("mask-missing", segmentation=[])


@damages("coco", "boxes-misread", at="annotations/instances_train.json")
def corners_for_sides(folder):
    truth = truth_of(folder)
    for each in truth["annotations"]:
        x, y, w, h = each["bbox"]
        each["bbox"] = [x, y, x + w, y + h]
    write_truth(folder, truth)


@damages("coco", "box-repeated", at="annotations/instances_train.json annotations[24]")
def a_box_twice(folder):
    truth = truth_of(folder)
    truth["annotations"].append(truth["annotations"][0] | {"id": 1000})
    write_truth(folder, truth)


@damages("coco", "box-of-two-classes", at="annotations/instances_train.json annotations[24]")
def a_box_of_two(folder):
    truth = truth_of(folder)
    truth["annotations"].append(truth["annotations"][0] | {"id": 1000, "category_id": 1})
    write_truth(folder, truth)


@damages("coco", "image-id-repeated", "image-without-labels", at="annotations/instances_train.json images[6]")
def an_id_twice(folder):
    truth = truth_of(folder)
    write_image(folder / "images/train/new.jpg", 77)
    truth["images"].append(truth["images"][0] | {"file_name": "new.jpg"})
    write_truth(folder, truth)


@damages("coco", "name-unsafe", at="annotations/instances_train.json images[6]")
def a_name_that_leaves(folder):
    truth = truth_of(folder)
    truth["images"].append(truth["images"][0] | {"id": 9, "file_name": "../../secret.jpg"})
    write_truth(folder, truth)


@damages("coco", "image-size-malformed", at="annotations/instances_train.json images[6]")
def a_size_that_is_none(folder):
    truth = truth_of(folder)
    truth["images"].append({"id": 9, "file_name": "new.jpg", "height": None, "width": 64})
    write_truth(folder, truth)


@damages("coco", "entry-unusable", at="annotations/instances_train.json images[6]")
def a_reason_without_a_group(folder):
    whole = parts._part  # no reader gives such a reason today

    def odd(path, form, split, images):
        part = whole(path, form, split, images)
        if split == "train":
            kept = (Skipped(folder / "annotations/instances_train.json", "images[6]", "something new"),)
            object.__setattr__(part.data, "skipped", kept)
            object.__setattr__(part.data, "skip_counts", {SkipKind.IMAGE: 1})
        return part

    return parts, "_part", odd


@damages("coco", "more-left-out", "box-empty", at="annotations/instances_train.json")
def more_than_readers_keep(folder):
    truth = truth_of(folder)
    empty = truth["annotations"][0] | {"bbox": [1, 1, 0, 0]}
    truth["annotations"] += [empty | {"id": 1000 + each} for each in range(KEPT_SKIPS + 1)]
    write_truth(folder, truth)


@damages("coco", "image-listed-twice", "image-without-boxes", at="images/train/0.jpg")
def an_image_twice(folder):
    truth = truth_of(folder)
    truth["images"].append(truth["images"][0] | {"id": 9})
    write_truth(folder, truth)


@damages("coco", "classes-differ", "class-missing-in-split", at="annotations/instances_val.json")
def other_classes(folder):
    truth = truth_of(folder, "val")
    truth["categories"] = [{"id": 0, "name": "dog"}, {"id": 1, "name": "cow"}, {"id": 2, "name": "cat"}]
    for each in truth["annotations"]:
        each["category_id"] *= 2
    write_truth(folder, truth, "val")


@damages("coco", "class-names-alike", "class-unused", at="annotations/instances_train.json")
def names_alike(folder):
    for split in ("train", "val"):
        truth = truth_of(folder, split)
        truth["categories"].append({"id": 2, "name": "Dog "})
        write_truth(folder, truth, split)


@damages("coco", "category-ids", at="annotations/instances_train.json")
def sparse_ids(folder):
    for split in ("train", "val"):
        truth = truth_of(folder, split)
        truth["categories"][1]["id"] = 90
        for each in truth["annotations"]:
            each["category_id"] *= 90
        write_truth(folder, truth, split)


@damages("coco", "class-unused", at="annotations/instances_train.json")
def a_class_more(folder):
    for split in ("train", "val"):
        truth = truth_of(folder, split)
        truth["categories"].append({"id": 2, "name": "cow"})
        write_truth(folder, truth, split)


@damages("coco", "class-imbalance", "class-few", "class-missing-in-split", "image-crowded", at="annotations/instances_")
def hardly_any_cats(folder):
    truth = truth_of(folder)
    for split in ("train", "val"):
        part = truth_of(folder, split)
        part["annotations"] = [each for each in part["annotations"] if each["category_id"] == 0]
        write_truth(folder, part, split)
    truth["annotations"] = [each for each in truth["annotations"] if each["category_id"] == 0]
    for number in range(200):
        x, y = 2.5 * (number % 20), 2.0 * (number // 20)
        box = {"bbox": [x, y, 5, 4], "area": 20, "segmentation": [[x, y, x + 5, y, x + 5, y + 4, x, y + 4]]}
        truth["annotations"].append(truth["annotations"][0] | box | {"id": 1000 + number})
        cat = {"bbox": [40, 30, 9, 9], "area": 81, "segmentation": [[40, 30, 49, 30, 49, 39, 40, 39]]}
    truth["annotations"].append(truth["annotations"][0] | cat | {"id": 9999, "image_id": 3, "category_id": 1})
    write_truth(folder, truth)


@damages("voc", "set-names-missing", at="Annotations/nobody.xml")
def a_set_names_nobody(folder):
    line_of(folder, "train", "nobody")


@damages("voc", "set-line-repeated", at="ImageSets/Main/val.txt line 7")
def a_line_twice(folder):
    line_of(folder, "val", "val3")


@damages("voc", "xml-malformed", at="Annotations/train0.xml")
def no_xml(folder):
    (folder / "Annotations" / "train0.xml").write_text("<annotation>")


@damages("voc", "xml-names-another-file", at="Annotations/train0.xml <filename>")
def another_name(folder):
    write_xml(folder, "train0", OBJECTS, filename="C:\\pictures\\holiday.jpg")


@damages("voc", "size-mismatch", at="JPEGImages/train0.jpg")
def another_size(folder):
    write_xml(folder, "train0", OBJECTS, size=(48, 65))


@damages("voc", "exif-unturned", at="JPEGImages/train0.jpg")
def turned_after_labelling(folder):
    exif = Image.Exif()
    exif[0x0112] = 6
    write_image(folder / "JPEGImages/train0.jpg", 3, exif=exif)


@damages("voc", "exif-turned", at="JPEGImages/train0.jpg")
def upside_down(folder):
    exif = Image.Exif()
    exif[0x0112] = 3
    write_image(folder / "JPEGImages/train0.jpg", 3, exif=exif)


@damages("voc", "image-missing", "name-differs-by-case", at="JPEGImages/train1.jpg")
def another_case(folder):
    (folder / "JPEGImages/train1.jpg").rename(folder / "JPEGImages/TRAIN1.jpg")
    write_xml(folder, "TRAIN1", OBJECTS)
    line_of(folder, "train", "TRAIN1")


@damages("voc", "image-without-labels", at="JPEGImages/new.jpg")
def nobody_labeled_it(folder):
    write_image(folder / "JPEGImages/new.jpg", 77)


@damages("voc", "image-suffix", at="JPEGImages/train0.jpg")
def a_png_called_jpg(folder):
    write_image(folder / "JPEGImages/train0.jpg", 3, format="PNG")


@damages("voc", "image-mode", at="JPEGImages/train0.jpg")
def four_inks(folder):
    write_image(folder / "JPEGImages/train0.jpg", 3, mode="CMYK")


@damages("voc", "image-mode", "image-suffix", at="JPEGImages/train0.jpg")
def sixteen_bits(folder):
    Image.new("I;16", SIZE[::-1]).save(folder / "JPEGImages/train0.jpg", format="PNG")


@damages("voc", "image-dark", "image-mode", "image-suffix", at="JPEGImages/train0.jpg")
def twelve_bits(folder):
    values = np.random.default_rng(0).integers(0, 4096, SIZE).astype(np.uint16)
    Image.fromarray(values).save(folder / "JPEGImages/train0.jpg", format="PNG")


@damages("voc", "image-dim", "image-mode", "image-suffix", at="JPEGImages/train0.jpg")
def fourteen_bits(folder):
    values = np.random.default_rng(0).integers(0, 16000, SIZE).astype(np.uint16)
    Image.fromarray(values).save(folder / "JPEGImages/train0.jpg", format="PNG")


@damages("voc", "name-strange", at="JPEGImages/train?.jpg")
def a_question(folder):
    (folder / "JPEGImages/train0.jpg").rename(folder / "JPEGImages/train?.jpg")
    (folder / "Annotations/train0.xml").unlink()
    write_xml(folder, "train?", OBJECTS)
    sets = folder / "ImageSets/Main/train.txt"
    sets.write_text(sets.read_text().replace("train0", "train?"))


@damages("yolo", "image-unreadable", at="images/train/0.jpg")
def a_truncated_image(folder):
    path = folder / "images/train/0.jpg"
    path.write_bytes(path.read_bytes()[:-600])


@damages("coco", "image-unreadable", at="images/train/0.jpg")
def no_image_file(folder):
    (folder / "images/train/0.jpg").write_text("<html>404</html>")


@damages("coco", "image-missing", at="images/train/1.jpg")
def no_file(folder):
    (folder / "images/train/1.jpg").unlink()


@damages("yolo", "image-missing", at="images/train/nobody.jpg")
def a_list_names_nobody(folder):
    files = [f"images/train/{each}.jpg\n" for each in (*range(6), "nobody")]
    (folder / "list.txt").write_text("".join(files))
    settings = folder / "data.yaml"
    settings.write_text(settings.read_text().replace("images/train", "list.txt"))


@damages("yolo", "image-extreme", at="images/train/0.jpg")
def a_long_image(folder):
    write_image(folder / "images/train/0.jpg", 3, size=(40, 400))


@damages("yolo", "image-copied", at="images/train/copy.jpg")
def a_copy(folder, split="train"):
    shutil.copy(folder / "images/train/0.jpg", folder / f"images/{split}/copy.jpg")
    write_lines(folder, split, "copy", "\n".join(LINES))


@damages("yolo", "image-copied-to-another-split", at="images/val/copy.jpg")
def the_same_pixels_in_another_split(folder):
    a_copy(folder, "val")
    path = folder / "images/val/copy.jpg"
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xfe\x00\x07named" + content[2:])  # a comment, as an exporter writes one


@damages("yolo", "image-copied-to-another-split", at="images/val/copy.jpg")
def a_copy_in_another_split(folder):
    a_copy(folder, "val")


@damages("yolo", "image-in-two-splits", at="images/train/0.jpg")
def one_folder_for_both(folder):
    settings = folder / "data.yaml"
    settings.write_text(settings.read_text().replace("images/val", "images/train"))


@damages("yolo", "line-malformed", at="labels/train/0.txt line 1")
def with_confidence(folder):
    write_lines(folder, "train", 0, "\n".join([f"{LINES[0]} 0.9", *LINES[1:]]))


@damages("yolo", "line-not-normalized", at="labels/train/0.txt line 4")
def pixels(folder):
    write_lines(folder, "train", 0, "\n".join([*LINES[:3], "1 43 34 26 20"]))


@damages("yolo", "category-unknown", at="labels/train/0.txt line 2")
def counted_from_one(folder):
    write_lines(folder, "train", 0, "\n".join([LINES[0], LINES[1].replace("0", "2", 1), *LINES[2:]]))


@damages("yolo", "label-file-unreadable", at="images/train/0.jpg")
def not_utf8(folder):
    (folder / "labels/train/0.txt").write_bytes(b"0 0.5 0.5 0.1 0.1\xff\xfe")


@damages("yolo", "split-of-another-name", at="data.yaml dev")
def a_key_of_another_name(folder):
    write_image(folder / "images/dev/0.jpg", 77)
    write_lines(folder, "dev", 0, "\n".join(LINES))
    with (folder / "data.yaml").open("a") as file:
        file.write("dev: images/dev\n")


@damages("yolo", "boxes-oriented", at="data.yaml train")
def turned_boxes(folder):
    middles = ((x1, y1, x2, y2, (x1 + x2) / 2, (y1 + y2) / 2) for _, (x1, y1, x2, y2) in BOXES)
    rings = ([x, y1, x2, y, x, y2, x1, y] for x1, y1, x2, y2, x, y in middles)
    shares = [" ".join(str(side / SIZE[1 - n % 2]) for n, side in enumerate(ring)) for ring in rings]
    lines = [f"{label} {share}" for (label, _), share in zip(BOXES, shares, strict=True)]
    for split, number, _ in numbered():
        write_lines(folder, split, number, "\n".join(lines))


@damages("yolo", "label-without-image", at="labels/train/orphan.txt")
def an_orphan(folder):
    write_lines(folder, "train", "orphan", LINES[0])
    write_lines(folder, "train", "classes", "dog\ncat")


@damages("yolo", "image-without-boxes", at="images/train/0.jpg")
def nothing_to_see(folder):
    (folder / "labels/train/0.txt").unlink()


@damages("yolo", "split-without-boxes", "image-without-boxes", "class-missing-in-split", at="data.yaml")
def labels_elsewhere(folder):
    (folder / "labels/val").rename(folder / "elsewhere")


@damages("labelme", "shape-unread", at="train/0.json object[4]")
def a_point_of_labelme(folder):
    path = folder / "train/0.json"
    document = json.loads(path.read_text())
    document["shapes"].append({"label": "dog", "shape_type": "point", "points": [[1, 2]]})
    path.write_text(json.dumps(document))


@damages("labelstudio", "shape-unread", at="train.json region[4]")
def a_keypoint_of_label_studio(folder):
    path = folder / "train.json"
    tasks = json.loads(path.read_text())
    tasks[0]["annotations"][0]["result"].append(
        {"type": "keypointlabels", "value": {"x": 1, "keypointlabels": ["dog"]}}
    )
    path.write_text(json.dumps(tasks))


@damages("datumaro", "category-unknown", at="annotations/train.json object[0]")
def a_class_that_datumaro_does_not_name(folder):
    path = folder / "annotations/train.json"
    document = json.loads(path.read_text())
    document["items"][0]["annotations"][0]["label_id"] = 7
    path.write_text(json.dumps(document))


@damages("fiftyone", "box-malformed", at="samples.json detection[0]")
def a_box_of_three_numbers(folder):
    path = folder / "samples.json"
    document = json.loads(path.read_text())
    document["samples"][0]["ground_truth"]["detections"][0]["bounding_box"].pop()
    path.write_text(json.dumps(document))


@damages("csv", "line-malformed", at="train_labels.csv line 26")
def a_line_that_is_too_short(folder):
    with (folder / "train_labels.csv").open("a") as file:
        file.write("train0.jpg,64,48\n")


@damages("csv", "classes-unnamed", at="train_labels.csv")
def a_column_of_another_name(folder):
    for split in SPLITS:
        path = folder / f"{split}_labels.csv"
        path.write_text(path.read_text().replace("class", "kind", 1))


@damages("lvis", "absent-class-labeled", at="annotations/instances_train.json annotations[2]")
def an_absent_class_that_is_there(folder):
    truth = truth_of(folder)
    truth["images"][1]["neg_category_ids"] = [0]
    truth["annotations"] = [each for each in truth["annotations"] if each["image_id"] != 2 or each["bbox"][0] < 10]
    write_truth(folder, truth)


@damages("cvat", "shape-unread", at="annotations.xml train/0.jpg object[4]")
def points(folder):
    path = folder / "annotations.xml"
    path.write_text(path.read_text().replace("</image>", '<points label="dog" points="1,2"/></image>', 1))


@damages("openimages", "image-missing", at="train-annotations-bbox.csv line 2")
def an_image_that_was_not_downloaded(folder):
    (folder / "train/train0.jpg").unlink()


@damages("openimages", "line-not-normalized", at="train-annotations-bbox.csv line 26")
def corners_in_pixels(folder):
    with (folder / "train-annotations-bbox.csv").open("a") as file:
        file.write("train0,xclick,/m/01yrx,1,4,20,4,20,0,0,0,0,0\n")


@damages("yolo", "split-missing", at="data.yaml minival")
def a_split_that_is_not_there(folder):
    with (folder / "data.yaml").open("a") as file:
        file.write("minival: images/minvial\n")
