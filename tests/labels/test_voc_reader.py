"""Pascal VOC folders: the real one, and every way in which one can be wrong."""

from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from paretodet.labels.formats.voc import read_voc
from paretodet.labels.lint.examine import examine
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.read import find_format, format_of, read_labels, splits
from paretodet.labels.xml_stream import MAX_DEPTH

OBJECT = (
    "<object><name>{}</name><difficult>{}</difficult>"
    "<bndbox><xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>"
)
SIZE = "<size><width>60</width><height>40</height><depth>3</depth></size>"


def annotation(*objects, size=SIZE):
    return f"<annotation>{size}{''.join(objects)}</annotation>"


def thing(label="dog", corners=(11, 6, 30, 35), difficult=0):
    return OBJECT.format(label, difficult, *corners)


def voc(folder, files, **sets):
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder / name).mkdir(parents=True)
    for stem, text in files.items():
        (folder / "Annotations" / f"{stem}.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
    for name, stems in sets.items():
        (folder / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems))
    return folder


def test_corners_counted_from_one_become_half_open(tmp_path):
    folder = voc(tmp_path, {"a": annotation(thing(), thing("cat", (1, 1, 60, 40), difficult=1))})
    sample = read_voc(folder)[0]
    assert sample.boxes.tolist() == [[10, 5, 30, 35], [0, 0, 60, 40]]
    assert (sample.labels.tolist(), sample.crowd.tolist()) == ([1, 0], [False, True])
    assert (sample.id, sample.size, sample.masks) == ("a", (40, 60), None)
    assert sample.image == folder / "JPEGImages" / "a.jpg"


def test_every_split_has_the_classes_of_all(tmp_path):
    folder = voc(tmp_path, {"a": annotation(thing()), "b": annotation(thing("cat"))}, train=["a"], val=["b  1", ""])
    train, val = read_voc(folder, split="train"), read_voc(folder, split="val")
    assert train.labels == val.labels == ("cat", "dog")
    assert ([each.id for each in train], [each.id for each in val]) == (["a"], ["b"])


def test_a_part_of_an_object_has_a_box_of_its_own(tmp_path):
    """Of people's heads and hands, which are not read."""
    part = f"<part><name>head</name>{BOX}</part>"
    found = read_voc(voc(tmp_path, {"a": annotation(thing().replace("</object>", part + "</object>"))}))
    assert found[0].boxes.tolist() == [[10, 5, 30, 35]] and found.skips == 0


def test_an_image_has_one_number_in_all_splits(tmp_path):
    files = {"a": annotation(thing()), "b": "no xml", "c": annotation(thing()), "d": annotation(thing())}
    folder = voc(tmp_path, files, train=["a", "d"], val=["c"])
    found = {split: read_voc(folder, split=split).keys.tolist() for split in (None, "train", "val")}
    assert found == {None: [0, 2, 3], "train": [0, 3], "val": [2]}


def test_names_may_hold_spaces_and_numbers(tmp_path):
    """The image set of one class has 1, 0 or -1 behind every name; a file may have such a name, too."""
    files = {name: annotation(thing()) for name in ("photo 1", "photo 2", "z", "photo")}
    folder = voc(tmp_path, files, train=["photo 1", " photo 2 ", "z -1"])
    found = read_voc(folder, split="train")
    assert sorted(each.id for each in found) == ["photo 1", "photo 2", "z"] and found.skipped == ()


def test_classes_may_have_any_script(tmp_path):
    found = read_voc(voc(tmp_path, {"a": annotation(thing("\u200dab\u202fc")), "b": annotation(thing("next\x85line"))}))
    assert found.labels == ("\u200dab\u202fc",) and "has no <name>" in found.skipped[0].reason


