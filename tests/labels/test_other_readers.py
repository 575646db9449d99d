"""Datumaro, FiftyOne and CSV files: their forms, and what is left out."""

import json

import numpy as np
import pytest

from labeled_sets import SIZE, SOUND, datumaro_box, fiftyone_box, write_datumaro, write_image
from paretodet.labels.formats.datumaro import read_datumaro
from paretodet.labels.formats.fiftyone import read_fiftyone
from paretodet.labels.formats.table import find_columns, read_table
from paretodet.labels.read import find_format, format_of, read_labels, splits

HEIGHT, WIDTH = SIZE


def item(folder, *annotations, **more):
    write_image(folder / "images/train/a.jpg", 1)
    write_datumaro(folder, "train", [{"id": "a", "annotations": list(annotations), "image": {"path": "a.jpg"}} | more])
    return read_datumaro(folder / "annotations/train.json")


def part(kind, group=0, label=0, **more):
    return {"id": 1, "type": kind, "label_id": label, "group": group} | more


RING = [4, 8, 20, 8, 20, 30]


def test_datumaros_shapes(tmp_path):
    mask = part("mask", group=2, rle={"size": list(SIZE), "counts": [0, 48, 48 * 63]})
    found = item(
        tmp_path, datumaro_box(0, 1, (1, 2, 9, 9)), part("polygon", points=RING), part("label"),
        part("bbox", group=2, bbox=[0, 0, 5, 6], attributes={"is_crowd": True}), mask,
    )  # fmt: skip
    assert found.boxes.tolist() == [[1, 2, 9, 9], [4, 8, 20, 30], [0, 0, 5, 6]] and found.skips == 0
    assert found.outlined.tolist() == [False, True, True] and found.crowd.tolist() == [False, False, True]
    assert found.classes.tolist() == [1, 0, 0] and found[0].size == SIZE


def test_a_group_of_datumaro_is_one_object_of_one_class(tmp_path):
    found = item(
        tmp_path, part("polygon", 1, points=RING), part("polygon", 1, points=[30, 8, 40, 8, 40, 9]),
        part("polygon", 1, 1, points=RING),
    )  # fmt: skip
    assert found.boxes.tolist() == [[4, 8, 40, 30], [4, 8, 20, 30]]


@pytest.mark.parametrize(
    ("wrong", "id"),
    [
        (part("points", points=[1, 2]), "shape-unread"),
        (part("mask", rle={}), "shape-unread"),
        (part("bbox", bbox=[1, 2, 3]), "box-malformed"),
        (part("bbox", bbox=None), "box-malformed"),
        (part("polygon", points=[1, 2, 3, 4]), "mask-malformed"),
        (part("polygon", points=None), "box-malformed"),
        (part("bbox", label=None, bbox=[1, 2, 3, 4]), "field-malformed"),
        (part("bbox", label=7, bbox=[1, 2, 3, 4]), "category-unknown"),
    ],
)
def test_what_is_no_box_of_datumaro_is_left_out(tmp_path, wrong, id):
    found = item(tmp_path, datumaro_box(0, 1, (1, 2, 9, 9)), wrong)
    assert len(found.boxes) == 1 and [(each.id, each.place) for each in found.skipped] == [(id, "object[1]")]


@pytest.mark.parametrize("categories", [{}, {"label": {}}, {"label": {"labels": [{"name": 3}]}}])
def test_datumaro_without_names_is_refused(tmp_path, categories):
    path = tmp_path / "train.json"
    path.write_text(json.dumps({"categories": categories, "items": []}))
    with pytest.raises(ValueError, match="categories.label.labels"):
        read_datumaro(path)


def sample(*detections, **more):
    return {"filepath": "data/a.jpg", "ground_truth": {"_cls": "Detections", "detections": list(detections)}} | more


def samples(folder, *listed):
    write_image(folder / "data/a.jpg", 1)
    (folder / "samples.json").write_text(json.dumps({"samples": list(listed)}))
    return folder / "samples.json"


def test_fiftyones_fractions(tmp_path):
    found = read_fiftyone(samples(tmp_path, sample(fiftyone_box("dog", (4, 8, 20, 30)))))
    assert np.allclose(found.boxes, [[4, 8, 20, 30]], atol=1e-4) and found[0].size == SIZE
    assert format_of(tmp_path).name == format_of(tmp_path / "samples.json").name == "fiftyone"


def test_labels_by_image_with_numbered_classes(tmp_path):
    write_image(tmp_path / "data/a.jpg", 1)
    box = {"label": 1, "bounding_box": [0.25, 0.5, 0.25, 0.25]}
    (tmp_path / "labels.json").write_text(json.dumps({"classes": ["dog", "cat"], "labels": {"a": [box], "b": None}}))
    found = read_labels(tmp_path)
    assert (found.labels, found.boxes.tolist()) == (("cat",), [[16, 24, 32, 36]]) and found[0].image.name == "a.jpg"


