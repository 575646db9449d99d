"""Images from files and folders, and the default images."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paretodet.images import ImageError
from paretodet.media import photographs as module
from paretodet.media.photographs import Photographs, image_files, photographs, read_images


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_read_images_skips_names_and_counts(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"nothing")
    found = read_images([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"])
    assert found.names == (str(tmp_path / "b.png"),) and len(found.images) == 1
    assert len(found.skipped) == 2 and "a.png" in found.skipped[0] and "c.png" in found.skipped[1]


def test_photographs_reads_a_folder_in_order(tmp_path: Path, pixels: np.ndarray) -> None:
    for name in ("b.png", "a.PNG", "c.jpg", "notes.txt"):
        (tmp_path / name).write_text("x") if name == "notes.txt" else Image.fromarray(pixels).save(tmp_path / name)
    found = photographs(tmp_path)
    assert [Path(name).name for name in found.names] == ["a.PNG", "b.png", "c.jpg"]
    assert found.source == str(tmp_path)
    assert len(photographs(tmp_path, limit=2).images) == 2
    assert photographs([tmp_path / "c.jpg"]).names == (str(tmp_path / "c.jpg"),)


def test_hidden_files_are_no_photographs(tmp_path: Path, pixels: np.ndarray) -> None:
    for name in ("a.png", "._a.png", ".b.png"):
        Image.fromarray(pixels).save(tmp_path / name)
    assert image_files(tmp_path) == [tmp_path / "a.png"] and photographs(tmp_path).skipped == ()


def test_missing_images_do_not_count(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "z.png")
    found = photographs([*(tmp_path / f"{number}.png" for number in range(9)), tmp_path / "z.png"], limit=2)
    assert found.names == (str(tmp_path / "z.png"),) and len(found.skipped) == 9


def test_photographs_without_a_readable_image_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no readable image"):
        photographs(tmp_path)
    with pytest.raises(ImageError, match="no such file"):
        photographs(tmp_path / "nowhere")


def test_a_folder_without_images_says_what_it_has_instead(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(ImageError, match=r"JPEG.*subfolders"):
        photographs(tmp_path)
    (tmp_path / "IMG_1.HEIC").touch()
    with pytest.raises(ImageError, match=r"IMG_1\.HEIC, .*\[images-none\]"):
        photographs(str(tmp_path))


def test_the_default_is_the_environments_folder_then_shipped_then_none(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "coco_val2017_44" / "images"
    folder.mkdir(parents=True)
    Image.fromarray(pixels).save(folder / "a.png")
    monkeypatch.setenv("PARETODET_DATA", str(tmp_path))
    assert photographs().source == "PARETODET_DATA/coco_val2017_44"
    monkeypatch.delenv("PARETODET_DATA")
    monkeypatch.setattr(module, "_shipped", lambda: [folder / "a.png"])
    assert photographs().source == "scikit-image"
    monkeypatch.setattr(module, "_shipped", list)
    assert photographs() == Photographs((), (), "drawn")


def test_the_hash_differs_between_lists_and_is_stable(pixels: np.ndarray) -> None:
    two = Photographs((pixels, pixels[:10]), ("a", "b"), "here")
    assert two.hash == Photographs((pixels.copy(), pixels[:10]), ("x", "y"), "elsewhere").hash
    assert two.hash != Photographs(two.images[::-1], two.names, two.source).hash
    assert two.hash != Photographs((pixels, pixels[:11]), two.names, two.source).hash


def test_real_photographs() -> None:
    """The 44 images of COCO val2017, if the environment names their folder."""
    if not os.environ.get("PARETODET_DATA"):
        pytest.skip("PARETODET_DATA is not set")
    found = photographs()
    assert len(found.images) == 44 and not found.skipped
    assert all(image.ndim == 3 and image.shape[2] == 3 for image in found.images)


def test_images_that_are_not_kept_are_decoded_whenever_they_are_taken(
    tmp_path: Path, pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        Image.fromarray(pixels[number:]).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_bytes(b"nothing")
    kept, taken = photographs(tmp_path), photographs(tmp_path, keep=False)
    assert (taken.names, taken.skipped, taken.hash) == (kept.names, kept.skipped, kept.hash)
    decoded = list[str]()
    monkeypatch.setattr(module, "read_image", lambda path: decoded.append(Path(path).name) or pixels)
    assert len(taken.images) == len(taken.images[1:]) + 1 == 3 and taken.hash and not decoded
    assert taken.images[1] is pixels and taken.images[1:][-1] is pixels and decoded == ["1.png", "2.png"]
    assert [image is pixels for image in taken.images] == [True] * 3 and len(decoded) == 5


def test_an_image_that_is_gone_when_it_is_taken_is_named(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = read_images([tmp_path / "a.png"], keep=False)
    (tmp_path / "a.png").unlink()
    with pytest.raises(ImageError, match=r"a\.png") as refused:
        list(found.images)
    assert refused.value.id == "image-missing"
