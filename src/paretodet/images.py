"""One image file into pixels, within limits: the only place that decodes a picture."""

import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MAX_PIXELS = 100_000_000
MAX_BYTES = 256 * 2**20


class ImageError(ValueError):
    """A file that cannot be read as an image: the message names the file and the reason."""


def read_image(path: Path | str, *, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """The image as uint8 RGB [H, W, 3], turned as its EXIF orientation says.

    Raises ImageError for a file that is missing, not JPEG, PNG, WEBP or BMP, truncated, or above a limit; size limits
    are checked before anything is decoded.
    """
    path = Path(path)
    try:
        if (size := path.stat().st_size) > max_bytes:
            raise ImageError(f"{path}: {size / 2**20:.0f} MiB, the limit is {max_bytes / 2**20:.0f} MiB")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                return _decode(image, path, max_pixels)
    except Image.DecompressionBombError as error:
        raise ImageError(f"{path}: too many pixels, the limit is {max_pixels / 1e6:.0f} megapixels") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"{path}: not an image in one of the formats {', '.join(FORMATS)}") from error
    except (OSError, SyntaxError) as error:
        reason = "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error})"
        raise ImageError(f"{path}: {reason}") from error


def _decode(image: Image.Image, path: Path, max_pixels: int) -> np.ndarray:
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise ImageError(f"{path}: {pixels / 1e6:.0f} megapixels, the limit is {max_pixels / 1e6:.0f}")
    turned = ImageOps.exif_transpose(image)
    if turned.mode.startswith("I;16"):  # Pillow would clip at 255 instead of scaling
        turned = Image.fromarray((np.asarray(turned) >> 8).astype(np.uint8))
    return np.asarray(turned.convert("RGB"))
