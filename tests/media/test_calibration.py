"""The images that int8 is calibrated on: which, how many, and what names them."""

import shutil
from pathlib import Path

import pytest

from paretodet.errors import InputError
from paretodet.media import calibration, photographs
from paretodet.media.calibration import LIMIT, calibration_images


def folder_of(path: Path, *names: str) -> Path:
    path.mkdir()
    for name in names:
        (path / name).write_text(f"content of {name}")
    return path


def test_a_folder_is_named_by_the_content_of_its_images(tmp_path: Path) -> None:
    first = calibration_images(folder_of(tmp_path / "a", "1.png", "2.JPG", "notes.txt"))
    assert [path.name for path in first.paths] == ["1.png", "2.JPG"]
    assert first.to_json() == {"images": 2, "sha256": first.sha256} and len(first.sha256) == 64
    copied = calibration_images(Path(shutil.copytree(tmp_path / "a", tmp_path / "b")))
    assert copied.sha256 == first.sha256 and copied.paths != first.paths
    (tmp_path / "b" / "2.JPG").write_text("another")
    assert calibration_images(tmp_path / "b").sha256 != first.sha256


def test_of_many_images_some_are_used_from_all_of_the_folder(tmp_path: Path) -> None:
    made = calibration_images(folder_of(tmp_path / "a", *(f"{number:03}.png" for number in range(3 * LIMIT))))
    assert [int(path.stem) for path in made.paths] == [3 * index for index in range(LIMIT)]


def test_those_at_hand_are_used_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = folder_of(tmp_path / "images", "1.png")
    monkeypatch.setattr(photographs, "_from_environment", list)
    monkeypatch.setattr(photographs, "_shipped", lambda: [images / "1.png"])
    assert calibration_images() == calibration_images(images)


@pytest.mark.parametrize("folder", ["empty", "missing", "empty/file.png", None])
def test_without_images_one_sentence_says_how_to_give_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str | None
) -> None:
    (tmp_path / "empty").mkdir()
    if folder == "empty/file.png":
        (tmp_path / folder).touch()
    monkeypatch.setattr(calibration, "files_at_hand", lambda: {"here": []})
    with pytest.raises(InputError, match=r"calibration: .* --calibrate DIR \[images-none\]"):
        calibration_images(tmp_path / folder if folder else None)


def test_a_folder_of_other_formats_is_not_called_empty(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"calibration: .*IMG_1\.HEIC, .*--calibrate DIR \[images-none\]"):
        calibration_images(folder_of(tmp_path / "a", "IMG_1.HEIC"))
