"""Labels written in another format are the same labels, and what is lost is named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from labeled_sets import NAMES, SIZE, SOUND, truth_of, write_image, write_truth
from paretodet.errors import InputError
from paretodet.labels.convert import convert, writable_formats
from paretodet.labels.lint.examine import examine
from paretodet.labels.read import format_of, read_labels, splits
from paretodet.labels.split import split_set

TARGETS = sorted(writable_formats())


def objects(path: Path, split: str) -> list:
    """By image, in the order of the sums of its pixels: class names, boxes and crowds, sorted."""
    data = read_labels(path, split=split)
    found = []
    for sample in data:
        names = [data.labels[label] for label in sample.labels]
        rows = sorted(zip(names, sample.boxes.round(4).tolist(), sample.crowd.tolist(), strict=True))
        found.append((sample.image.read_bytes(), sample.size, rows))
    return sorted(found, key=lambda each: each[0])


@pytest.mark.parametrize("to", TARGETS)
@pytest.mark.parametrize("name", SOUND)
def test_every_format_becomes_every_other_and_stays_the_same(tmp_path, name, to):
    source = SOUND[name](tmp_path / "set")
    done = convert(source, to=to, out=tmp_path / "out")
    assert splits(tmp_path / "out") == ("train", "val") and done.splits[0] == (
        "train",
        6,
        len(read_labels(source, split="train").boxes),
    )
    for split in ("train", "val"):
        assert objects(tmp_path / "out", split) == objects(source, split)
    images = list((tmp_path / "out").rglob("*.jpg"))
    assert len(images) == 12 and all(image.is_symlink() for image in images)
    assert not [each for each in examine(tmp_path / "out").findings if each.level in ("fault", "error")]


@pytest.mark.parametrize("to", TARGETS)
def test_there_and_back_is_the_same_set(tmp_path, to):
    source = SOUND["coco"](tmp_path / "set")
    convert(source, to=to, out=tmp_path / "there")
    convert(tmp_path / "there", to="coco", out=tmp_path / "back")
    for split in ("train", "val"):
        assert objects(tmp_path / "back", split) == objects(source, split)


def odd(folder: Path) -> Path:
    """A crowd, outlines, ids of annotations, areas, a box between pixels, and one that leaves its image."""
    SOUND["coco"](folder)
    truth = truth_of(folder)
    truth["annotations"][0] |= {"iscrowd": 1, "segmentation": {"size": list(SIZE), "counts": [100, 200, 2772]}}
    truth["annotations"][1] |= {"bbox": [30.25, 4.125, 19.5, 16.75], "area": 123.5, "id": 777}
    truth["annotations"][2] |= {"bbox": [-9, 24, 29, 20]}
    write_truth(folder, truth)
    return folder


def test_what_coco_holds_is_kept_by_coco(tmp_path):
    done = convert(odd(tmp_path / "set"), to="coco", out=tmp_path / "out")
    one, two = (read_labels(path, split="train") for path in (tmp_path / "set", tmp_path / "out"))
    for column in ("boxes", "classes", "crowd", "areas", "ids", "keys", "sizes"):
        assert np.array_equal(getattr(one, column), getattr(two, column)), column
    masks = [[data.mask(row) and data.mask(row).to_json() for row in range(4)] for data in (one, two)]
    assert masks[0] == masks[1] and one.category_ids == two.category_ids
    assert any("1 boxes are cut" in each for each in done.losses)


def test_losses_are_named(tmp_path):
    source = odd(tmp_path / "set")
    yolo = convert(source, to="yolo", out=tmp_path / "yolo").losses
    assert any(each.startswith("1 crowds are left out") for each in yolo)
    assert any("outlines are left out" in each for each in yolo) and any("ids are not kept" in each for each in yolo)
    first = read_labels(tmp_path / "yolo", split="train").boxes[0]
    assert first.tolist() == pytest.approx([30.25, 4.125, 49.75, 20.875], abs=1e-5)
    voc = convert(source, to="voc", out=tmp_path / "voc").losses
    assert any(each.startswith("1 boxes are rounded to whole pixels") for each in voc)
    assert read_labels(tmp_path / "voc", split="train").crowd.sum() == 1


def test_what_readers_leave_out_is_named(tmp_path):
    source = SOUND["coco"](tmp_path / "set")
    truth = truth_of(source)
    truth["annotations"][0]["bbox"] = [1, 1, 0, 0]
    write_truth(source, truth)
    (source / "images/val/0.jpg").unlink()
    losses = convert(source, to="coco", out=tmp_path / "out").losses
    assert any("the box has no area" in each for each in losses) and any(
        "1 images have no file" in each for each in losses
    )


def test_lvis_stays_lvis_in_coco_s_format_alone(tmp_path):
    source = SOUND["lvis"](tmp_path / "set")
    convert(source, to="coco", out=tmp_path / "coco")
    assert format_of(tmp_path / "coco").name == "lvis"
    one, two = (read_labels(path, split="train").federated for path in (source, tmp_path / "coco"))
    assert np.array_equal(one.absent, two.absent) and one.frequency == two.frequency
    assert any("looked for" in each for each in convert(source, to="voc", out=tmp_path / "voc").losses)


def test_images_may_be_copied_and_names_may_repeat(tmp_path):
    source = SOUND["yolo"](tmp_path / "set")
    write_image(source / "images/train/0.png", 99)
    convert(source, to="voc", out=tmp_path / "out", copy_images=True)
    files = sorted((tmp_path / "out/JPEGImages").iterdir())
    assert len(files) == 13 and not any(file.is_symlink() for file in files)
    assert len(read_labels(tmp_path / "out")) == 13


def test_nothing_is_written_unless_all_is(tmp_path, monkeypatch):
    source = SOUND["coco"](tmp_path / "set")
    for wrong, id in (({"to": "tfrecord"}, "option-value"), ({"out": source / "in"}, "output-is-input")):
        with pytest.raises(InputError) as refused:
            convert(source, **{"to": "voc", "out": tmp_path / "out"} | wrong)
        assert refused.value.id == id
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    with pytest.raises(InputError, match="holds something already"):
        convert(source, to="voc", out=tmp_path / "full")
    monkeypatch.setattr(Path, "symlink_to", lambda *given: (_ for _ in ()).throw(OSError("no links")))
    with pytest.raises(InputError, match="give --copy-images"):
        convert(source, to="voc", out=tmp_path / "out")
    (source / "annotations/instances_val.json").write_text("{")
    with pytest.raises(InputError, match="instances_val"):
        convert(source, to="voc", out=tmp_path / "out")
    assert not (tmp_path / "out").exists() and sorted(each.name for each in tmp_path.iterdir()) == ["full", "set"]


def test_names_that_need_quotes(tmp_path):
    source = SOUND["coco"](tmp_path / "set")
    names = ['a: b, "c" #d', "<e> & 'f'"]
    for split in ("train", "val"):
        truth = truth_of(source, split)
        truth["categories"] = [{"id": key, "name": name} for key, name in enumerate(names)]
        write_truth(source, truth, split)
    for to in TARGETS:
        convert(source, to=to, out=tmp_path / to)
        assert sorted(read_labels(tmp_path / to, split="val").labels) == sorted(names)
    assert json.dumps(names) and NAMES


def alone(folder: Path, *names: str) -> Path:
    """The same labels under these names, whose images lie in a folder of another name."""
    SOUND["coco"](folder)
    (folder / "images/train").rename(folder / "pictures")
    content = (folder / "annotations/instances_train.json").read_text()
    for old in folder.glob("annotations/*.json"):
        old.unlink()
    for name in names:
        (folder / name).write_text(content)
    return folder


@pytest.mark.parametrize(
    "name", ["annotations.json", "annotations/instances_default.json", "labels #2.json", "Data.json"]
)
def test_a_set_that_is_no_usual_split_is_for_training(tmp_path, name):
    source = alone(tmp_path / "set", name)
    for place, path in enumerate((source, source / name)):
        done = convert(path, to="yolo", out=tmp_path / str(place))
        assert splits(tmp_path / str(place)) == ("train",) and done.splits[0][1:] == (6, 24)
        assert any("has no splits" in each for each in done.losses)
        assert len(read_labels(tmp_path / str(place), split="train").boxes) == 24


@pytest.mark.parametrize(
    ("name", "split"), [("train2017", "train"), ("valid", "val"), ("test", "test"), ("dev", "dev")]
)
def test_one_usual_split_stays_that_split(tmp_path, name, split):
    done = convert(alone(tmp_path / "set", f"{name}.json"), to="yolo", out=tmp_path / "out")
    assert splits(tmp_path / "out") == (split,) and not any("has no splits" in each for each in done.losses)


@pytest.mark.parametrize(
    "names", [("labels #2", "labels: b"), ("a b", "[c]"), ("train2014", "train2017", "val2017"), ("{x}", "- y", "'z")]
)
def test_splits_keep_names_that_a_yaml_must_quote(tmp_path, names):
    source = alone(tmp_path / "set", *(f"{name}.json" for name in names))
    convert(source, to="yolo", out=tmp_path / "out")
    assert set(splits(tmp_path / "out")) == {{"val2017": "val"}.get(name, name) for name in names}
    assert all(len(read_labels(tmp_path / "out", split=name)) == 6 for name in splits(tmp_path / "out"))


@pytest.mark.parametrize("name", ["yolo", "coco"])
def test_classes_without_a_box_are_counted_where_they_are_lost(tmp_path, name):
    source = SOUND[name](tmp_path / "set")
    if name == "yolo":
        yaml = source / "data.yaml"
        yaml.write_text(yaml.read_text().replace("[dog, cat]", "[dog, cat, emu, fox]"))
    else:
        for split in ("train", "val"):
            more = [{"id": 7, "name": "emu"}, {"id": 8, "name": "fox"}]
            truth = truth_of(source, split)
            write_truth(source, truth | {"categories": truth["categories"] + more}, split)
    losses = {to: convert(source, to=to, out=tmp_path / to).losses for to in TARGETS}
    assert [to for to in TARGETS if any("classes without a box" in each for each in losses[to])] == ["voc"]
    assert any(each.startswith("2 classes without a box") and "'emu'" in each for each in losses["voc"])


@pytest.mark.parametrize("name", ["labelme", "cvat", "fiftyone"])
def test_images_of_no_split_are_converted_and_stay_in_a_divided_set(tmp_path, name):
    source = SOUND[name](tmp_path / "set")
    if name == "labelme":
        (source / "val").rename(source / "more")
    else:
        path = source / ("annotations.xml" if name == "cvat" else "samples.json")
        text = re.sub(r'name="(\d\.jpg)" subset="val"', r'name="val/\1"', path.read_text())
        path.write_text(text.replace('"tags": ["val"]', '"tags": []'))
    assert splits(source) == ("train",)
    done = convert(source, to="coco", out=tmp_path / "out")
    assert [(split, images) for split, images, _ in done.splits] == [("train", 6), ("rest", 6)]
    done = split_set(source, out=tmp_path / "divided", val=0.5)
    assert [(split, images) for split, images, _ in done.splits] == [("train", 3), ("val", 3), ("rest", 6)]
