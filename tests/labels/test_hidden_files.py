"""Hidden files, such as those that macOS writes beside others, are no part of a set."""

import pytest

from labeled_sets import SOUND, write_image
from paretodet.images import is_image_name
from paretodet.labels.image_index import images_below
from paretodet.labels.lint.examine import examine
from paretodet.labels.read import format_of, read_labels

APPLE_DOUBLE = b"\0\5\x16\7\0\2\0\0Mac OS X        "


@pytest.mark.parametrize("name", SOUND)
def test_copies_of_macos_are_no_part_of_a_set(tmp_path, name):
    folder = SOUND[name](tmp_path / "set")
    for file in [each for each in folder.rglob("*") if each.is_file()]:
        (file.parent / f"._{file.name}").write_bytes(APPLE_DOUBLE)
    assert format_of(folder).name == name and examine(folder).findings == ()
    assert len(read_labels(folder, split="train")) == 6


@pytest.mark.parametrize("name", ["yolo", "openimages", "csv"])
def test_hidden_folders_are_no_part_of_a_set(tmp_path, name):
    folder = SOUND[name](tmp_path / "set")
    place = next(folder.rglob("*.jpg")).parent / ".ipynb_checkpoints"
    write_image(place / "0-checkpoint.jpg", 77)
    assert len(read_labels(folder, split="train")) == 6
    assert not any("checkpoint" in each for each in images_below(folder))


@pytest.mark.parametrize(
    ("name", "is_image", "or_unread"),
    [
        ("a.jpg", True, True),
        ("a.b.JPEG", True, True),
        ("a.tif", False, True),
        ("._a.jpg", False, False),
        (".a.gif", False, False),
        (".jpg", False, False),
        ("a.txt", False, False),
        ("jpg", False, False),
    ],
)
def test_an_image_is_told_by_its_name(name, is_image, or_unread):
    assert (is_image_name(name), is_image_name(name, unread=True)) == (is_image, or_unread)
