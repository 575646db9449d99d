"""Divided sets: shares, classes, groups, and that the same seed gives the same division."""

import numpy as np
import pytest

from labeled_sets import BOXES, NAMES, SOUND, line, truth_of, write_image, write_truth
from paretodet.errors import InputError
from paretodet.labels.read import format_of, read_labels, splits
from paretodet.labels.split import assign, group_of, split_set


def whole(folder, name):
    """A set without splits, of 12 images."""
    SOUND[name](folder)
    if name == "coco":
        truth, other = truth_of(folder), truth_of(folder, "val")
        for image in other["images"]:
            image |= {"id": image["id"] + 100, "file_name": f"../val/{image['file_name']}"}
        (folder / "annotations/instances_val.json").unlink()
        for image in truth["images"]:
            write_image(folder / f"all/{image['id']}.jpg", image["id"])
            image["file_name"] = f"{image['id']}.jpg"
        write_truth(folder, truth, "all")
        (folder / "annotations/instances_train.json").unlink()
    elif name == "voc":
        for file in (folder / "ImageSets/Main").iterdir():
            file.unlink()
    else:
        (folder / "data.yaml").write_text("train: images\nnames: [dog, cat]\n")
    return folder


@pytest.mark.parametrize("name", ["coco", "voc", "yolo"])
def test_a_set_without_splits_is_divided_in_its_own_format(tmp_path, name):
    source = whole(tmp_path / "set", name)
    count = len(read_labels(source))
    done = split_set(source, out=tmp_path / "out", val=1 / 3, seed=1)
    assert format_of(tmp_path / "out").name == done.format == name and set(splits(tmp_path / "out")) == {"train", "val"}
    train, val = (read_labels(tmp_path / "out", split=split) for split in ("train", "val"))
    assert (len(train), len(val)) == (count - count // 3, count // 3)
    pixels = [sample.image.read_bytes() for data in (train, val) for sample in data]
    assert sorted(pixels) == sorted(sample.image.read_bytes() for sample in read_labels(source))


def test_the_same_seed_gives_the_same_division(tmp_path):
    source = whole(tmp_path / "set", "voc")
    found = []
    for place, seed in enumerate((0, 0, 1, 2)):
        split_set(source, out=tmp_path / f"out{place}", val=0.5, seed=seed)
        found.append(sorted(sample.id for sample in read_labels(tmp_path / f"out{place}", split="val")))
    assert found[0] == found[1] and len({*map(tuple, found)}) > 1


def labels_of(folder, counts):
    """YOLO images whose boxes have these classes."""
    for number, classes in enumerate(counts):
        write_image(folder / f"images/{number % 5}_{number}.jpg", number)
        (folder / "labels").mkdir(exist_ok=True)
        lines = [line(label, BOXES[0][1]) for label in classes]
        (folder / f"labels/{number % 5}_{number}.txt").write_text("\n".join(lines))
    (folder / "data.yaml").write_text(f"train: images\nnames: {[*NAMES, 'rare']}\n")
    return folder / "data.yaml"


def test_every_class_has_its_share_in_every_split(tmp_path):
    chance = np.random.default_rng(0)
    counts = [
        [0] * int(chance.integers(1, 5)) + [1] * (number % 4 == 0) + [2] * (number in (3, 50)) for number in range(80)
    ]
    path = labels_of(tmp_path / "set", counts)
    data = read_labels(path)
    for seed in range(5):
        place = assign(data, group_of(data, None), {"train": 0.8, "val": 0.2}, seed)
        assert abs(int(place.sum()) - 16) <= 2
        of_val = place[data.owners] == 1
        shares = [of_val[data.classes == label].mean() for label in range(3)]
        assert abs(shares[0] - 0.2) < 0.05 and abs(shares[1] - 0.2) < 0.06 and shares[2] == 0.5


@pytest.mark.parametrize("group", [r"^images/(\d)_", r"\d(?=_)", "folder"])
def test_groups_stay_together(tmp_path, group):
    path = labels_of(tmp_path / "set", [[0]] * 40)
    if group == "folder":
        for number in range(40):
            for kind, suffix in (("images", "jpg"), ("labels", "txt")):
                (tmp_path / f"set/{kind}/{number % 5}").mkdir(exist_ok=True)
                old = tmp_path / f"set/{kind}/{number % 5}_{number}.{suffix}"
                old.rename(tmp_path / f"set/{kind}/{number % 5}/{number % 5}_{number}.{suffix}")
    split_set(path, out=tmp_path / "out", val=0.2, group=group)
    train, val = (
        {sample.image.name[0] for sample in read_labels(tmp_path / "out", split=split)} for split in ("train", "val")
    )
    assert len(train) == 4 and len(val) == 1 and not train & val


def test_three_splits(tmp_path):
    path = labels_of(tmp_path / "set", [[0, 1]] * 40)
    done = split_set(path, out=tmp_path / "out", val=0.25, test=0.25)
    assert [(name, images) for name, images, _ in done.splits] == [("train", 20), ("val", 10), ("test", 10)]


def test_a_format_that_is_only_read_is_divided_into_one_that_is_written(tmp_path):
    source = SOUND["labelme"](tmp_path / "set")
    (source / "val").rename(source / "more")
    (source / "train").rename(source / "some")
    assert splits(source) == ()
    assert split_set(source, out=tmp_path / "a").format == "voc"
    assert split_set(source, out=tmp_path / "b", to="coco").format == "coco"


@pytest.mark.parametrize(
    ("options", "id"),
    [
        ({"val": 0}, "option-range"), ({"val": 1.0}, "option-range"), ({"val": 0.6, "test": 0.4}, "option-range"),
        ({"val": float("nan")}, "option-range"), ({"group": "("}, "option-value"), ({"group": "xyz"}, "option-value"),
        ({"group": "images"}, "labels-none"), ({"to": "cvat"}, "option-value"),
    ],
)  # fmt: skip
def test_what_cannot_be_divided_is_refused(tmp_path, options, id):
    path = labels_of(tmp_path / "set", [[0]] * 10)
    with pytest.raises(InputError) as refused:
        split_set(path, out=tmp_path / "out", **options)
    assert refused.value.id == id and not (tmp_path / "out").exists()


def test_a_set_that_is_divided_already_is_refused(tmp_path):
    with pytest.raises(InputError, match="has the split val already"):
        split_set(SOUND["voc"](tmp_path / "set"), out=tmp_path / "out")


def test_other_splits_stay(tmp_path):
    source = SOUND["voc"](tmp_path / "set")
    (source / "ImageSets/Main/val.txt").rename(source / "ImageSets/Main/test.txt")
    done = split_set(source, out=tmp_path / "out", val=0.5)
    assert [(name, images) for name, images, _ in done.splits] == [("train", 3), ("val", 3), ("test", 6)]
