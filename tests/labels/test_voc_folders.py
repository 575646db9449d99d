"""Pascal VOC with folders below Annotations and JPEGImages, as tasks with folders are exported."""

import pytest

from labeled_sets import SIZE, thing, write_image, write_xml
from paretodet.labels.formats.voc import read_voc
from paretodet.labels.lint.examine import examine
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.read import format_of, read_labels, splits


def voc(folder, *images, lines=None, flat=()):
    """An xml file and an image for each name with its folder; `lines` of the image set default; images of names in
    `flat` lie in JPEGImages.
    """
    for number, name in enumerate((*images, *flat)):
        (folder / "Annotations" / name).parent.mkdir(parents=True, exist_ok=True)
        write_xml(folder, name, thing("cat" if number % 2 else "dog", (4, 4, 20, 20)))
        place = name.rpartition("/")[2] if name in flat else name
        write_image(folder / "JPEGImages" / f"{place}.jpg", number)
    if lines is not None:
        (folder / "ImageSets/Main").mkdir(parents=True)
        (folder / "ImageSets/Main/default.txt").write_text("".join(f"{line}\n" for line in lines))
    return folder


def places(folder):
    """Of every box, by the image: its xml file from Annotations."""
    parts, unread = open_parts(folder, format_of(folder))
    assert not unread
    found = ((part, row) for part in parts for row in range(len(part.data.boxes)))
    return {part.names[part.owners[row]]: part.at(row, "").file.relative_to(folder / "Annotations").as_posix()
            for part, row in found}  # fmt: skip


@pytest.mark.parametrize("names", [("sub/a",), ("sub/a", "b"), ("one/two/a", "one/b", "c"), ("x/1", "y/1", "1")])
def test_images_and_lines_are_found_in_folders(tmp_path, names):
    folder = voc(tmp_path / "set", *names, lines=names)
    found = read_labels(folder, split="default")
    assert sorted(sample.id for sample in found) == sorted(names) and found.skips == 0
    assert all(sample.image.is_file() and sample.size == SIZE for sample in found)
    assert places(folder) == {f"{name}.jpg": f"{name}.xml" for name in names}
    assert not [each for each in examine(folder).findings if each.level in ("fault", "error")]


@pytest.mark.parametrize("lines", [("sub/a",), ("a",), ("sub/a 1",)])
def test_a_set_may_name_a_folder_or_not(tmp_path, lines):
    folder = voc(tmp_path / "set", "sub/a", "b", lines=lines)
    assert [sample.id for sample in read_voc(folder, split="default")] == ["sub/a"]


def test_a_line_that_two_files_may_be_is_reported(tmp_path):
    folder = voc(tmp_path / "set", "x/1", "y/1", "z", lines=["1", "z"])
    found = read_voc(folder, split="default")
    assert [sample.id for sample in found] == ["z"]
    assert [each.id for each in found.skipped] == ["set-names-missing"]


def test_what_lies_in_annotations_itself_goes_first(tmp_path):
    folder = voc(tmp_path / "set", "x/1", "1", lines=["1"])
    assert [sample.id for sample in read_voc(folder, split="default")] == ["1"]


def test_images_may_lie_above(tmp_path):
    folder = voc(tmp_path / "set", "sub/a", "b", flat=("sub/c", "deep/er/d"))
    found = {sample.id: sample.image.is_file() for sample in read_voc(folder)}
    assert found == {"sub/a": True, "b": True, "c": True, "d": True}
    assert places(folder)["c.jpg"] == "sub/c.xml" and places(folder)["d.jpg"] == "deep/er/d.xml"


def test_an_image_that_is_missing_is_that_of_its_folder(tmp_path):
    folder = voc(tmp_path / "set", "sub/a", "sub/b", lines=["sub/a", "sub/b"])
    (folder / "JPEGImages/sub/a.jpg").unlink()
    found = {each.check: each for each in examine(folder).findings}["image-missing"]
    assert [place.file for place in found.places] == [folder / "JPEGImages/sub/a.jpg"]


