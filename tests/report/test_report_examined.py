"""An examined data set for people: the first places, what to do, and what to type next."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.console import Console

from labeled_sets import SOUND
from paretodet.labels.lint.clean import write_clean
from paretodet.labels.lint.examine import examine
from paretodet.report.examined import caution, cleaned_lines, findings_table, headline, next_steps, small_boxes, summary

LINE = "0 0.5 0.5 0.2 0.2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Labels in YOLO's format, with five lines of an unknown class."""
    for place, split in enumerate(("train", "val")):
        (tmp_path / "set/images" / split).mkdir(parents=True)
        (tmp_path / "set/labels" / split).mkdir(parents=True)
        for number in range(5):
            name = f"{number}" if number else "od\x1bd"
            color = (40 * number, 100 * place, 7)
            Image.new("RGB", (40, 40), color).save(tmp_path / "set/images" / split / f"{name}.png")
            strange = "9 0.5 0.5 0.2 0.2\n" if split == "train" else ""
            (tmp_path / "set/labels" / split / f"{name}.txt").write_text(LINE + LINE.replace("0.5", "0.2") + strange)
    (tmp_path / "set/data.yaml").write_text("train: images/train\nval: images/val\nnames: [thing]\n")
    return tmp_path / "set"


def shown(item: object) -> str:
    console = Console(width=160)
    with console.capture() as caught:
        console.print(item, markup=False)
    return caught.get()


def test_the_table_has_the_first_places_and_the_fix(folder: Path) -> None:
    found = examine(folder)
    text = shown(findings_table(found))
    assert headline(found) == f"{folder}: YOLO, 10 images, 20 boxes, 1 class (train 5, val 5)"
    assert "category-unknown" in text and "labels/train/1.txt line 3: class 9" in text and "and 2 more" in text
    assert text.index("fault") < text.index("warning") and "→ Name the category" in text
    assert "\x1b" not in text.replace("\x1b[", "")
    assert summary(found) == f"{len(found.ran)} checks found 1 fault and 1 warning."
    assert small_boxes(found)[0] == "Boxes on a canvas of 320 px: 0 % under 8 px, 0 % under 16 px, 0 % under 32 px."


def test_the_next_steps_are_commands(folder: Path, tmp_path: Path) -> None:
    found, clean = examine(folder), tmp_path / "clean"
    assert next_steps(found, None) == [
        ("doctor", str(folder), "--fix", "set-clean"),
        ("train", "ssd-mobilenet_v1-300", "--data", str(folder)),
    ]
    assert caution(found, None).startswith("Training on these labels")
    there = ("--image-root", "my pictures")
    assert [words[2:4] for words in next_steps(found, None, Path(there[1]))] == [there, ("--data", str(folder))]
    assert next_steps(found, None, Path(there[1]))[1][-2:] == there
    done = write_clean(found, clean)
    assert next_steps(found, done, Path(there[1])) == next_steps(found, done)  # a copy has its images
    train = [("train", "ssd-mobilenet_v1-300", "--data", str(clean))]
    assert next_steps(found, done) == next_steps(examine(clean), None) == train
    assert caution(found, done) == caution(examine(clean), None) == ""
    assert list(cleaned_lines(done)) == [f"{clean}: 10 images, 20 boxes"]


def test_the_next_step_names_the_split_if_training_cannot_decide(folder: Path, tmp_path: Path) -> None:
    clean = tmp_path / "clean"
    write_clean(examine(folder), clean)
    named = clean / "annotations/instances_train.json"
    assert "--data-split" not in next_steps(examine(clean), None)[0]
    named.rename(named.with_name("instances_minetest.json"))
    (clean / "images/train").rename(clean / "images/minetest")
    assert next_steps(examine(clean), None)[0][-2:] == ("--data-split", "minetest")
    again = write_clean(examine(clean), tmp_path / "again")
    assert next_steps(examine(clean), again)[0][-2:] == ("--data-split", "minetest")
    assert "--data-split" not in next_steps(examine(clean / "annotations/instances_val.json"), None)[0]


@pytest.mark.parametrize("path", ["data.yaml", "."])
def test_the_cleaned_copy_is_outside_of_the_data_set(folder: Path, monkeypatch: Any, path: str) -> None:
    monkeypatch.chdir(folder)
    found = examine(path)
    *_, target = next_steps(found, None)[0]
    assert Path(target).name == ("data-clean" if path == "data.yaml" else "set-clean")
    assert write_clean(found, target).images == 10
    *_, target = next_steps(found, None)[0]  # the same once more
    assert write_clean(found, target).images == 10


def test_the_summary_states_that_images_were_not_decoded(folder: Path) -> None:
    assert "Images were not decoded" in summary(examine(folder, decode=False))


def test_what_was_left_out_is_listed(folder: Path, tmp_path: Path) -> None:
    for number in range(1, 5):
        (folder / f"images/train/{number}.png").write_bytes(b"no")
    lines = list(cleaned_lines(write_clean(examine(folder), tmp_path / "clean")))
    assert lines[0].endswith("6 images, 12 boxes")


def test_no_next_steps_without_an_examination(tmp_path: Path, folder: Path) -> None:
    settings = folder / "data.yaml"
    settings.write_text(settings.read_text().replace("images/val", "images/nowhere"))
    found = examine(folder)
    assert found.status == 2 and next_steps(found, None) == []


@pytest.mark.parametrize(("names", "option"), [(("trainval", "Test"), ("--data-split", "trainval")), (("a", "b"), ())])
def test_the_next_step_names_the_split_if_training_holds_others_out(tmp_path: Path, names: Any, option: Any) -> None:
    folder = SOUND["voc"](tmp_path / "set")
    for split, name in zip(("train", "val"), names, strict=True):
        path = folder / "ImageSets/Main" / f"{split}.txt"
        path.rename(path.with_name(f"{name}.txt"))
    assert next_steps(examine(folder), None)[0][4:] == option
