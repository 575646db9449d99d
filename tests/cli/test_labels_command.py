"""`paretodet convert` and `paretodet split`: what they print, their options, and what they refuse."""

import json

import pytest

from labeled_sets import SOUND
from paretodet.labels.read import read_labels, splits


@pytest.fixture
def voc(tmp_path):
    """Without splits."""
    folder = SOUND["voc"](tmp_path / "set")
    for file in (folder / "ImageSets/Main").iterdir():
        file.unlink()
    return folder


def test_convert_names_what_is_lost_and_the_next_command(run, tmp_path):
    SOUND["coco"](tmp_path / "set")
    code, out, err = run("convert", "set", "--to", "yolo", "--out", "made")
    assert code == 0 and "train: 6 images, 24 boxes" in out and "outlines are left out" in err
    assert err.splitlines()[-1] == "Next: paretodet doctor made"
    assert (tmp_path / "made/images/train/0.jpg").is_symlink()


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_every_option_of_convert(run, tmp_path, to):
    folder = SOUND["coco"](tmp_path / "set")
    (folder / "images").rename(tmp_path / "elsewhere")
    (folder / "annotations/instances_val.json").unlink()
    options = ("--to", to, "--out", "made", "--image-root", "elsewhere/train", "--copy-images", "--json")
    code, out, _ = run("convert", "set", *options)
    document = json.loads(out)
    assert code == 0 and document["format"] == to and document["out"] == "made"
    assert document["splits"] == [{"split": "train", "images": 6, "boxes": 24}] and document["losses"]
    images = list((tmp_path / "made").rglob("*.jpg"))
    assert len(images) == 6 and not any(image.is_symlink() for image in images)


def test_split_writes_beside_the_set_by_default(run, voc):
    code, out, err = run("split", "set")
    assert code == 0 and "Written to set-split" in out and "Next: paretodet doctor set-split" in err
    assert splits(voc.parent / "set-split") == ("train", "val") and splits(voc) == ()
    assert len(read_labels(voc.parent / "set-split", split="val")) == 2


def test_every_option_of_split(run, voc):
    options = ("--val", 0.25, "--test", 0.25, "--seed", 3, "--group", r"^\D+\d", "--to", "yolo", "--out", "made")
    code, out, _ = run("split", "set", *options, "--copy-images", "--json")
    document = json.loads(out)
    assert code == 0 and [each["images"] for each in document["splits"]] == [6, 3, 3] and document["format"] == "yolo"
    assert splits(voc.parent / "made") == ("train", "val", "test")
    code, _, err = run("split", "set", "--image-root", "set", "--out", "other")
    assert code == 2 and "[option-conflict]" in err


@pytest.mark.parametrize(
    ("words", "id"),
    [
        (("convert", "nowhere", "--to", "coco", "--out", "a"), "file-missing"),
        (("convert", "set", "--to", "tfrecord", "--out", "a"), "option-value"),
        (("convert", "set", "--to", "coco", "--out", "set"), "output-exists"),
        (("convert", "set", "--to", "coco", "--out", "set/in"), "output-is-input"),
        (("split", "set", "--val", 1), "option-range"),
        (("split", "set", "--group", "["), "option-value"),
        (("split", "set", "--to", "cvat"), "option-value"),
    ],
)
def test_bad_input_is_refused(run, voc, words, id):
    code, out, err = run(*words)
    assert code == 2 and err.endswith(f"[{id}]\n") and not out and not (voc.parent / "a").exists()