def test_an_image_may_have_another_suffix_and_no_object(tmp_path):
    folder = voc(tmp_path, {"a": annotation(), "b": annotation(thing())})
    (folder / "JPEGImages" / "a.PNG").touch()
    for name in ("b.gif", "c.bmp", "c.gif"):
        (folder / "JPEGImages" / name).touch()
    (folder / "Annotations" / "c.xml").write_text(annotation())
    sample, *others = read_voc(folder)
    assert (sample.image.name, sample.boxes.shape) == ("a.PNG", (0, 4))
    assert [each.image.name for each in others] == ["b.gif", "c.bmp"]  # an unsupported image fails when it is opened


def other_folders(folder, xmls, images, *, split=""):
    """Two xml files and their images in folders of these names."""
    for stem in ("a", "b"):
        for name in (xmls, images):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / xmls / f"{split}{stem}.xml").write_text(annotation(thing("cat" if stem == "a" else "dog")))
        Image.new("RGB", (60, 40)).save(folder / images / f"{split}{stem}.png")
    return folder


@pytest.mark.parametrize(
    ("xmls", "images"),
    [
        ("annotations", "images"), ("annots", "images"), ("Annotations", "images"), ("labels", "pictures"),
        ("xml", "."), (".", "."), (".", "images"), ("data/ann", "data/img"), ("Annotations/xmls", "JPEGImages"),
    ],
)  # fmt: skip
def test_a_set_is_found_in_folders_of_other_names(tmp_path, xmls, images):
    folder = other_folders(tmp_path / "set", xmls, images)
    (folder / "README.txt").write_text("nothing")
    found = read_labels(folder)
    assert format_of(folder).name == "voc" and splits(folder) == () and found.labels == ("cat", "dog")
    assert [sample.image.is_file() for sample in found] == [True, True]
    assert [file.parent for file in found_files(folder)] == [folder / xmls] * 2


@pytest.mark.parametrize("xmls", ["Annotations", "ANNOTATIONS", "."])
def test_suffixes_in_capitals_are_read(tmp_path, xmls):
    folder = other_folders(tmp_path, xmls, "JPEGImages")
    for file in [*folder.glob(f"{xmls}/*.xml"), *folder.glob("JPEGImages/*.png")]:
        file.rename(file.with_suffix(file.suffix.upper()))
    assert read_labels(folder).labels == ("cat", "dog") and len(found_files(folder)) == 2
    (folder / "ImageSets/Main").mkdir(parents=True)
    (folder / "ImageSets/Main/val.txt").write_text("b\n")
    (only,) = read_labels(folder, split="val")
    assert only.image.name == "b.PNG" and only.image.is_file()


def found_files(folder):
    (part,), _ = open_parts(folder, format_of(folder))
    return [part.at(row, "").file for row in range(len(part.data.boxes))]


@pytest.mark.parametrize(
    ("xmls", "images"),
    [
        ("{split}", "{split}"), ("annotations/{split}", "images/{split}"), ("{split}/ann", "{split}/img"),
        ("{split}/annotations", "images/{split}"),
    ],
)  # fmt: skip
def test_folders_named_as_splits_are_splits(tmp_path, xmls, images):
    for split in ("train", "valid"):
        other_folders(tmp_path, xmls.format(split=split), images.format(split=split))
    assert sorted(splits(tmp_path)) == ["train", "valid"]
    train, valid = (read_labels(tmp_path, split=split) for split in ("train", "valid"))
    assert train.labels == valid.labels == ("cat", "dog") and (len(train), len(read_labels(tmp_path))) == (2, 4)
    assert {sample.image.parent.relative_to(tmp_path) for sample in valid} == {Path(images.format(split="valid"))}
    parts, _ = open_parts(tmp_path, format_of(tmp_path))
    assert {part.at(0, "").file.parent.relative_to(tmp_path) for part in parts} == {
        Path(xmls.format(split=split)) for split in ("train", "valid")
    }
    with pytest.raises(ValueError, match="split: got 'test'"):
        read_labels(tmp_path, split="test")


def test_xmls_of_another_kind_are_no_set(tmp_path):
    (tmp_path / "a.xml").write_text("<html/>")
    assert find_format(tmp_path) is None