def test_the_field_of_the_labels_is_told_or_refused(tmp_path):
    one = sample(fiftyone_box("dog", (4, 8, 20, 30)))
    predictions = {"_cls": "Detections", "detections": [fiftyone_box("cat", (1, 1, 9, 9))]}
    assert read_fiftyone(samples(tmp_path, one | {"model": predictions})).labels == ("dog",)
    mine = {"filepath": "data/a.jpg", "mine": predictions}
    assert read_fiftyone(samples(tmp_path, mine)).labels == ("cat",)
    with pytest.raises(ValueError, match="has detections in mine, model"):
        read_fiftyone(samples(tmp_path, mine | {"model": predictions}))


def test_a_box_of_fiftyone_in_pixels_is_one_fault(tmp_path):
    rows = [{"label": "dog", "bounding_box": [4, 8, 20, 30]}] * 12
    assert len(read_fiftyone(samples(tmp_path, sample(*rows[:1], fiftyone_box("dog", (4, 8, 20, 30))))).skipped) == 1


def table(folder, text, name="train.csv"):
    folder.mkdir(exist_ok=True)
    for image in ("a", "b"):
        write_image(folder / f"images/{image}.jpg", 1)
    (folder / name).write_text(text)
    return folder / name


PIXELS = [[4, 8, 20, 30]]


@pytest.mark.parametrize(
    "text",
    [
        "filename,width,height,class,xmin,ymin,xmax,ymax\na.jpg,64,48,dog,4,8,20,30",
        "images/a.jpg,4,8,20,30,dog",
        "images/b.jpg,,,,,\nimages/a.jpg,4,8,20,30,dog",
        'image_id,width,height,bbox,label\na,64,48,"[4, 8, 16, 22]",dog',
        "image,x,y,w,h,class\na.jpg,4,8,16,22,dog",
        "image;xmin;ymin;xmax;ymax;label\na.jpg;4;8;20;30;dog",
        "Image Path,X1,Y1,X2,Y2,Class Name\n/home/x/a.jpg,4.0,8.0,20.0,30.0,dog",
        "filename,x_min,y_min,x_max,y_max,label\na.jpg,0.0625,0.1666666667,0.3125,0.625,dog",
        "image_id,x_min,y_min,width,height,class\na.jpg,4,8,16,22,dog",
        "filename,class,left,top,right,bottom,split\na.jpg,dog,4,8,20,30,x",
    ],
)
def test_the_columns_that_are_usual(tmp_path, text):
    path = table(tmp_path / "set", text)
    found = read_labels(path)
    assert format_of(path).name == "csv" and np.allclose(found.boxes, PIXELS, atol=1e-4)
    assert found.labels == ("dog",) and found.skips == 0
    assert [each.image.name for each in found if len(each.boxes)] == ["a.jpg"]


def test_a_table_without_classes_has_one(tmp_path):
    assert read_table(table(tmp_path, 'image_id,width,height,bbox\na,64,48,"[4, 8, 16, 22]"')).labels == ("object",)


@pytest.mark.parametrize("name", ["train_labels.csv", "train-annotations.csv", "train.csv"])
def test_the_name_of_a_table_names_its_split(tmp_path, name):
    table(tmp_path, "image,x,y,w,h,class\na.jpg,4,8,16,22,dog", name)
    table(tmp_path, "image,x,y,w,h,class\nb.jpg,4,8,16,22,dog", name.replace("train", "val"))
    assert splits(tmp_path) == ("train", "val") and read_labels(tmp_path, split="val")[0].image.name == "b.jpg"


@pytest.mark.parametrize(
    ("line", "id"),
    [
        ("a.jpg,4,8,x,22,dog", "box-malformed"),
        ("a.jpg,4,8", "line-malformed"),
        ("a.jpg,4,8,16,22,", "field-malformed"),
        ("a.jpg,4,8,nan,22,dog", "box-malformed"),
        ("a.jpg,4,8,0,22,dog", "box-empty"),
        ("a.jpg,4,,16,22,dog", "box-malformed"),
        ("c.jpg,4,8,16,22,dog", "image-missing"),
    ],
)
def test_a_line_that_cannot_be_used_is_reported(tmp_path, line, id):
    found = read_table(table(tmp_path, f"image,x,y,w,h,class\nb.jpg,4,8,16,22,cat\n{line}\n"))
    assert len(found.boxes) == 1 and [(each.id, each.place) for each in found.skipped] == [(id, "line 3")]


@pytest.mark.parametrize(
    "text", ["", "a,b\n1,2", "filename,class\na.jpg,dog", "x,y,w,h\n1,2,3,4", "a,b,c,d,e,f\n", '"a']
)
def test_other_tables_are_no_labels(tmp_path, text):
    path = table(tmp_path, text)
    assert find_columns(path) is None and find_format(path) is None


