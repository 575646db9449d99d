"""Reading one image file: orientation, formats, limits, and the messages of bad files."""

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from paretodet import images
from paretodet.images import ImageError, read_head, read_image, read_size


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, pixels: np.ndarray, suffix: str) -> None:
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    read = read_image(tmp_path / f"a.{suffix}")
    assert np.array_equal(read, pixels) and read.dtype == np.uint8


def test_gray_is_three_times_itself(tmp_path: Path, pixels: np.ndarray) -> None:
    gray = pixels[..., 0]
    Image.fromarray(gray).save(tmp_path / "L.png")
    Image.fromarray(np.stack([gray, pixels[..., 1]], -1), "LA").save(tmp_path / "LA.png")
    Image.fromarray(gray > 99).save(tmp_path / "1.png")
    for mode, seen in (("L", gray), ("LA", gray), ("1", np.uint8(255) * (gray > 99))):
        assert read_head(tmp_path / f"{mode}.png").mode == mode
        assert np.array_equal(read_image(tmp_path / f"{mode}.png"), np.repeat(seen[..., None], 3, 2))


def test_a_palette_is_looked_up(tmp_path: Path, pixels: np.ndarray) -> None:
    colors = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)
    stored = Image.fromarray(pixels[..., 0], "P")
    stored.putpalette(colors.ravel().tolist())
    stored.save(tmp_path / "a.png")
    assert read_head(tmp_path / "a.png").mode == "P"
    assert np.array_equal(read_image(tmp_path / "a.png"), colors[pixels[..., 0]])


def test_what_is_transparent_keeps_its_color(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(np.dstack([pixels, pixels[..., 0]]), "RGBA").save(tmp_path / "a.png")
    assert np.array_equal(read_image(tmp_path / "a.png"), pixels)


@pytest.mark.parametrize(("ink", "seen"), [((50, 100, 200, 0), (205, 155, 55)), ((9, 9, 9, 255), (0, 0, 0))])
def test_ink_becomes_light(tmp_path: Path, ink: tuple[int, ...], seen: tuple[int, ...]) -> None:
    Image.new("CMYK", (16, 8), ink).save(tmp_path / "a.jpg", quality=100)
    assert np.abs(read_image(tmp_path / "a.jpg").astype(int) - seen).max() <= 3


def test_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 5), 0x8000, np.uint16)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png") == 0x80).all()


@pytest.mark.parametrize("most", [1, 255, 1023, 4095, 4096])
@pytest.mark.parametrize("kind", ["gray", "color", "alpha"])
def test_twelve_bits_in_sixteen_are_refused(tmp_path: Path, kind: str, most: int) -> None:
    """They would be nearly black; black itself is no mistake."""
    values = np.zeros((6, 8), np.uint16)
    assert write_deep(tmp_path / "black.png", "gray", values) and not read_image(tmp_path / "black.png").any()
    values[2, 3] = most
    write_deep(tmp_path / "a.png", kind, values)
    assert read_size(tmp_path / "a.png") == (6, 8)
    if most > 4095:
        assert read_image(tmp_path / "a.png")[2, 3].tolist() == [16, 16, 16]
        return
    with pytest.raises(ImageError, match=r"a\.png: .*8 bits, or multiplied") as refused:
        read_image(tmp_path / "a.png")
    assert refused.value.id == "image-dark"


@pytest.mark.parametrize(("most", "bits"), [(8191, 13), (16383, 14), (8190, 0), (16384, 0), (20000, 0)])
def test_gray_that_ends_where_fewer_bits_do_is_refused(tmp_path: Path, most: int, bits: int) -> None:
    values = np.full((6, 8), 5000, np.uint16)
    values[2, 3] = most
    write_deep(tmp_path / "a.png", "gray", values)
    if not bits:
        assert read_image(tmp_path / "a.png")[2, 3].tolist() == [most >> 8] * 3
        return
    with pytest.raises(ImageError, match=f"of {bits} bits or fewer") as refused:
        read_image(tmp_path / "a.png")
    assert refused.value.id == "image-dark"