@pytest.mark.parametrize("stated", ["photo.png", "C:\\sets\\photo.png", "photo", "/home/a/photo.png"])
def test_the_file_name_in_an_xml_names_its_image(tmp_path, stated):
    folder = voc(tmp_path / "set", {"000": f"<annotation><filename>{stated}</filename>{annotation(thing())[12:]}"})
    Image.new("RGB", (60, 40)).save(folder / "JPEGImages/photo.png")
    assert read_voc(folder)[0].image == folder / "JPEGImages/photo.png"
    assert {each.check for each in examine(folder).findings} == {"class-few"}
    assert found_files(folder) == [folder / "Annotations/000.xml"]


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("my%20photo.png", "my photo.png"),
        ("photo.bmp", "photo.png"),
        ("e\u0301t\u00e9.png", "\u00e9t\u00e9.png"),
    ],
)
def test_an_image_whose_name_is_alike_is_found(tmp_path, stated, name):
    folder = voc(tmp_path / "set", {"000": f"<annotation><filename>{stated}</filename>{annotation(thing())[12:]}"})
    Image.new("RGB", (60, 40)).save(folder / "JPEGImages" / name)
    assert read_voc(folder)[0].image == folder / "JPEGImages" / name
    assert {each.check for each in examine(folder).findings} <= {"class-few", "xml-names-another-file"}


@pytest.mark.parametrize("images", ["JPEGImages", "photos"])
def test_an_image_may_lack_what_an_upload_put_before_its_name(tmp_path, images):
    """As the xml files that Label Studio exports, beside the images before they were uploaded."""
    stem = "1a2b3c4d-photo"
    folder = tmp_path / "set"
    for name in ("Annotations", images):
        (folder / name).mkdir(parents=True)
    xml = f"<annotation><filename>{stem}.png</filename>{annotation(thing())[12:]}"
    (folder / "Annotations" / f"{stem}.xml").write_text(xml)
    Image.new("RGB", (60, 40)).save(folder / images / "photo.png")
    assert read_voc(folder)[0].image == folder / images / "photo.png"
    assert found_files(folder) == [folder / "Annotations" / f"{stem}.xml"]
    Image.new("RGB", (60, 40)).save(folder / images / f"{stem}.png")
    assert read_voc(folder)[0].image == folder / images / f"{stem}.png"


def test_a_path_names_the_image_where_no_filename_does(tmp_path):
    stated = "<filename></filename><path>C:\\sets\\photo.png</path>"
    folder = voc(tmp_path / "set", {"000": f"<annotation>{stated}{annotation(thing())[12:]}"})
    Image.new("RGB", (60, 40)).save(folder / "JPEGImages/photo.png")
    assert read_voc(folder)[0].image == folder / "JPEGImages/photo.png"


def test_the_image_of_the_xmls_own_stem_goes_first(tmp_path):
    folder = voc(tmp_path / "set", {"000": f"<annotation><filename>photo.png</filename>{annotation(thing())[12:]}"})
    for name in ("photo.png", "000.png"):
        Image.new("RGB", (60, 40)).save(folder / f"JPEGImages/{name}")
    assert read_voc(folder)[0].image.name == "000.png"
    assert "xml-names-another-file" in {each.check for each in examine(folder).findings}


def test_of_a_missing_image_one_thing_is_said(tmp_path):
    folder = voc(tmp_path / "set", {"000": f"<annotation><filename>photo.png</filename>{annotation(thing())[12:]}"})
    found = {each.check: each for each in examine(folder).findings}
    assert found.keys() == {"class-few", "image-missing"} and found["image-missing"].places[0].file.name == "photo.png"


@pytest.mark.parametrize("size", ["", SIZE.replace("40", "0"), SIZE.replace("60", ""), "<size/>"])
def test_a_size_that_is_missing_is_that_of_the_image(tmp_path, size):
    folder = voc(tmp_path, {"a": annotation(thing(), size=size)})
    Image.new("RGB", (60, 40)).save(folder / "JPEGImages/a.png")
    assert read_voc(folder)[0].size == (40, 60)