def test_results_of_coco_are_no_tasks(tmp_path):
    (tmp_path / "results.json").write_text(
        json.dumps([{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 1}])
    )
    assert format_of(tmp_path / "results.json").name == "coco"
    assert SOUND["coco"](tmp_path / "set") and format_of(tmp_path / "set").name == "coco"


HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def table_of(folder, split, *, name="_annotations.csv", header=HEADER, label="dog"):
    write_image(folder / split / f"{split}.jpg", 1)
    sides = f"{WIDTH},{HEIGHT},{label},4,8,20,30" if header else f"4,8,20,30,{label}"
    (folder / split / name).write_text(f"{header}{split}.jpg,{sides}\n")
    (folder / split / "_classes.csv").write_text(f"{label},0\n")


@pytest.mark.parametrize("header", [HEADER, ""])
@pytest.mark.parametrize("names", [("train", "valid", "test"), ("Train", "Val"), ("train2017", "val2017")])
def test_tables_lie_in_folders_that_are_named_as_splits(tmp_path, names, header):
    for name in names:
        table_of(tmp_path, name, header=header)
    (tmp_path / "README.csv").write_text("hello,1\n")
    assert format_of(tmp_path).name == "csv" and sorted(splits(tmp_path)) == sorted(names)
    for name in names:
        found = read_labels(tmp_path, split=name)
        assert found.boxes.tolist() == PIXELS and found[0].image == tmp_path / name / f"{name}.jpg"


def test_two_tables_of_a_folder_are_two_splits(tmp_path):
    table_of(tmp_path, "train")
    for name in ("dogs_labels.csv", "cats_labels.csv"):
        table_of(tmp_path, "valid", name=name)
    assert splits(tmp_path) == ("train", "valid/cats", "valid/dogs")


def test_tables_in_other_folders_are_none_of_the_set(tmp_path):
    table_of(tmp_path, "runs")
    assert find_format(tmp_path) is None
    table(tmp_path, "image,x,y,w,h,class\na.jpg,4,8,16,22,dog", "val.csv")
    table_of(tmp_path, "train")
    assert splits(tmp_path) == ("val",)


@pytest.mark.parametrize("column", ["class_id", "category_id", "ClassId", "label id", "cls"])
def test_numbers_of_classes_are_classes_in_their_order(tmp_path, column):
    lines = "".join(f"a.jpg,4,8,20,30,{number}\n" for number in (10, 2, 1))
    found = read_table(table(tmp_path, f"image,xmin,ymin,xmax,ymax,{column}\n{lines}"))
    assert found.labels == ("1", "2", "10") and found.classes.tolist() == [2, 1, 0]


@pytest.mark.parametrize(("mark", "value"), [("difficult", "1"), ("Ignore", "true"), ("IsGroupOf", "1.0")])
def test_a_mark_in_a_table_makes_a_crowd(tmp_path, mark, value):
    text = f"image,x,y,w,h,class,{mark}\na.jpg,4,8,16,22,dog,{value}\nb.jpg,4,8,16,22,dog,0\nb.jpg,1,8,9,9,dog,\n"
    assert read_table(table(tmp_path, text)).crowd.tolist() == [True, False, False]


@pytest.mark.parametrize("header", ["image\txmin\tymin\txmax\tymax\tlabel", "image;xmin;ymin;xmax;ymax;label"])
def test_values_are_parted_by_what_the_first_line_has(tmp_path, header):
    mark = header[5]
    path = table(tmp_path / "set", f"{header}\n{mark.join(('a.jpg', '4', '8', '20', '30', 'dog'))}\n")
    assert format_of(path).name == "csv" and read_labels(path).boxes.tolist() == PIXELS


@pytest.mark.parametrize("side", ["4,5", "1,024"])
def test_a_comma_in_a_number_is_named(tmp_path, side):
    text = f"image;xmin;ymin;xmax;ymax;label\na.jpg;{side};8;20;30;dog\nb.jpg;4;8;20;30;dog\n"
    (skipped,) = read_table(table(tmp_path, text)).skipped
    assert skipped.id == "box-malformed" and "no comma" in skipped.reason


@pytest.mark.parametrize("column", ["difficult", "ignore", "IsGroupOf", "iscrowd"])
def test_a_mark_of_fiftyone_makes_a_crowd(tmp_path, column):
    box = fiftyone_box("dog", (4, 8, 20, 30))
    nested = {"attributes": {column: {"_cls": "BooleanAttribute", "value": True}}}
    listed = [box, box | {column: True}, box | nested, box | {column: 0}]
    assert read_fiftyone(samples(tmp_path, sample(*listed))).crowd.tolist() == [False, True, True, False]