@pytest.mark.parametrize(("kind", "deep"), [("gray", True), ("color", True), ("alpha", True), ("", False)])
def test_the_head_says_whether_a_channel_has_sixteen_bits(tmp_path: Path, kind: str, deep: bool) -> None:
    if kind:
        write_deep(tmp_path / "a.png", kind, np.full((6, 8), 40000, np.uint16))
    else:
        Image.new("RGB", (8, 6)).save(tmp_path / "a.png")
    assert read_head(tmp_path / "a.png").deep is deep


def test_eight_bits_may_be_dark(tmp_path: Path) -> None:
    for suffix in ("png", "bmp"):
        Image.fromarray(np.full((4, 5, 3), 3, np.uint8)).save(tmp_path / f"a.{suffix}")
        assert (read_image(tmp_path / f"a.{suffix}") == 3).all()


def write_deep(path: Path, kind: str, values: np.ndarray) -> int:
    """A PNG of 16 bits a channel: gray, or three channels of these values, with a full alpha channel or not."""
    channels = {"gray": [values], "color": [values] * 3, "alpha": [values] * 3 + [values * 0 + 65535]}[kind]
    content = np.stack(channels, -1).astype(">u2")
    lines = b"".join(b"\0" + line.tobytes() for line in content)
    color = {"gray": 0, "color": 2, "alpha": 6}[kind]
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    written = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(written))


# EXIF orientation and what NumPy would do to the stored image to show it upright
TURNS = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud, 5: lambda a: a.swapaxes(0, 1),
         6: lambda a: np.rot90(a, -1), 7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
         8: lambda a: np.rot90(a, 1)}  # fmt: skip


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation_is_honored(tmp_path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "a.png"), TURNS[orientation](pixels))  # type: ignore[no-untyped-call]


def test_a_200_megapixel_image_is_refused_with_the_limit(tmp_path: Path) -> None:
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    with pytest.raises(ImageError, match=r"huge\.png.*limit is 100"):
        read_image(tmp_path / "huge.png")


def test_the_limits_can_be_set_and_name_both_numbers(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).resize((2000, 1500)).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match="3 megapixels, the limit is 2"):
        read_image(tmp_path / "a.png", max_pixels=2_000_000)
    with pytest.raises(ImageError, match=r"MiB, the limit is 0 MiB"):
        read_image(tmp_path / "a.png", max_bytes=10)


def test_truncated_empty_foreign_and_missing_files_are_named(tmp_path: Path, pixels: np.ndarray) -> None:
    whole = tmp_path / "whole.jpg"
    Image.fromarray(pixels).resize((300, 200)).save(whole)
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "empty.png").write_bytes(b"")
    Image.fromarray(pixels).save(tmp_path / "moving.gif")
    for name, reason in (
        ("cut.jpg", "truncated"),
        ("empty.png", "not an image"),
        ("moving.gif", "not an image in one of the formats JPEG, PNG, WEBP, BMP"),
        ("none.jpg", "no such file"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (33, 17), (64, 48)])