@pytest.mark.parametrize(
    ("encoding", "name"),
    [("GB2312", "猫"), ("gbk", "猫"), ("big5", "貓"), ("windows-1251", "кот"), ("euc-kr", "고양이")],
)
def test_an_xml_may_have_any_usual_encoding(tmp_path, encoding, name):
    text = f'<?xml version="1.0" encoding="{encoding}"?>{annotation(thing(name))}'
    assert read_voc(voc(tmp_path, {"a": text.encode(encoding)})).labels == (name,)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (b'<?xml version="1.0" encoding="no-such"?><annotation/>', "encoding"),
        (b'<?xml version="1.0" encoding="gbk"?><annotation>\xff\xff</annotation>', "other bytes: save it as UTF-8"),
        ("<annotation>中文".encode("gbk"), "save it as UTF-8"),
        (annotation(thing(), size="").encode(), "<size/height> is None"),
        (b"no xml", "no xml"),
    ],
)
def test_if_no_xml_can_be_used_the_first_cause_is_named(tmp_path, text, cause):
    folder = voc(tmp_path, {"a": text, "b": text})
    with pytest.raises(ValueError, match="no usable xml; 2 cannot be used, the first: ") as refused:
        read_voc(folder)
    assert str(folder / "Annotations/a.xml") in str(refused.value) and cause in str(refused.value)
    (folder / "Annotations/b.xml").write_text(annotation())
    with pytest.raises(ValueError, match="has an object, so there is no class; 1 cannot be used, the first: "):
        read_voc(folder)


@pytest.mark.parametrize(("text", "crowd"), [("1", True), ("1.0", True), ("0", False), ("", False), ("true", True)])
def test_difficult_is_what_its_value_is(tmp_path, text, crowd):
    (sample,) = read_voc(voc(tmp_path, {"a": annotation(thing(difficult=text))}))
    assert sample.crowd.tolist() == [crowd]


def test_the_real_set_is_read_whole(data_folder):
    found = read_voc(data_folder / "bccd")
    assert (len(found), found.labels) == (364, ("Platelets", "RBC", "WBC"))
    assert Counter(found.classes.tolist()) == {0: 361, 1: 4155 - 2, 2: 372}
    reasons = [(each.file.stem, each.place, each.reason) for each in found.skipped]
    assert reasons == [
        ("BloodImage_00338", "object[12]", "the box has no area"),
        ("BloodImage_00343", "object[3]", "the box has no area"),
    ]
    assert all(sample.image.is_file() for sample in found)


@pytest.mark.parametrize(("split", "images"), [("train", 205), ("val", 87), ("test", 72)])
def test_the_real_splits(data_folder, split, images):
    assert len(read_voc(data_folder / "bccd", split=split)) == images


BOX = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
BOMB = '<!DOCTYPE a [<!ENTITY x "xxxxxxxx"><!ENTITY y "&x;&x;&x;&x;">]>' + annotation(thing("&y;"))
OUTSIDE = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]>' + annotation(thing("&x;"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (BOMB, "it has a document type, which may define entities: remove the <!DOCTYPE"),
        (OUTSIDE, "it has a document type"),
        (BOMB.encode("utf-16"), "it has a document type"),
        (annotation(thing("&y;")), "no xml (undefined entity"),
        ("", "no xml (no element found"),
        (annotation(thing())[:-5], "no xml"),
        (b"\xff\xd8\xff\xe0", "no xml"),
        ("<a>" * (MAX_DEPTH + 1), f"more than {MAX_DEPTH} elements inside of each other"),
        ("<a>" * 100_000, f"more than {MAX_DEPTH} elements inside of each other"),
        (" " * (2**24 + 1), "is larger than 16 MiB"),
        ("<html/>", "<html> is not <annotation>, no Pascal VOC file"),
        (annotation(thing(), size=""), "<size/height> is None, a number is needed"),
        (annotation(thing(), size=SIZE.replace("40", "0")), "<size/height> is '0', the image's pixels are needed"),
        (annotation(thing(), size=SIZE.replace("40", "nan")), "<size/height> is 'nan', the image's pixels"),
        (annotation(thing(" ")), "object[0] has no <name>"),
        (annotation(thing(), thing(corners=(1, 2, "x", 4))), "<bndbox/xmax> is 'x', a number is needed"),
        (annotation("<object><name>dog</name></object>"), "<bndbox/xmin> is None, a number is needed"),
        (annotation("<object><name>dog</name><robndbox/></object>"), "object[0] has <robndbox>, an oriented box"),
        (
            annotation(thing(), thing().replace("</object>", BOX + "</object>")),
            "object[1] has 2 <bndbox>, one is needed",
        ),
    ],
)
def test_an_xml_that_cannot_be_used_is_skipped_and_reported(tmp_path, text, fault):
    folder = voc(tmp_path, {"a": text, "b": annotation(thing())})
    found = read_voc(folder)
    assert ([each.id for each in found], found.skips) == (["b"], 1)
    assert str(found.skipped[0]).startswith(f"{folder / 'Annotations' / 'a.xml'}: ")
    assert fault in found.skipped[0].reason


