"""The images that the ranges of int8 are measured on, and the digest that names them in rows."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from paretodet.errors import InputError
from paretodet.images import without_images
from paretodet.media.photographs import files_at_hand, image_files
from paretodet.reading import sha256

LIMIT = 32  # images; more change the ranges little and take minutes on large canvases


@dataclass(frozen=True)
class CalibrationImages:
    """Image files, and the SHA-256 over the SHA-256 of each in order: equal for equal files, wherever they are."""

    paths: tuple[Path, ...]
    sha256: str

    def to_json(self) -> dict[str, int | str]:
        """What a row states of them: never their paths."""
        return {"images": len(self.paths), "sha256": self.sha256}


def calibration_images(folder: Path | None = None) -> CalibrationImages:
    """The images of a folder, else the photographs at hand: at most LIMIT, evenly spaced in the order of their names.

    They are hashed, not decoded. Raises InputError if there are none.
    """
    files = image_files(folder) if folder else next(filter(None, files_at_hand().values()), [])
    if not files or (folder and not folder.is_dir()):
        where = _where(folder) if folder else "none are at hand"
        raise InputError(
            f"calibration: int8 needs images, and {where}; give a folder of some dozens by --calibrate DIR",
            "images-none",
        )
    count = min(LIMIT, len(files))
    paths = tuple(files[index * len(files) // count] for index in range(count))
    return CalibrationImages(paths, hashlib.sha256("".join(map(sha256, paths)).encode()).hexdigest())


def _where(folder: Path) -> str:
    return f"{folder} has {without_images(folder)}" if folder.is_dir() else f"{folder} is not a folder"
