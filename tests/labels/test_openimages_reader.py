"""Open Images' boxes: fractions of image files, groups, and every way in which a line can be wrong."""

from pathlib import Path

import pytest
from PIL import Image

from labeled_sets import BOXES_HEADER, SOUND
from paretodet.evaluation.ground_truth import read_ground_truth
from paretodet.labels.formats import openimages
from paretodet.labels.formats.openimages import read_open_images
from paretodet.labels.read import format_of, read_labels, splits

DOG, CAT = "/m/0bt9lr", "/m/01yrx"
NAMES = f'{DOG},Dog\n{CAT},"Cat, of a house"\n'
BOX = f"a,xclick,{CAT},1,0.25,0.5,0.1,0.6,1,0,0,0,0"


def write(folder: Path, *lines: str, names: str = NAMES, header: str = BOXES_HEADER, split: str = "train") -> Path:
    (folder / split).mkdir(exist_ok=True)
    Image.new("RGB", (80, 40)).save(folder / split / "a.png")
    (folder / "class-descriptions-boxable.csv").write_text(names)
    path = folder / f"{split}-annotations-bbox.csv"
    path.write_text("\n".join([header, *lines]))
    return path


def test_boxes_are_fractions_of_the_image_file(tmp_path: Path) -> None:
    found = read_open_images(write(tmp_path, BOX, f"a,xclick,{DOG},1,0,1,0,1,0,0,0,0,1"))
    assert (found.labels, found.category_ids, found.skips) == (("Dog", "Cat, of a house"), (0, 1), 0)
    assert found[0].boxes.tolist() == [[20, 4, 40, 24], [0, 0, 80, 40]] and found[0].labels.tolist() == [1, 0]
    assert (found[0].id, found[0].size, found[0].image) == ("train/a", (40, 80), tmp_path / "train/a.png")


@pytest.mark.parametrize(("value", "crowd"), [("1", True), ("0", False), ("-1", False)])
def test_a_group_is_a_crowd(tmp_path: Path, value: str, crowd: bool) -> None:
    found = read_open_images(write(tmp_path, f"a,xclick,{DOG},1,0,1,0,1,0,0,{value},0,0"))
    assert found.crowd.tolist() == [crowd]


def test_columns_are_found_by_name(tmp_path: Path) -> None:
    """Files of later versions have more of them, those of others may have fewer."""
    found = read_open_images(
        write(tmp_path, f"0.1,0.6,{CAT},0.25,0.5,a", header="YMin,YMax,LabelName,XMin,XMax,ImageID")
    )
    assert found.boxes.tolist() == [[20, 4, 40, 24]] and not found.crowd.any()


def test_a_sideways_photo_is_measured_upright(tmp_path: Path) -> None:
    path, exif = write(tmp_path, BOX), Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "train/a.png").unlink()
    Image.new("RGB", (40, 80)).save(tmp_path / "train/a.jpg", exif=exif)
    assert read_open_images(path)[0].size == (40, 80)


def test_splits_and_classes(tmp_path: Path) -> None:
    """The names of the versions since 6 have a prefix, and their descriptions a first line."""
    write(tmp_path, BOX, split="validation", names=f"LabelName,DisplayName\n{NAMES}")
    write(tmp_path, BOX, BOX.replace("a,", "missing,", 1), names=f"LabelName,DisplayName\n{NAMES}")
    (tmp_path / "train-annotations-bbox.csv").rename(tmp_path / "oidv6-train-annotations-bbox.csv")
    assert format_of(tmp_path).name == "openimages" and splits(tmp_path) == ("train", "validation")
    train = read_labels(tmp_path, split="train")
    assert train.labels == ("Dog", "Cat, of a house") and len(train) == 1
    assert [(each.id, each.place) for each in train.skipped] == [("image-missing", "line 3")]
    for split in (None, "test"):
        with pytest.raises(ValueError, match="it has train, validation"):
            read_labels(tmp_path, split=split)


def test_classes_that_an_image_lacks_are_known(tmp_path: Path) -> None:
    path = write(tmp_path, BOX)
    assert read_open_images(path).federated is None
    lines = [
        f"a,verification,{DOG},0",
        f"a,verification,{CAT},1",
        f"other,verification,{DOG},0",
        "a,verification,/m/1,0",
        "a",
    ]
    beside = tmp_path / "train-annotations-human-imagelabels-boxable.csv"
    beside.write_text("\n".join(["ImageID,Source,LabelName,Confidence", *lines]))
    found = read_open_images(path).federated
    assert found and found.absent.tolist() == [[0, 0]] and found.frequency == ()
    beside.write_text("ImageID,LabelName\n")
    with pytest.raises(ValueError, match=f"labels: {beside} has no column Confidence"):
        read_open_images(path)


def test_images_may_lie_elsewhere_and_deeper(tmp_path: Path) -> None:
    path = write(tmp_path, BOX)
    deep = tmp_path / "elsewhere" / "train" / "Cat"
    deep.mkdir(parents=True)
    Image.new("RGB", (60, 40)).save(deep / "a.jpg")
    found = read_labels(path, images=tmp_path / "elsewhere")
    assert (found[0].image, found[0].size) == (deep / "a.jpg", (40, 60))


