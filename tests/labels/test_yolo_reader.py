"""YOLO's folders: what a yaml may say, what a line may say, and every way in which they can be wrong."""

import os

import numpy as np
import pytest
from PIL import Image

from paretodet.labels.formats.yolo import label_file, read_splits, read_yaml, read_yolo
from paretodet.labels.lint.examine import examine
from paretodet.labels.read import find_format, format_of, splits

YAML = "path: .\ntrain: images/train\nval: images/val\nnc: 2\nnames: [dog, no]\n"


def yolo(folder, lines, yaml=YAML):
    """One image per split, 60 px wide and 40 px high, with these lines."""
    for split in ("train", "val"):
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (60, 40)).save(folder / "images" / split / f"{split}.png")
    (folder / "labels" / "train" / "train.txt").write_text(lines)
    (folder / "data.yaml").write_text(yaml)
    return folder / "data.yaml"


def test_fractions_become_pixels(tmp_path):
    path = yolo(tmp_path, "1 0.5 0.5 0.5 0.25\n\n0 0.0 0.0 0.5 0.5\n")
    found = read_yolo(path)
    assert (found.labels, found.category_ids, len(found)) == (("dog", "no"), (0, 1), 2)  # `no` is a name, not False
    train, val = found
    assert train.boxes.tolist() == [[15, 15, 45, 25], [0, 0, 15, 10]]
    assert (train.labels.tolist(), train.size, train.masks) == ([1, 0], (40, 60), None)
    assert (train.id, train.image) == ("images/train/train", tmp_path / "images/train/train.png")
    assert val.boxes.shape == (0, 4)


def test_a_split_is_read_alone(tmp_path):
    path = yolo(tmp_path, "")
    assert [each.id for each in read_yolo(path, split="val")] == ["images/val/val"]
    assert read_splits(path) == ("train", "val")
    with pytest.raises(ValueError, match=r"split: got 'test', .* has train, val"):
        read_yolo(path, split="test")


def test_polygons_become_masks_and_their_boxes(tmp_path):
    found = read_yolo(yolo(tmp_path, "0 0.1 0.25 0.5 0.25 0.5 0.75\n1 0.5 0.5 0.1 0.1"))
    sample = found[0]
    assert sample.boxes[0].tolist() == [6, 10, 30, 30]
    drawn, none = sample.masks
    assert int(drawn.decode(sample.size).sum()) == pytest.approx(24 * 20 / 2, rel=0.1) and none is None


def test_a_turned_image_has_the_size_after_turning(tmp_path):
    path, turned = yolo(tmp_path, "0 0.5 0.5 1 1"), Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (60, 40)).save(tmp_path / "images/train/train.png", exif=turned)
    assert read_yolo(path)[0].size == (60, 40)
    assert read_yolo(path)[0].boxes.tolist() == [[0, 0, 40, 60]]


@pytest.mark.parametrize(
    "yaml",
    [
        "train: images/train\nnames: {1: no, 0: dog}",
        "train: ../images/train\nnames: [dog, no]",
        "path: /nowhere\ntrain: [images/train]\nnames:\n  - dog\n  - no",
        "train: list.txt\nnames: [dog, no]",
        "train: list.txt\nval: list.txt\nnames: [dog, no]",
    ],
)
def test_the_forms_a_yaml_has(tmp_path, yaml):
    path = yolo(tmp_path, "1 0.5 0.5 0.5 0.25", yaml)
    (tmp_path / "list.txt").write_text("./images/train/train.png\n\n")
    (sample,) = read_yolo(path)
    assert (sample.boxes.tolist(), sample.labels.tolist()) == ([[15, 15, 45, 25]], [1])


@pytest.mark.parametrize("number", ["1", "1.0", "1e0", "1.000000000000000000e+00", "01"])
def test_a_class_number_is_what_its_value_is(tmp_path, number):
    (sample,) = read_yolo(
        yolo(tmp_path, f"{number} 0.5 0.5 0.5 0.25", "train: images/train\nnc: 2.0\nnames: [dog, no]")
    )
    assert sample.labels.tolist() == [1]


