"""One image file into pixels, within limits: the only place that decodes a picture."""

import stat
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

try:
    import simplejpeg  # the extra `jpeg`: the same library as Pillow's, called with less around it
except ImportError:
    simplejpeg = None

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".webp", ".bmp")
UNREAD = (".tif", ".tiff", ".gif", ".heic", ".avif")  # images too, in formats that are not read: reported, not ignored
MAX_PIXELS = 100_000_000
MAX_BYTES = 256 * 2**20
DAMAGE = (  # what Pillow raises over damaged files
    OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, OverflowError, EOFError, struct.error, zlib.error
)  # fmt: skip

Read = TypeVar("Read")

TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width
UPRIGHT = {  # what turns a picture of an orientation upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageHeader(NamedTuple):
    """What a file says of its pixels before any is decoded."""

    height: int  # as `read_image` would give it, turned
    width: int
    format: str  # one of FORMATS
    mode: str  # Pillow's: RGB, L, P, CMYK, RGBA, I;16, ...
    orientation: int  # EXIF's, 1 to 8; 1 is upright, and what is meant where nothing stands


class ImageError(ValueError):
    """A file that cannot be read as an image: the message names the file and the reason."""


def read_image(path: Path | str, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The image as uint8 RGB [H, W, 3], turned as its EXIF orientation says.

    Raises ImageError for a file that is missing, not JPEG, PNG, WEBP or BMP, truncated, or above a limit; size limits
    are checked before anything is decoded.
    """
    return _opened(Path(path), lambda image: _decode(image, Path(path)), max_pixels, max_bytes)


def read_size(path: Path | str, *, max_bytes: int = MAX_BYTES) -> tuple[int, int]:
    """Height and width that `read_image` would give, from the file's head alone. Raises ImageError as it does, but for
    what only decoding shows.
    """
    head = read_head(path, max_bytes=max_bytes)
    return head.height, head.width


def read_head(path: Path | str, *, max_bytes: int = MAX_BYTES) -> ImageHeader:
    """What stands before the pixels. Raises ImageError as `read_size` does."""
    return _opened(Path(path), _head, MAX_PIXELS, max_bytes)


def other_size(path: Path | str, pixels: np.ndarray, size: tuple[int, int]) -> str | None:
    """A sentence where an image [H, W, 3] has not the (height, width) that its labels say; None where it has."""
    if pixels.shape[:2] == tuple(size):
        return None
    is_, says = ("x".join(map(str, each[:2])) for each in (pixels.shape, size))
    return f"{path}: {is_}, its labels say {says} (height x width, px)"


def _opened(path: Path, use: Callable[[Image.Image], Read], max_pixels: int, max_bytes: int) -> Read:
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            raise ImageError(f"{path}: not a file")
        if about.st_size > max_bytes:
            raise ImageError(f"{path}: {about.st_size / 2**20:.0f} MiB, the limit is {max_bytes / 2**20:.0f} MiB")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                if (pixels := image.width * image.height) > max_pixels:
                    raise ImageError(f"{path}: {pixels / 1e6:.0f} megapixels, the limit is {max_pixels / 1e6:.0f}")
                return use(image)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too many pixels, the limit is {max_pixels / 1e6:.0f} megapixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image in one of the formats {', '.join(FORMATS)}") from error
    except ImageError:
        raise
    except DAMAGE as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise ImageError(f"{path}: {reason}") from error


def _quick(image: Image.Image, path: Path) -> np.ndarray | None:
    """An upright JPEG in color by the extra's decoder, to the bit Pillow's; None for all else, damage included."""
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
    return ImageHeader(height, width, image.format or "", image.mode, orientation)


def _orientation(image: Image.Image) -> int:
    """As it stands before the pixels: a PNG's own `getexif` would decode these. 1 where nothing sound stands there."""
    try:
        found = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
    except DAMAGE:
        return 1
    return int(found) if found in range(1, 9) else 1


def _decode(image: Image.Image, path: Path) -> np.ndarray:
    if (quick := _quick(image, path)) is not None:
        return quick
    method = UPRIGHT.get(_orientation(image))
    turned = image if method is None else image.transpose(method)
    if turned.mode.startswith("I;16"):  # Pillow would clip at 255 instead of scaling
        turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
    return np.asarray(turned.convert("RGB"))