@pytest.mark.parametrize(
    ("line", "id", "reason"),
    [
        (f"a,xclick,{CAT},1,0.25,0.5,0.1", "line-malformed", "7 values, the first line names 13"),
        (f"a,xclick,{CAT},1,left,0.5,0.1,0.6,0,0,0,0,0", "line-malformed", "numbers are needed"),
        (f"a,xclick,{CAT},1,0.25,nan,0.1,0.6,0,0,0,0,0", "line-not-normalized", "no fractions"),
        (f"a,xclick,{CAT},1,20,40,4,24,0,0,0,0,0", "line-not-normalized", "no fractions"),
        ("a,xclick,/m/1,1,0.25,0.5,0.1,0.6,0,0,0,0,0", "category-unknown", "not among the categories"),
        (f"a,xclick,{CAT},1,0.5,0.25,0.1,0.6,0,0,0,0,0", "box-swapped", "swapped corners"),
        (f"a,xclick,{CAT},1,0.5,0.5,0.1,0.6,0,0,0,0,0", "box-empty", "no area"),
        (f"a,xclick,{CAT},1,1.1,1.2,0.1,0.6,0,0,0,0,0", "box-outside", "no part of the box"),
        (f"../../etc/passwd,xclick,{CAT},1,0.25,0.5,0.1,0.6,0,0,0,0,0", "image-missing", "no file '../../etc/passwd'"),
    ],
)
def test_a_line_that_cannot_be_used_is_left_out(tmp_path: Path, line: str, id: str, reason: str) -> None:
    path = write(tmp_path, line, BOX)
    found = read_open_images(path)
    assert len(found.boxes) == 1 and found.skips == 1
    assert found.skipped[0].id == id and reason in found.skipped[0].reason
    assert str(found.skipped[0]).startswith(f"{path} line 2: ")


def test_an_image_that_is_none_is_left_out_with_its_boxes(tmp_path: Path) -> None:
    path = write(tmp_path, BOX, *[BOX.replace("a,", "b,", 1)] * 3)
    (tmp_path / "train/b.jpg").write_text("<html>404</html>")
    found = read_open_images(path)
    assert (len(found), len(found.boxes), found.skips) == (1, 1, 1)
    assert "b.jpg" in found.skipped[0].reason


@pytest.mark.parametrize(
    ("content", "names", "reason"),
    [
        ("", NAMES, "no column ImageID"),
        (BOXES_HEADER.replace("YMax", "Y"), NAMES, "no column YMax"),
        (f"{BOXES_HEADER}\n{'a' * openimages.MAX_LINE}", NAMES, "line 2 cannot be read .*more than 65536 characters"),
        (f'{BOXES_HEADER}\n"a,xclick', NAMES, "line 2 cannot be read"),
        (f"{BOXES_HEADER}\n\ud800", NAMES, "cannot be read"),
        (BOXES_HEADER, NAMES, "no usable image"),
        (f"{BOXES_HEADER}\n{BOX}", "", "names no class"),
        (f"{BOXES_HEADER}\n{BOX}", "/m/1,Dog,2\n", "line 1: an id and a name are needed"),
        (f"{BOXES_HEADER}\n{BOX}", "/m/1,Do\x1b[31mg\n", "line 1: an id and a name are needed"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, content: str, names: str, reason: str) -> None:
    path = write(tmp_path, names=names)
    path.write_bytes(content.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=f"labels: {tmp_path}.*{reason}"):
        read_open_images(path)


def test_descriptions_are_needed(tmp_path: Path) -> None:
    path = write(tmp_path, BOX)
    (tmp_path / "class-descriptions-boxable.csv").unlink()
    with pytest.raises(ValueError, match=f"labels: {tmp_path} has no class-descriptions-boxable.csv"):
        read_open_images(path)


def test_another_csv_is_no_labels(tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("name,ap\nssd,18.8\n")
    with pytest.raises(ValueError, match=r"\[labels-format\]$"):
        format_of(tmp_path / "results.csv")


def test_files_of_other_names_are_found_by_their_columns(tmp_path):
    folder = SOUND["openimages"](tmp_path / "set")
    for split in ("train", "val"):
        (folder / f"{split}-annotations-bbox.csv").rename(folder / f"{split}.csv")
    assert format_of(folder).name == "openimages" and splits(folder) == ("train", "val")
    assert len(read_labels(folder, split="val")) == 6


def test_without_verified_classes_the_evaluation_says_so(tmp_path: Path) -> None:
    path = write(tmp_path, BOX)
    (sentence,) = read_ground_truth(path).skipped
    name = "train-annotations-human-imagelabels-boxable.csv"
    assert "looked for" in sentence and f"copy {name}" in sentence
    (tmp_path / name).write_text("ImageID,Source,LabelName,Confidence\n")
    assert read_ground_truth(path).skipped == ()