def test_of_several_yamls_the_one_with_names_and_splits_is_read(tmp_path):
    path = yolo(tmp_path, "0 0.5 0.5 0.5 0.25")
    path.rename(tmp_path / "animals.yaml")
    (tmp_path / "hyp.yaml").write_text("lr0: 0.01\nnames: x\n")
    assert format_of(tmp_path).name == "yolo" and splits(tmp_path) == ("train", "val")
    (tmp_path / "other.yaml").write_text(YAML)
    assert find_format(tmp_path) is None


def test_lines_that_are_all_left_out_are_no_matter_of_the_folder(tmp_path):
    """The cause is named alone: pixels in place of fractions."""
    path = yolo(tmp_path, "0 30 20 10 10\n1 20 10 5 5", "train: images/train\nnames: [dog, no]")
    faults = [each.check for each in examine(path).findings if each.level == "fault"]
    assert faults == ["line-not-normalized"]


def two_splits(folder, key, value):
    path = yolo(folder, "0 0.5 0.5 0.5 0.25", f"train: images/train\n{key}: {value}\nnames: [dog, no]")
    for name in ("a", "b"):
        (folder / "images/other").mkdir(exist_ok=True)
        Image.new("RGB", (60, 40)).save(folder / f"images/other/{name}.png")
    (folder / "other.txt").write_text("./images/other/a.png\nimages/other/b.png\n")
    return path


@pytest.mark.parametrize("key", ["val", "valid", "validation", "Validation", "VAL"])
def test_a_split_has_any_of_its_usual_names(tmp_path, key):
    path = two_splits(tmp_path, key, "images/other")
    assert read_splits(path) == ("train", "val") and len(read_yolo(path)) == 3
    assert len(read_yolo(path, split="val")) == len(read_yolo(path, split="validation")) == 2


@pytest.mark.parametrize(("key", "value"), [("dev", "images/other"), ("minival", "other.txt"), ("x", "[other.txt]")])
def test_a_key_that_names_further_images_is_a_split(tmp_path, key, value):
    path = two_splits(tmp_path, key, value)
    assert read_splits(path) == ("train", key) and len(read_yolo(path, split=key)) == 2
    found = {each.check: each for each in examine(path).findings}["split-of-another-name"]
    assert [(place.place, key in str(place)) for place in found.places] == [(key, True)]


@pytest.mark.parametrize(
    ("key", "value"), [("root", "."), ("output", "/"), ("up", ".."), ("labels", "labels"), ("n", 3)]
)
def test_a_key_that_names_no_further_images_is_no_split(tmp_path, key, value):
    assert read_splits(two_splits(tmp_path, key, value)) == ("train",)


@pytest.mark.parametrize("key", ["splits", "data", "Paths"])
def test_splits_may_stand_in_a_mapping(tmp_path, key):
    path = yolo(tmp_path, "0 0.5 0.5 0.2 0.2", f"{key}:\n  train: images/train\n  val: images/val\nnames: [dog]\n")
    assert read_splits(path) == ("train", "val") and len(read_yolo(path)) == 2


def test_two_keys_of_one_split_are_refused(tmp_path):
    path = two_splits(tmp_path, "val: images/other\nvalid", "images/train")
    with pytest.raises(ValueError, match="val and valid are one split, val"):
        read_yolo(path)


@pytest.mark.parametrize(
    "train", ["images\\train", ".\\images\\train", "..\\images\\train", "'images\\train'", "list.txt"]
)
def test_paths_may_be_written_as_windows_does(tmp_path, train):
    path = yolo(tmp_path, "1 0.5 0.5 0.5 0.25", f"train: {train}\nnames: [dog, no]\n")
    (tmp_path / "list.txt").write_text(".\\images\\train\\train.png\n")
    (sample,) = read_yolo(path, split="train")
    assert sample.image.resolve() == (tmp_path / "images/train/train.png").resolve() and len(sample.boxes) == 1


@pytest.mark.parametrize(("value", "known"), [("images\\other", True), ("other.txt", True), ("..\\outside", False)])
def test_a_further_split_may_be_written_as_windows_does(tmp_path, value, known):
    path = two_splits(tmp_path / "set", "dev", value)
    (tmp_path / "outside").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "outside/a.png")
    (tmp_path / "set/other.txt").write_text("images\\other\\a.png\n.\\images\\other\\b.png\n")
    assert read_splits(path) == (("train", "dev") if known else ("train",))
    assert len(read_yolo(path)) == (3 if known else 1)


