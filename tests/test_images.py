"""Reading one image file: orientation, formats, limits, and what a bad file says."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paretodet.images import ImageError, read_image


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
