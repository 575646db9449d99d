"""Reading of photographs: orientation, formats, limits, and what a bad file says."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paretodet.data import images
from paretodet.data.images import ImageError, Photographs, photographs, read_image, read_images


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, picture: np.ndarray, suffix: str) -> None:
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}")
    read = read_image(tmp_path / f"a.{suffix}")
    assert np.array_equal(read, picture) and read.dtype == np.uint8


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, picture: np.ndarray, mode: str) -> None:
    suffix = "jpg" if mode == "CMYK" else "png"
    Image.fromarray(picture).convert(mode).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}").shape == (20, 30, 3)


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5), 0x8000, np.uint16)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 0x80).all()


# EXIF orientation and what NumPy would do to the stored picture to show it upright
TURNS = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 6: lambda a: np.rot90(a, -1),
         8: lambda a: np.rot90(a, 1)}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_honoured(tmp_path: Path, picture: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), TURNS[orientation](picture))  # type: ignore[no-untyped-call]


def test_a_200_megapixel_image_is_refused_with_the_limit(tmp_path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    with pytest.raises(ImageError, match=r"huge\.png.*limit is 100"):
        read_image(tmp_path / "huge.png")


def test_the_limits_can_be_set_and_name_both_numbers(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).resize((2000, 1500)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="3 megapixels, the limit is 2"):
        read_image(tmp_path / "a.png", max_pixels=2_000_000)
    with pytest.raises(ImageError, match=r"MiB, the limit is 0 MiB"):
        read_image(tmp_path / "a.png", max_bytes=10)


def test_truncated_empty_foreign_and_missing_files_are_named(tmp_path: Path, picture: np.ndarray) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(picture).resize((300, 200)).save(whole)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(picture).save(tmp_path / "moving.gif")
    for name, reason in (
        ("cut.jpg", "truncated"),
        ("empty.png", "not an image"),
        ("moving.gif", "not an image in one of the formats JPEG, PNG, WEBP, BMP"),
        ("none.jpg", "no such file"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)


def test_read_images_skips_names_and_counts(tmp_path: Path, picture: np.ndarray) -> None:
    Image.fromarray(picture).save(tmp_path / "b.png")
    (tmp_path / "a.png").write_bytes(b"nothing")
    found = read_images([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"])
    assert found.names == (str(tmp_path / "b.png"),) and len(found.images) == 1
    assert len(found.skipped) == 2 and "a.png" in found.skipped[0] and "c.png" in found.skipped[1]


def test_photographs_reads_a_folder_in_order(tmp_path: Path, picture: np.ndarray) -> None:
    for name in ("b.png", "a.PNG", "c.jpg", "notes.txt"):
        (tmp_path / name).write_text("x") if name == "notes.txt" else Image.fromarray(picture).save(tmp_path / name)
    found = photographs(tmp_path)
    assert [Path(name).name for name in found.names] == ["a.PNG", "b.png", "c.jpg"]
    assert found.source == str(tmp_path)
    assert len(photographs(tmp_path, limit=2).images) == 2
    assert photographs([tmp_path / "c.jpg"]).names == (str(tmp_path / "c.jpg"),)


def test_photographs_without_a_readable_image_says_so(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no readable image"):
        photographs(tmp_path)
    with pytest.raises(ImageError, match="no such file"):
        photographs(tmp_path / "nowhere")


def test_the_default_is_the_environments_folder_then_shipped_then_none(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "coco_val2017_44" / "images"
    folder.mkdir(parents=True)
    Image.fromarray(picture).save(folder / "a.png")
    monkeypatch.setenv("PARETODET_DATA", str(tmp_path))
    assert photographs().source == "PARETODET_DATA/coco_val2017_44"
    monkeypatch.delenv("PARETODET_DATA")
    monkeypatch.setattr(images, "_shipped", lambda: [folder / "a.png"])
    assert photographs().source == "scikit-image"
    monkeypatch.setattr(images, "_shipped", list)
    assert photographs() == Photographs((), (), "drawn")


def test_the_hash_tells_lists_apart_and_is_stable(picture: np.ndarray) -> None:
    two = Photographs((picture, picture[:10]), ("a", "b"), "here")
    assert two.hash == Photographs((picture.copy(), picture[:10]), ("x", "y"), "elsewhere").hash
    assert two.hash != Photographs(two.images[::-1], two.names, two.source).hash
    assert two.hash != Photographs((picture, picture[:11]), two.names, two.source).hash


def test_real_photographs() -> None:
    """The 44 pictures of COCO val2017, where the environment has them."""
    if not os.environ.get("PARETODET_DATA"):
        pytest.skip("PARETODET_DATA is not set")
    found = photographs()
    assert len(found.images) == 44 and not found.skipped
    assert all(image.ndim == 3 and image.shape[2] == 3 for image in found.images)