@pytest.mark.parametrize("write", [str.capitalize, str.upper])
def test_folders_may_be_written_in_capitals(tmp_path, write):
    path = yolo(tmp_path, "0 0.5 0.5 0.2 0.2", YAML.replace("images", write("images")))
    for name in ("images", "labels"):
        (tmp_path / name).rename(tmp_path / write(name))
    assert len(read_yolo(path, split="train").boxes) == 1


def test_labels_lie_in_labels_or_beside(tmp_path):
    assert label_file(tmp_path / "images/a/images/x.jpg") == tmp_path / "images/a/labels/x.txt"
    assert label_file(tmp_path / "pictures/x.jpg") == tmp_path / "pictures/x.txt"


DEEP = "train: " + "[" * 100_000
ALIASES = "a: &a [x, x]\nb: &b [*a, *a]\nnames: *b"


@pytest.mark.parametrize(
    ("yaml", "fault"),
    [
        (ALIASES, r"cannot be read as YAML \(it has an alias \(\*name\), write the value out\)"),
        (DEEP, "more than 16 lists inside of each other"),
        ("a" * (2**20 + 1), "is larger than 1024 KiB"),
        ("a: [", "cannot be read as YAML"),
        ("? [a]\n: b", "cannot be read as YAML"),
        ("\x00", "cannot be read as YAML"),
        ("- a", "is no mapping"),
        ("", "is no mapping"),
        ("train: images/train", "has no names, a list of the classes"),
        ("train: images/train\nnames: []", "has no names"),
        ("train: images/train\nnames: [dog, [no]]", "has no names"),
        ('train: images/train\nnames: [dog, "\\e[2J"]', r"names: '\\x1b\[2J' holds a control character"),
        ("train: images/train\nnames: {0: dog, 2: no}", "names: its numbers are 0 to 1, each once"),
        ("train: images/train\nnames: [dog]\nnc: 2", "nc: got '2', names has 1 classes"),
        ("train: images/none\nnames: [dog]", "is neither a folder nor a text that lists images"),
        ("train: {a: b}\nnames: [dog]", "a folder is needed"),
        ("names: [dog]", "names no images: it needs `train: FOLDER`, and its keys are 'names'"),
        ("train: labels/train\nnames: [dog]", "has no usable image"),
        ('a: !!python/object/apply:os.system ["exit"]\nnames: [dog]', "names no images"),  # text, never called
    ],
)
def test_a_yaml_that_cannot_be_used_is_named_with_what_it_lacks(tmp_path, yaml, fault):
    path = yolo(tmp_path, "", yaml)
    with pytest.raises(ValueError, match=fault) as raised:
        read_yolo(path)
    assert str(path) in str(raised.value)


def test_a_yaml_holds_text_alone(tmp_path):
    (tmp_path / "x.yaml").write_text("a: [yes, 1, 2001-01-01, ~, !!float 1, 0x10]")
    assert read_yaml(tmp_path / "x.yaml") == {"a": ["yes", "1", "2001-01-01", "~", "1", "0x10"]}


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("dog 0.5 0.5 0.1 0.1", "'dog' is no class number, that of 'dog' is 0"),
        ("cat 0.5 0.5 0.1 0.1", "'cat' is no class number"),
        ("0.5 0.5 0.5 0.1 0.1", "'0.5' is no class number"),
        ("nan 0.5 0.5 0.1 0.1", "'nan' is no class number"),
        ("0,0.5,0.5,0.1,0.1", "numbers are parted by spaces"),
        ("0 0,5 0,5 0,1 0,1", "numbers are parted by spaces"),
        ("0 0.5 0.5 0.1 x", "is not a class number and numbers"),
        ("2 0.5 0.5 0.1 0.1", "class 2, the yaml names 0 to 1"),
        ("-1 0.5 0.5 0.1 0.1", "class -1, the yaml names 0 to 1"),
        ("0 0.5 0.5 0.1", "3 numbers after the class"),
        ("0 0.5 0.5 0.1 0.1 0.9", "5 numbers after the class"),
        ("0", "0 numbers after the class"),
        ("0 30 20 10 10", "a number is no fraction of the image"),
        ("0 nan 0.5 0.1 0.1", "a number is no fraction of the image"),
        ("0 0.5 0.5 0 0.1", "the box has no area"),
        ("0 0.5 0.5 -0.1 0.1", "swapped corners or a negative side"),
        ("0 1.5 0.5 0.1 0.1", "no part of the box is inside of its image"),
        ("0 0.1 0.1 0.2 0.2 0.1 0.1", None),
    ],
)
def test_a_line_that_cannot_be_used_is_skipped_and_reported(tmp_path, line, fault):
    found = read_yolo(yolo(tmp_path, f"\n1 0.5 0.5 0.5 0.25\n{line}\n"))
    places = [(each.file, each.place) for each in found.skipped]
    if fault is None:
        assert (places, len(found[0].boxes)) == ([], 2)
    else:
        assert places == [(tmp_path / "labels/train/train.txt", "line 3")]
        assert fault in found.skipped[0].reason
        assert np.array_equal(found[0].boxes, [[15, 15, 45, 25]])