@pytest.mark.parametrize(
    ("corners", "fault"),
    [
        ((11, 6, 11, 6), "the box has no area"),
        ((11, 6, 11, 9), "the box has no area"),
        ((30, 6, 11, 9), "the box has swapped corners or a negative side"),
        ((61, 6, 70, 9), "no part of the box is inside of its image"),
        (("nan", 6, 70, 9), "the box holds a number that is not finite"),
        ((1, 6, "inf", 9), "the box holds a number that is not finite"),
    ],
)
def test_an_invalid_box_is_skipped_and_reported(tmp_path, corners, fault):
    found = read_voc(voc(tmp_path, {"a": annotation(thing(), thing(corners=corners))}))
    assert found[0].boxes.tolist() == [[10, 5, 30, 35]]
    assert [(each.file.name, each.place, each.reason) for each in found.skipped] == [("a.xml", "object[1]", fault)]


def test_a_set_that_does_not_exist_is_refused_with_those_that_do(tmp_path):
    folder = voc(tmp_path, {"a": annotation(thing())}, train=["a"], val=["a"])
    for split in ("test", "../Main/train"):
        with pytest.raises(ValueError, match=r"split: got '.*', .*Main has train, val"):
            read_voc(folder, split=split)


def test_a_name_without_xml_is_reported(tmp_path):
    found = read_voc(voc(tmp_path, {"a": annotation(thing())}, train=["a", "b"]), split="train")
    assert str(found.skipped[0]).endswith("b.xml: no such file, though the image set names it")


def test_nothing_usable_is_refused_with_the_first_reasons(tmp_path):
    with pytest.raises(ValueError, match="usable xml files has an object"):
        read_voc(voc(tmp_path / "a", {"a": annotation()}))
    folder = voc(tmp_path / "b", {"a": annotation(thing())}, train=["x"])
    with pytest.raises(ValueError, match=r"has no usable image; .*x\.xml: no such file"):
        read_voc(folder, split="train")


@pytest.mark.parametrize(
    ("names", "order"), [(("10", "9", "2"), ("2", "9", "10")), (("10", "9", "x"), ("10", "9", "x"))]
)
def test_classes_whose_names_are_numbers_are_in_their_order(tmp_path, names, order):
    assert read_voc(voc(tmp_path, {"a": annotation(*map(thing, names))})).labels == order


@pytest.mark.parametrize(
    ("mark", "crowd"), [("<ignore>1</ignore>", True), ("<iscrowd>true</iscrowd>", True), ("<ignore/>", False)]
)
def test_other_marks_make_a_crowd_too(tmp_path, mark, crowd):
    text = annotation(thing().replace("</object>", f"{mark}</object>"))
    (sample,) = read_voc(voc(tmp_path, {"a": text}))
    assert sample.crowd.tolist() == [crowd]
