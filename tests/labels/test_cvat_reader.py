"""CVAT's annotations.xml: shapes, subsets, and every way in which a shape can be wrong."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labeled_sets import SOUND
from paretodet.labels.formats.cvat import read_cvat
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.read import format_of, read_labels, splits

META = "<meta><task><labels><label><name>dog</name></label><label><name>cat</name></label></labels></task></meta>"
BOX = '<box label="cat" xtl="1.5" ytl="2" xbr="11.5" ybr="22" occluded="0"/>'


def write(folder: Path, *shapes: str, meta: str = META, subset: str = "", images: str = "") -> Path:
    more = f' subset="{subset}"' if subset else ""
    image = f'<image id="7" name="a.png" width="60" height="40"{more}>{"".join(shapes)}</image>'
    path = folder / "annotations.xml"
    path.write_text(f'<?xml version="1.0"?><annotations><version>1.1</version>{meta}{image}{images}</annotations>')
    return path


def test_boxes_and_classes(tmp_path: Path) -> None:
    found = read_cvat(write(tmp_path, BOX, '<tag label="dog"/>'))
    assert (found.labels, found.category_ids, found.skips) == (("dog", "cat"), (0, 1), 0)
    assert found[0].boxes.tolist() == [[1.5, 2, 11.5, 22]] and found[0].labels.tolist() == [1]
    assert (found[0].id, found[0].size, found[0].masks) == ("a", (40, 60), None)


def test_polygons_and_masks_are_outlines(tmp_path: Path) -> None:
    polygon = '<polygon label="dog" points="10.0,10.0;20.0,10.0;20.0,30.0"/>'
    mask = '<mask label="cat" rle="1, 2, 1, 4, 0" left="5" top="6" width="4" height="2"/>'
    found = read_cvat(write(tmp_path, polygon, mask))
    assert found[0].boxes.tolist() == [[10, 10, 20, 30], [5, 6, 9, 8]]
    assert found.mask(0).to_json() == [[10, 10, 20, 10, 20, 30]]
    drawn = found.mask(1).decode((40, 60))
    assert np.argwhere(drawn).tolist() == [[6, 6], [6, 7], [7, 5], [7, 6], [7, 7], [7, 8]]


def test_what_is_rotated_is_in_its_upright_box(tmp_path: Path) -> None:
    box = '<box label="dog" xtl="10" ytl="10" xbr="30" ybr="20" rotation="90.0"/>'
    ellipse = '<ellipse label="dog" cx="20" cy="20" rx="10" ry="5" rotation="90"/>'
    found = read_cvat(write(tmp_path, box, ellipse))
    assert np.allclose(found.boxes, [[15, 5, 25, 25], [15, 10, 25, 30]])


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        ('<points label="dog" points="1,2"/>', "<points> is not a box, polygon, ellipse or mask"),
        ('<box label="dog" xtl="1" ytl="2" xbr="x" ybr="4"/>', "<box> has xtl, ytl, xbr, ybr of 1, 2, x, 4"),
        ('<box label="dog" xtl="1" ytl="2" xbr="nan" ybr="4"/>', "pixels are needed"),
        ('<box label="cow" xtl="1" ytl="2" xbr="3" ybr="4"/>', "its category is not among the categories"),
        ('<box label="dog" xtl="3" ytl="2" xbr="1" ybr="4"/>', "swapped corners"),
        ('<box label="dog" xtl="99" ytl="2" xbr="100" ybr="4"/>', "no part of the box is inside"),
        ('<polygon label="dog" points="1,2;3,4"/>', "at least three x,y;x,y;x,y are needed"),
        ('<polygon label="dog" points="1,2;3,4;5"/>', "at least three"),
        ('<mask label="dog" rle="1" left="59" top="0" width="2" height="1"/>', "is not inside of its image"),
        ('<mask label="dog" rle="1,9" left="0" top="0" width="2" height="1"/>', "lengths that sum to the 2 pixels"),
        ('<mask label="dog" rle="-1,3" left="0" top="0" width="2" height="1"/>', "lengths that sum"),
    ],
)
def test_a_shape_that_cannot_be_used_is_left_out(tmp_path: Path, shape: str, reason: str) -> None:
    path = write(tmp_path, shape, BOX)
    found = read_cvat(path)
    assert len(found.boxes) == 1 and found.skips == 1
    assert reason in found.skipped[0].reason and str(found.skipped[0]).startswith(f"{path} a.png object[0]: ")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("<annotations><meta/></annotations>", "no <label> in its <meta>"),
        (f'<annotations>{META}<track id="0" label="dog"/></annotations>', "tracks of a video"),
        (f"<annotations>{META}", "no xml"),
        ("<annotations>" * 20, "elements inside of each other"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotations>&b;</annotations>', "document type"),
        ("<annotations><meta><label><name/></label></meta></annotations>", "a name is needed"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str, reason: str) -> None:
    path = tmp_path / "annotations.xml"
    path.write_text(content)
    with pytest.raises(ValueError, match=f"labels: {path}.*{reason}"):
        read_cvat(path)


def test_an_image_of_no_size_is_left_out_with_its_boxes(tmp_path: Path) -> None:
    odd = f'<image id="8" name="b.png" width="wide" height="40">{BOX}</image>'
    found = read_cvat(write(tmp_path, BOX, images=odd))
    assert len(found) == 1 and found.skips == 1 and found.skipped[0].place == "image[1]"


def test_subsets_are_splits_and_may_have_folders(tmp_path: Path) -> None:
    (tmp_path / "images" / "Train").mkdir(parents=True)
    Image.new("RGB", (60, 40)).save(tmp_path / "images" / "Train" / "a.png")
    other = f'<image id="8" name="b.png" subset="Validation" width="60" height="40">{BOX}</image>'
    write(tmp_path, BOX, subset="Train", images=other)
    assert format_of(tmp_path).name == "cvat" and splits(tmp_path) == ("train", "validation")
    train, whole = read_labels(tmp_path, split="train"), read_labels(tmp_path)
    assert (len(train), len(whole), whole.keys.tolist()) == (1, 2, [0, 1]) and train[0].image.is_file()
    with pytest.raises(ValueError, match="split: got 'test', .* has train, validation"):
        read_labels(tmp_path, split="test")


def test_the_parts_of_a_skeleton_are_no_classes(tmp_path: Path) -> None:
    part = "<label><name>paw</name><parent>dog</parent></label>"
    assert read_cvat(write(tmp_path, BOX, meta=META.replace("</labels>", f"{part}</labels>"))).labels == ("dog", "cat")


def test_the_images_may_lie_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, BOX)
    assert read_labels(tmp_path, images=tmp_path / "there")[0].image == tmp_path / "there" / "a.png"


def test_a_file_of_another_name_is_found_in_its_folder(tmp_path):
    folder = SOUND["cvat"](tmp_path / "set")
    (folder / "annotations.xml").rename(folder / "task_3.xml")
    (folder / "a.xml").write_text("<html/>")
    assert format_of(folder).name == "cvat" and len(read_labels(folder, split="val")) == 6


@pytest.mark.parametrize(("text", "crowd"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_a_mark_among_the_attributes_makes_a_crowd(tmp_path: Path, text: str, crowd: bool) -> None:
    corners = 'xtl="1" ytl="2" xbr="9" ybr="9"'
    shape = f'<box label="dog" {corners}><attribute name="difficult">{text}</attribute></box>'
    assert read_cvat(write(tmp_path, shape)).crowd.tolist() == [crowd]


@pytest.mark.parametrize("place", ["images/frame_000007.PNG", "images/Train/frame_000007.jpg", "frame_000007.png"])
def test_a_frame_of_a_video_has_a_name_without_a_suffix(tmp_path: Path, place: str) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (60, 40)).save(tmp_path / place)
    path = write(tmp_path, BOX, subset="Train" if "Train" in place else "")
    path.write_text(path.read_text().replace("a.png", "frame_000007"))
    assert read_cvat(path)[0].image == tmp_path / place


def test_images_of_no_subset_are_a_part(tmp_path: Path) -> None:
    for name in "ab":
        Image.new("RGB", (60, 40)).save(tmp_path / f"{name}.png")
    write(tmp_path, BOX, subset="Train", images=f'<image id="8" name="b.png" width="60" height="40">{BOX}</image>')
    parts, unread = open_parts(tmp_path, format_of(tmp_path))
    assert [(part.split, part.names) for part in parts] == [("train", ["a.png"]), ("rest", ["b.png"])] and not unread
    assert parts[1].at(0, "").file == tmp_path / "annotations.xml"


@pytest.mark.parametrize("first", ["annotations.xml", "task_1.xml"])
def test_of_several_files_none_is_dropped(tmp_path: Path, first: str) -> None:
    write(tmp_path, BOX).rename(tmp_path / first)
    assert format_of(tmp_path).name == "cvat" and len(read_labels(tmp_path).boxes) == 1
    (tmp_path / "task_2.xml").write_text((tmp_path / first).read_text())
    (tmp_path / "other.xml").write_text("<project/>")
    for read in (read_labels, splits):
        with pytest.raises(ValueError, match=f"several files of CVAT: name one of {first}, task_2.xml") as refused:
            read(tmp_path)
        assert refused.value.id == "split-unnamed"
    assert len(read_labels(tmp_path / "task_2.xml").boxes) == 1