def test_images_and_label_files_that_cannot_be_read_are_skipped_and_reported(tmp_path):
    path = yolo(tmp_path, "")
    (tmp_path / "images/train/broken.jpg").write_bytes(b"no image")
    (tmp_path / "labels/train/train.txt").write_bytes(b"\xff\xfe")
    found = read_yolo(path)
    assert [each.id for each in found] == ["images/val/val"]
    broken, text = map(str, found.skipped)
    assert broken.startswith(f"{tmp_path / 'images/train/broken.jpg'}: not an image")
    assert "train.txt cannot be read" in text


def test_an_image_may_have_a_name_that_is_no_text(tmp_path):
    path, strange = yolo(tmp_path, ""), os.fsdecode(b"\xff\xc3\xa4.png")
    try:
        (tmp_path / "images/train/train.png").rename(tmp_path / "images/train" / strange)
    except OSError:
        pytest.skip("the file system takes text alone")
    assert read_yolo(path, split="train")[0].image.is_file()


@pytest.mark.parametrize("nothing", ["null", "~", ""])
def test_a_split_that_is_null_is_none(tmp_path, nothing):
    path = yolo(tmp_path, "", YAML + f"test: {nothing}\n")
    assert read_splits(path) == ("train", "val") and len(read_yolo(path)) == 2


def test_of_poses_the_box_is_read_and_keypoints_are_no_corners(tmp_path):
    lines = "1 0.5 0.5 0.5 0.25 0.1 0.1 2 0.9 0.9 2\n1 0.5 0.5 0.5 0.25 300 1\n0 0.5 0.5\n"
    found = read_yolo(yolo(tmp_path, lines, YAML + "kpt_shape: [2, 3]\n"))
    assert found[0].boxes.tolist() == [[15, 15, 45, 25]] * 2 and found[0].masks is None
    assert [each.place for each in found.skipped] == ["line 3"]


@pytest.mark.parametrize("suffix", [".tif", ".TIFF", ".gif", ".jfif", ".avif"])
def test_an_image_of_an_unsupported_format_is_reported(tmp_path, suffix):
    path = yolo(tmp_path, "")
    Image.new("RGB", (60, 40)).save(tmp_path / "images/train" / f"other{suffix}", format="GIF")
    found = read_yolo(path, split="train")
    assert [each.id for each in found] == ["images/train/train"]
    assert str(found.skipped[0]).endswith(f"other{suffix}: not an image in one of the formats JPEG, PNG, WEBP, BMP")


def test_a_jpeg_of_another_name_is_one(tmp_path):
    path = yolo(tmp_path, "")
    Image.new("RGB", (60, 40)).save(tmp_path / "images/train/other.jfif", format="JPEG")
    assert [each.id for each in read_yolo(path, split="train")] == ["images/train/other", "images/train/train"]


def test_an_image_has_one_number_in_all_splits(tmp_path):
    """And whatever cannot be used before it."""
    path = yolo(tmp_path, "")
    (tmp_path / "images/train/a.png").write_bytes(b"no image")
    whole = read_yolo(path)
    assert dict(zip(map(whole.name, range(2)), whole.keys.tolist(), strict=True)) == {
        "images/train/train.png": 1, "images/val/val.png": 2,
    }  # fmt: skip
    assert [read_yolo(path, split=split).keys.tolist() for split in ("train", "val")] == [[1], [2]]