@pytest.mark.parametrize("nothing", [None, {"_cls": "Detections", "detections": []}])
def test_predictions_are_no_labels_of_a_sample_without_objects(tmp_path, nothing):
    write_image(tmp_path / "data/b.jpg", 2)
    predictions = {"model": {"_cls": "Detections", "detections": [fiftyone_box("cat", (1, 1, 9, 9))]}}
    empty = {"filepath": "data/b.jpg", "ground_truth": nothing} | predictions
    found = read_fiftyone(samples(tmp_path, sample(fiftyone_box("dog", (4, 8, 20, 30))) | predictions, empty))
    assert found.labels == ("dog",) and [len(each.boxes) for each in found] == [1, 0]


def test_a_mask_of_datumaro_has_the_box_around_it(tmp_path):
    found = item(tmp_path, part("mask", rle={"size": list(SIZE), "counts": [48 * 4 + 8, 10, 38, 10, 48 * 59 - 18]}))
    assert found.boxes.tolist() == [[4, 8, 6, 18]] and found.outlined.tolist() == [True] and found.skips == 0


@pytest.mark.parametrize("last", ["0.7,0.5,0.300001,0.5", "-0.000001,0,0.5,0.5", "0.1,0.1,0.9,0.9"])
def test_fractions_of_a_table_may_end_outside_by_rounding(tmp_path, last):
    found = read_table(table(tmp_path, f"image,x,y,w,h,class\na.jpg,0.25,0.5,0.25,0.25,dog\nb.jpg,{last},dog\n"))
    assert found.misreading is None and found.boxes[0].tolist() == [16, 24, 32, 36] and found.boxes.max() > 20


def spread_lines(write):
    """Twelve boxes all over an image, as `write` writes corners."""
    places = [(x, y) for x in (0, 20, 44) for y in (0, 10, 20, 30)]
    return "".join(f"a.jpg,{','.join(map(str, write(x, y, x + 20, y + 18)))},dog\n" for x, y in places)


@pytest.mark.parametrize("header", ["image,x,y,w,h,class", "image,xmin,ymin,xmax,ymax,class"])
@pytest.mark.parametrize(
    ("write", "meaning"),
    [
        (lambda a, b, c, d: (a, b, c, d), "two corners"),
        (lambda a, b, c, d: (a, b, c - a, d - b), "a corner, width"),
        (lambda a, b, c, d: ((a + c) / 2, (b + d) / 2, c - a, d - b), "a center, width"),
    ],
)
def test_another_form_of_a_table_in_pixels_is_one_fault(tmp_path, header, write, meaning):
    found = read_table(table(tmp_path, f"{header}\n{spread_lines(write)}")).misreading
    own = "two corners" if "xmin" in header else "a corner, width"
    assert found is None if meaning == own else found.meaning.startswith(meaning)


@pytest.mark.parametrize("column", ["split", "Set", "subset"])
def test_a_column_of_splits_is_not_dropped(tmp_path, column):
    lines = "a.jpg,4,8,16,22,dog,train\na.jpg,4,8,9,9,dog,train\nb.jpg,4,8,16,22,dog,{}\n"
    header = f"image,x,y,w,h,class,{column}\n"
    with pytest.raises(ValueError, match=f"column '{column}'.*train.csv, val.csv") as refused:
        read_table(table(tmp_path, header + lines.format("val")))
    assert refused.value.id == "split-unnamed"
    for other in ("train", "", "4"):
        assert len(read_table(table(tmp_path, header + lines.format(other))).boxes) == 3


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_table_that_is_no_text_is_named_as_such(tmp_path, encoding, whole):
    path = table(tmp_path / "set", "")
    path.write_bytes("image,xmin,ymin,xmax,ymax,class\na.jpg,4,8,20,30,h\u00fcnd\n".encode(encoding))
    with pytest.raises(ValueError, match="train.csv is no text .*: save it as UTF-8") as refused:
        read_labels(path.parent if whole else path)
    assert refused.value.id == "labels-malformed"


@pytest.mark.parametrize("kind", ["Polylines", "Detection"])
def test_what_is_no_box_of_fiftyone_is_named(tmp_path, kind):
    """Another field, of predictions, is not taken in its place."""
    predictions = {"_cls": "Detections", "detections": [fiftyone_box("cat", (1, 1, 9, 9))]}
    other = {"filepath": "data/a.jpg", "ground_truth": {"_cls": kind}}
    for more in ({}, {"model": predictions}):
        with pytest.raises(ValueError, match=f"has {kind} in ground_truth") as refused:
            read_fiftyone(samples(tmp_path, other | more))
        assert refused.value.id == "labels-malformed"
    truth = sample(fiftyone_box("dog", (4, 8, 20, 30)), outlines={"_cls": kind})
    assert len(read_fiftyone(samples(tmp_path, truth)).boxes) == 1