def test_both_decoders_of_jpeg_files_agree_to_the_bit(
    tmp_path: Path, pixels: np.ndarray, size: tuple[int, int], subsampling: int, progressive: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    pytest.importorskip("simplejpeg")
    file = tmp_path / "a.jpg"
    Image.fromarray(pixels).resize(size).save(file, subsampling=subsampling, progressive=progressive)
    quick = read_image(file)
    monkeypatch.setattr(images, "simplejpeg", None)
    assert np.array_equal(quick, read_image(file))


def test_both_decoders_agree_on_photographs(data_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("simplejpeg")
    files = sorted((data_folder / "coco_val2017_44" / "images").glob("*.jpg"))
    quick = [read_image(file) for file in files]
    monkeypatch.setattr(images, "simplejpeg", None)
    assert files and all(np.array_equal(a, read_image(file)) for a, file in zip(quick, files, strict=True))


@pytest.mark.parametrize("orientation", TURNS)
def test_a_turned_jpeg_is_turned_by_either_decoder(
    tmp_path: Path, pixels: np.ndarray, orientation: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    quick = read_image(tmp_path / "a.jpg")
    monkeypatch.setattr(images, "simplejpeg", None)
    assert np.array_equal(quick, read_image(tmp_path / "a.jpg"))


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_cut_jpeg_says_the_same_with_either_decoder(
    tmp_path: Path, part: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: int(len(whole) * part)])
    messages = []
    for decoder in (images.simplejpeg, None):
        monkeypatch.setattr(images, "simplejpeg", decoder)
        with pytest.raises(ImageError) as error:
            read_image(tmp_path / "a.jpg")
        messages.append(str(error.value))
    assert messages[0] == messages[1]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_the_size_of_the_head_is_the_size_of_the_pixels(tmp_path: Path, suffix: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (9, 5)).save(path := tmp_path / f"a{suffix}", exif=exif)
    assert read_size(path) == read_image(path).shape[:2] == ((9, 5) if orientation > 4 else (5, 9))


def test_the_size_of_what_is_no_image_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"no image")
    for name, reason in (("a.jpg", "not an image"), ("b.jpg", "no such file"), (".", "not a file")):
        with pytest.raises(ImageError, match=reason):
            read_size(tmp_path / name)
    Image.new("1", (30_000, 10_000)).save(tmp_path / "bomb.png")
    with pytest.raises(ImageError, match="too many pixels, the limit is 100 megapixels"):
        read_size(tmp_path / "bomb.png")


def test_damage_inside_a_format_names_the_file(tmp_path: Path, pixels: np.ndarray) -> None:
    """Pillow raises other errors than OSError over these."""
    Image.fromarray(pixels).save(tmp_path / "a.png")
    whole = (tmp_path / "a.png").read_bytes()
    (tmp_path / "short.png").write_bytes(whole[:8] + b"\0\0\0\4IHDR" + whole[16:20] + whole[29:])
    text = zlib.compress(b" " * 2**21)
    chunk = b"zTXt" + b"note\0\0" + text
    grown = len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "long.png").write_bytes(whole[:33] + grown + whole[33:])
    for name in ("short.png", "long.png"):
        with pytest.raises(ImageError, match=f"{name}: "):
            read_image(tmp_path / name)


def test_only_files_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="pipe.jpg: not a file"):
        read_size(tmp_path / "pipe.jpg")


@pytest.mark.parametrize("orientation", range(1, 10))
def test_a_header_has_size_mode_format_and_orientation(tmp_path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).convert("CMYK").save(tmp_path / "a.jpg", exif=exif)
    head = read_head(tmp_path / "a.jpg")
    assert (head.height, head.width) == read_image(tmp_path / "a.jpg").shape[:2]
    assert (head.format, head.mode, head.orientation) == ("JPEG", "CMYK", orientation if orientation < 9 else 1)


def test_a_head_needs_no_pixels(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.bmp")
    (tmp_path / "a.bmp").write_bytes((tmp_path / "a.bmp").read_bytes()[:60])
    assert read_head(tmp_path / "a.bmp")[:2] == (20, 30)


@pytest.mark.parametrize("block", [b"garbage", b"MM\0*", b"II*\0\xff\xff\xff\xff"])
def test_a_damaged_exif_block_does_not_cost_the_image(tmp_path: Path, pixels: np.ndarray, block: bytes) -> None:
    Image.fromarray(pixels).save(path := tmp_path / "a.jpg", exif=b"Exif\0\0" + block, dpi=(72, 72))
    assert read_head(path).orientation == 1 and read_size(path) == read_image(path).shape[:2] == (20, 30)


def test_a_head_is_read_without_the_pixels_and_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.new("1", (20_000, 6_000)).save(tmp_path / "huge.png")
    Image.new("L", (30, 20)).save(tmp_path / "small.png")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda image: pytest.fail("decoded"))
    assert read_size(tmp_path / "small.png") == (20, 30)
    with pytest.raises(ImageError, match="120 megapixels, the limit is 100"):
        read_head(tmp_path / "huge.png")
