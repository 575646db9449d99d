"""Reads image files within limits. No other module decodes an image file."""

import os
import stat
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from paretodet.errors import ErrorId, InputError

try:
    import simplejpeg  # the extra `jpeg`: Pillow's JPEG library with less overhead
except ImportError:
    simplejpeg = None

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp")
UNREAD = (".tif", ".tiff", ".gif", ".heic", ".avif")  # images too, in formats that are not read: reported, not ignored
DRAWINGS = ".paretodet-drawings"  # in a folder of images that paretodet drew, which are not data
DEEP = ";16B"  # of the raw modes of a PNG of 16 bits a channel
DARKEST = 16  # of 256: brighter than all of 12 bits, if the upper 8 of 16 are read
SATURATED = (2**13 - 1, 2**14 - 1)  # the highest values of 13 and 14 bits: none of 16 bits but by rare chance
MAX_PIXELS = 100_000_000
MAX_BYTES = 256 * 2**20
DAMAGE = (  # what Pillow raises for damaged files
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, OverflowError, EOFError, struct.error, zlib.error
)  # fmt: skip

Read = TypeVar("Read")

TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
UPRIGHT = {  # EXIF orientation -> the operation that turns the image upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageHeader(NamedTuple):
    """The properties of an image that are readable without decoding it."""

    height: int  # px, after the EXIF orientation is applied, as `read_image` does
    width: int
    format: str  # one of FORMATS
    mode: str  # Pillow's: RGB, L, P, CMYK, RGBA, I;16, ...
    orientation: int  # EXIF's, 1 to 8; 1, upright, if the file has none
    deep: bool = False  # 16 bits a channel, of which the upper 8 are read


class ImageError(InputError):
    """A file that cannot be read as an image. The message names the file and the reason."""

    def __init__(self, message: str, id: ErrorId = "image-unreadable") -> None:
        super().__init__(message, id)


def read_image(path: Path | str, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The image as uint8 RGB [H, W, 3], turned upright by its EXIF orientation.

    Of 16 bits a channel the upper 8 are read. Raises ImageError if the file is missing, not JPEG, PNG, WEBP or BMP,
    truncated, above a limit, or has 16 bits of which no value needs more than 12, or of gray whose highest value is
    that of 13 or 14 bits. The limits are checked before the image is decoded.
    """
    return _opened(Path(path), lambda image: _decode(image, Path(path)), max_pixels, max_bytes)


def read_size(path: Path | str, *, max_bytes: int = MAX_BYTES) -> tuple[int, int]:
    """The height and width of the image from `read_image`, read from the header of the file.

    Raises ImageError as `read_image` does, except for damage that only decoding shows.
    """
    head = read_head(path, max_bytes=max_bytes)
    return head.height, head.width


def read_head(path: Path | str, *, max_bytes: int = MAX_BYTES) -> ImageHeader:
    """The header of an image file. Raises ImageError as `read_size` does."""
    return _opened(Path(path), _head, MAX_PIXELS, max_bytes)


def other_size(path: Path | str, pixels: np.ndarray, size: tuple[int, int]) -> str | None:
    """A sentence if an image [H, W, 3] differs from the (height, width) in its labels, else None."""
    if pixels.shape[:2] == tuple(size):
        return None
    actual, expected = ("x".join(map(str, each[:2])) for each in (pixels.shape, size))
    return f"{path}: {actual}, its labels say {expected} (height x width, px)"


def is_image_name(name: str, *, unread: bool = False) -> bool:
    """Whether a file of this name is an image, by its suffix; `unread`: also one in a format that is not read. A hidden
    file, such as `._a.jpg` that macOS writes beside a.jpg, is none.
    """
    suffixes = SUFFIXES + UNREAD if unread else SUFFIXES
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in suffixes


def unread_images(folder: Path) -> str:
    """Which images of a folder are in formats that are not read, as a phone's may be, in words; empty if none is."""
    names = sorted(name for name in os.listdir(folder) if is_image_name(name, unread=True) and not is_image_name(name))
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0]}{more}, in a format that is not read: convert to JPEG or PNG" if names else ""


def without_images(folder: Path) -> str:
    """What is said of a folder that has no image: which formats are read, and what it has instead."""
    others = unread_images(folder)
    return (
        f"no image in one of the formats {', '.join(FORMATS)}; subfolders are not searched"
        f"{f'; it has {others}' if others else ''}"
    )


def _opened(path: Path, use: Callable[[Image.Image], Read], max_pixels: int, max_bytes: int) -> Read:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path}: not a file")
        if status.st_size > max_bytes:
            size, limit = status.st_size / 2**20, max_bytes / 2**20
            raise ImageError(f"{path}: {size:.0f} MiB, the limit is {limit:.0f} MiB", "image-too-large")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if (pixels := image.width * image.height) > max_pixels:
                    message = f"{path}: {pixels / 1e6:.0f} megapixels, the limit is {max_pixels / 1e6:.0f}"
                    raise ImageError(message, "image-too-large")
                return use(image)
    except Image.DecompressionBombError as error:
        message = f"{path}: too many pixels, the limit is {max_pixels / 1e6:.0f} megapixels"
        raise ImageError(message, "image-too-large") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image in one of the formats {', '.join(FORMATS)}", "image-format") from error
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{path}: no such file", "image-missing") from error
    except DAMAGE as error:
        raise ImageError(f"{path}: cannot be read ({error})") from error


def _quick(image: Image.Image, path: Path) -> np.ndarray | None:
    """An upright color JPEG, decoded by simplejpeg to Pillow's exact pixels; None for all other files."""
    if simplejpeg is None or (image.format, image.mode) != ("JPEG", "RGB"):
        return None
    if _orientation(image) != 1:
        return None
    try:
        return np.asarray(simplejpeg.decode_jpeg(path.read_bytes(), "RGB"))
    except ValueError:
        return None


def _head(image: Image.Image) -> ImageHeader:
    orientation = _orientation(image)
    width, height = image.size[::-1] if orientation in TURNED else image.size
    return ImageHeader(height, width, image.format or "", image.mode, orientation, _is_deep(image))


def _is_deep(image: Image.Image) -> bool:
    return image.mode.startswith("I;16") or any(DEEP in str(each[3]) for each in getattr(image, "tile", ()))


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, or 1 if the file has no valid one.

    `Image.Image.getexif` reads the header alone; the override of PNG would decode the image.
    """
    try:
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return 1
    return int(found) if found in range(1, 9) else 1


def _decode(image: Image.Image, path: Path) -> np.ndarray:
    if (quick := _quick(image, path)) is not None:
        return quick
    is_deep, highest = _is_deep(image), 0
    method = UPRIGHT.get(_orientation(image))
    turned = image if method is None else image.transpose(method)
    if turned.mode.startswith("I;16"):  # Pillow would clip at 255, not scale
        values = np.asarray(turned)
        highest = int(values.max())
        is_deep = highest > 0
        turned = Image.fromarray((values >> 8).astype(np.uint8))
    pixels = np.asarray(turned.convert("RGB"))
    if is_deep and (pixels.max() < DARKEST or highest in SATURATED):
        bits = highest.bit_length() if highest in SATURATED else 12
        raise ImageError(
            f"{path}: it has 16 bits a channel, and all values are below {1 << bits}, so that it would be too dark: "
            f"they seem to be of {bits} bits or fewer; write them as 8 bits, or multiplied up to 65535",
            "image-dark",
        )
    return pixels