def test_an_image_without_labels_is_told_from_one_of_another_folder(tmp_path):
    folder = voc(tmp_path / "set", "sub/a", "b")
    write_image(folder / "JPEGImages/a.jpg", 77)
    found = {each.check: each for each in examine(folder).findings}["image-without-labels"]
    assert [(place.file, "no labels" in place.text) for place in found.places] == [(folder / "JPEGImages/a.jpg", True)]


def test_folders_of_splits_are_splits(tmp_path):
    folder = voc(tmp_path / "set", "train/a", "train/x/b", "val/a")
    assert splits(folder) == ("train", "val")
    assert sorted(each.id for each in read_labels(folder, split="train")) == ["train/a", "train/x/b"]
    assert [each.image for each in read_labels(folder, split="val")] == [folder / "JPEGImages/val/a.jpg"]


def test_images_of_a_kit_may_have_folders_that_its_xmls_do_not(tmp_path):
    """And folders of another name than Annotations."""
    folder = voc(tmp_path / "set", "sub/a")
    (folder / "Annotations").rename(folder / "labels")
    (sample,) = read_labels(folder)
    assert sample.image == folder / "JPEGImages/sub/a.jpg"


@pytest.mark.parametrize("stray", ["._a.xml", "0.xml", "pom.xml"])
@pytest.mark.parametrize("folder", ["Annotations", "annots", "xml"])
def test_a_stray_xml_hides_no_set(tmp_path, folder, stray):
    made = voc(tmp_path / "set", "a", "b")
    (made / "Annotations").rename(made / folder)
    (made / folder / stray).write_text("<project/>")
    assert format_of(made).name == "voc" and [each.id.rpartition("/")[2] for each in read_labels(made)] == ["a", "b"]


def listed_set(folder, xmls, images, place, line):
    """Three images, in the lists train, val and trainval."""
    for number, name in enumerate("abc"):
        write_image(folder / images / f"{name}.jpg", number)
        (folder / xmls).mkdir(parents=True, exist_ok=True)
        write_xml(folder, name, thing("dog", (4, 4, 20, 20)))
        (folder / f"Annotations/{name}.xml").rename(folder / xmls / f"{name}.xml")
    (folder / place).mkdir(parents=True, exist_ok=True)
    for split, names in (("train", "ab"), ("val", "c"), ("trainval", "abc")):
        (folder / place / f"{split}.txt").write_text("".join(f"{line.format(name)}\n" for name in names))
    (folder / place / "labels.txt").write_text("dog\n")
    return folder


LINES = ("{0}", "{0} 1 1 2", "{0}.jpg", "images/{0}.jpg", "./images/{0}.jpg ./xmls/{0}.xml", "/x/{0}.jpg")
PLACES = [("xmls", ""), ("Annotations", "ImageSets"), ("annotations/xmls", "annotations")]


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize(("xmls", "place"), PLACES)
def test_lists_are_splits_wherever_they_lie(tmp_path, xmls, place, line):
    folder = listed_set(tmp_path / "set", xmls, "images", place, line)
    assert set(splits(folder)) == {"train", "val", "trainval"}
    ids = [[sample.id for sample in read_voc(folder, split=split)] for split in ("train", "val")]
    assert ids == [["a", "b"], ["c"]]
    parts, _ = open_parts(folder, format_of(folder))
    assert {part.split: len(part.data) for part in parts} == {"train": 2, "val": 1}


@pytest.mark.parametrize("text", ["0 0.5 0.5 0.1 0.1\n", "", "x.jpg\n", "a 2\n"])
def test_texts_that_list_no_image_of_the_set_are_no_splits(tmp_path, text):
    folder = listed_set(tmp_path / "set", "xmls", "images", "lists", "{0}")
    for name in ("train", "val", "trainval"):
        (folder / f"lists/{name}.txt").write_text(text)
    assert splits(folder) == () and len(read_voc(folder)) == 3


def test_a_line_of_a_missing_image_is_not_that_of_a_number_behind_it(tmp_path):
    folder = voc(tmp_path / "set", "1", "b", lines=["b", "lost 1"])
    assert [sample.id for sample in read_voc(folder, split="default")] == ["b"]