def test_a_split_is_read_though_another_is_not_there(tmp_path):
    path = yolo(tmp_path, "", YAML.replace("images/train", "images/nowhere"))
    assert len(read_yolo(path, split="val")) == 1
    with pytest.raises(ValueError, match="nowhere is neither a folder"):
        read_yolo(path)


@pytest.mark.parametrize("folder", ["images", "images/train", "JPEGImages", "pictures"])
def test_texts_lie_beside_images_where_there_is_no_folder_of_labels(tmp_path, folder):
    (tmp_path / folder).mkdir(parents=True)
    Image.new("RGB", (60, 40)).save(tmp_path / folder / "a.png")
    (tmp_path / folder / "a.txt").write_text("0 0.5 0.5 0.5 0.25")
    (tmp_path / "data.yaml").write_text(f"train: {folder}\nnames: [dog]")
    assert len(read_yolo(tmp_path / "data.yaml").boxes) == 1
    assert "fault" not in {each.level for each in examine(tmp_path).findings}


def test_labels_beside_jpegimages_are_darknets(tmp_path):
    path = yolo(tmp_path, "0 0.5 0.5 0.5 0.25", "train: JPEGImages/train\nnames: [dog]")
    (tmp_path / "images").rename(tmp_path / "JPEGImages")
    assert len(read_yolo(path).boxes) == 1


@pytest.mark.parametrize("name", ["data/{}", "/content/set/{}", "./elsewhere/{}", "C:\\set\\{}", "{}"])
def test_listed_images_are_found_by_the_ends_of_their_names(tmp_path, name):
    path = yolo(tmp_path, "1 0.5 0.5 0.5 0.25", "train: train.txt\nval: images/val\nnames: [dog, no]")
    (tmp_path / "train.txt").write_text(name.format("images/train/train.png") + "\n")
    (sample,) = read_yolo(path, split="train")
    assert sample.image == tmp_path / "images/train/train.png" and len(sample.boxes) == 1


def test_listed_images_that_would_be_one_keep_their_names(tmp_path):
    path = yolo(tmp_path, "", "train: train.txt\nnames: [dog, no]")
    (tmp_path / "train.txt").write_text("one/images/train/train.png\ntwo/images/train/train.png\n")
    with pytest.raises(ValueError, match="one/images/train/train.png"):
        read_yolo(path)


@pytest.mark.parametrize("stated", ["/home/other/set", "../datasets/set", "set"])
def test_a_path_that_is_no_folder_is_named(tmp_path, stated):
    path = yolo(tmp_path, "", f"path: {stated}\ntrain: elsewhere/train\nval: images/val\nnames: [dog, no]")
    with pytest.raises(ValueError, match=f"path: {stated}") as refused:
        read_yolo(path, split="train")
    assert refused.value.id == "labels-malformed" and len(read_yolo(path, split="val")) == 1


def test_a_further_split_may_be_written_as_roboflow_does(tmp_path):
    assert read_splits(two_splits(tmp_path, "dev", "../images/other")) == ("train", "dev")


def test_polygons_of_other_forms_are_no_oriented_boxes(tmp_path):
    upright = "0 0.1 0.1 0.5 0.1 0.5 0.5 0.1 0.5"
    for lines in (upright, f"{upright}\n0 0.1 0.25 0.5 0.25 0.5 0.75", f"{upright}\n0 0.5 0.5 0.2 0.2"):
        found = examine(yolo(tmp_path, lines, "train: images/train\nnames: [dog]")).findings
        assert "boxes-oriented" not in {each.check for each in found}


@pytest.mark.parametrize("value", ["images/trian", "lists/train.txt", "[images/train, images/trian]"])
def test_a_split_that_is_not_there_is_an_error_or_named(tmp_path, value):
    path = yolo(tmp_path, "", YAML.replace("images/train", value))
    with pytest.raises(
        ValueError, match=rf"data.yaml train: .*{value.strip('[]').split(' ')[-1]} is neither"
    ) as refused:
        read_yolo(path, split="train")
    assert refused.value.id == "labels-malformed"
    (skipped,) = read_yolo(path, split="val").skipped
    assert (skipped.id, skipped.place, skipped.file) == ("split-missing", "train", path)
    found = {each.check: each for each in examine(path).findings}
    assert [place.place for place in found["labels-unreadable"].places] == ["train"] and "split-missing" not in found


@pytest.mark.parametrize("key", ["minival", "extra"])
@pytest.mark.parametrize(
    ("train", "value"), [("images/train", "images/vla"), ("a/images", "../b/images"), ("a.txt", "b.txt")]
)
def test_a_key_that_seems_to_name_a_split_is_named(tmp_path, key, train, value):
    path = yolo(tmp_path, "", f"train: {train}\n{key}: {value}\nnames: [dog, no]\n")
    (tmp_path / "a/images").mkdir(parents=True)
    (tmp_path / "a/images/a.png").write_bytes((tmp_path / "images/train/train.png").read_bytes())
    (tmp_path / "a.txt").write_text("images/train/train.png\n")
    for split in (None, "train"):
        (skipped,) = read_yolo(path, split=split).skipped
        assert (skipped.id, skipped.place) == ("split-missing", key) and value in skipped.reason
    with pytest.raises(ValueError, match=f"data.yaml {key}: .* is neither") as refused:
        read_yolo(path, split=key)
    assert refused.value.id == "split-missing"
    assert [each.check for each in examine(path).findings if each.level == "fault"][:1] == ["split-missing"]


@pytest.mark.parametrize(
    "more", ["url: https://x/images/y", "license: MIT", "weights: images/best.pt", "author: me", "labels: labels/train"]
)
def test_other_keys_are_not_taken_for_splits(tmp_path, more):
    assert read_yolo(yolo(tmp_path, "", YAML + more + "\n")).skips == 0


@pytest.mark.parametrize("field", ["kpt_shape", "nc"])
@pytest.mark.parametrize("nothing", ["", "null", "~", "[]"])
def test_a_field_that_is_empty_is_absent(tmp_path, field, nothing):
    """A set of outlines is none of poses, of which the first four numbers alone would be read."""
    yaml = YAML.replace("nc: 2\n", "") + f"{field}: {nothing}\n"
    found = read_yolo(yolo(tmp_path, "0 0.1 0.25 0.5 0.25 0.5 0.75", yaml))
    assert found[0].boxes.tolist() == [[6, 10, 30, 30]] and found[0].masks is not None


@pytest.mark.parametrize("count", [2, 3, 4, 17])
def test_poses_without_their_shape_are_no_polygons(tmp_path, count):
    lines = f"1 0.5 0.5 0.5 0.25 {' '.join(['0.4 0.45 2', '0 0 0', '0.6 0.5 1'][n % 3] for n in range(count))}\n"
    found = read_yolo(yolo(tmp_path, lines))
    (skipped,) = found.skipped
    assert skipped.id == "line-malformed" and f"`kpt_shape: [{count}, 3]`" in skipped.reason
    named = read_yolo(yolo(tmp_path, lines, f"{YAML}kpt_shape: [{count}, 3]\n"))
    assert named[0].boxes.tolist() == [[15, 15, 45, 25]] and not named.skips


@pytest.mark.parametrize(
    "ring", ["0 0 1 0 1 1 0 1 0 0", "0.2 0.1 0.9 0.1 1 0.3 1 0.9 0.7 1", "0.5 0.1 0.6 0.2 1 0.9 1 0.5 1 1"]
)
def test_polygons_along_the_border_are_polygons(tmp_path, ring):
    assert read_yolo(yolo(tmp_path, f"0 {ring}\n")).skips == 0


@pytest.mark.parametrize("names", [["dog"], ["dog", "cat"], ["dog", "cat", "cow"]])
def test_classes_that_are_counted_from_one_are_refused(tmp_path, names):
    yaml = f"train: images/train\nnames: {names}\n"
    lines = [f"{number} 0.5 0.5 0.2 0.2\n" for number in range(1, len(names) + 1)] * 3
    with pytest.raises(
        ValueError, match=f"numbered 1 to {len(names)}, and the names .* 0 to {len(names) - 1}"
    ) as refused:
        read_yolo(yolo(tmp_path, "".join(lines), yaml))
    assert refused.value.id == "category-unknown"
    found = read_yolo(yolo(tmp_path, "".join([*lines, "0 0.5 0.5 0.2 0.2\n"]), yaml))
    assert {each.id for each in found.skipped} == {"category-unknown"} and len(found.boxes) == 3 * len(names) - 2
    found = read_yolo(yolo(tmp_path, "".join(lines[: 2 * len(names)]), yaml))
    assert len(found.skipped) == 2
