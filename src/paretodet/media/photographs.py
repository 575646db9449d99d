"""Images from files and folders, and the default images of a measurement."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import overload

import numpy as np

from paretodet.errors import words
from paretodet.images import ImageError, is_image_name, read_image, without_images

_SHIPPED = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")  # scikit-image's: public domain or CC0


class ImagesOfFiles(Sequence[np.ndarray]):
    """Images that are decoded whenever they are taken, so that a folder of any size fits in memory."""

    def __init__(self, paths: Sequence[Path | str]) -> None:
        self.paths = tuple(paths)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[np.ndarray]: ...
    def __getitem__(self, index: int | slice) -> np.ndarray | Sequence[np.ndarray]:
        """Raises ImageError if the file can no longer be read."""
        return ImagesOfFiles(self.paths[index]) if isinstance(index, slice) else read_image(self.paths[index])


@dataclass(frozen=True)
class Photographs:
    """Images [H, W, 3] uint8 RGB with their source, and the files that could not be read."""

    images: Sequence[np.ndarray]
    names: tuple[str, ...]
    source: str
    skipped: tuple[str, ...] = ()  # one sentence per file that could not be read
    sha256: str | None = None  # over the pixels, if it is known already

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(Path(name) for name in self.names)

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the pixels of all images in order; names do not change it."""
        if self.sha256 is not None:
            return self.sha256
        digest = hashlib.sha256()
        for image in self.images:
            digest.update(_content(image))
        return digest.hexdigest()


def read_images(
    paths: Iterable[Path | str], *, source: str = "files", limit: int | None = None, keep: bool = True
) -> Photographs:
    """Read files in order until `limit` images are read; files that cannot be read are named in `skipped`.

    Without `keep` the images do not stay in memory: they are decoded again whenever they are taken.
    """
    images, names, skipped, digest = list[np.ndarray](), list[str](), list[str](), hashlib.sha256()
    for path in paths:
        if len(names) == limit:
            break
        try:
            image = read_image(path)
        except ImageError as error:
            skipped.append(str(error))
            continue
        names.append(str(path))
        if keep:
            images.append(image)
        else:
            digest.update(_content(image))
    read = (tuple(names), source, tuple(skipped))
    return Photographs(tuple(images), *read) if keep else Photographs(ImagesOfFiles(names), *read, digest.hexdigest())


def photographs(
    where: Path | str | Sequence[Path | str] | None = None, *, limit: int | None = None, keep: bool = True
) -> Photographs:
    """At most `limit` images to measure on: those of the given folder or files, read as by `read_images`.

    By default they are those of `coco_val2017_44/images` in the folder that `PARETODET_DATA` names; if there are none,
    four public domain photographs from scikit-image; if it is not installed, no images at all (source "drawn"), and the
    measurement draws synthetic ones.

    Raises ImageError if `where` is given and holds no readable image.
    """
    if where is None:
        return _default(limit, keep=keep)
    paths = image_files(Path(where)) if isinstance(where, str | Path) else list(where)
    found = read_images(paths, source=str(where) if isinstance(where, str | Path) else "files", limit=limit, keep=keep)
    if not found.images:
        is_empty = isinstance(where, str | Path) and not paths
        reasons = [f"it has {without_images(Path(found.source))}"] if is_empty else map(words, found.skipped[:3])
        raise ImageError("; ".join((f"{found.source}: no readable image", *reasons)), "images-none")
    return found


def files_at_hand() -> dict[str, list[Path]]:
    """The files of the default images, by source; they are not read."""
    return {"PARETODET_DATA/coco_val2017_44": _from_environment(), "scikit-image": _shipped()}


def image_files(path: Path) -> list[Path]:
    """The images of a folder, sorted by name; the path itself if it is a file."""
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.iterdir() if is_image_name(file.name))


def _content(image: np.ndarray) -> bytes:
    """What is hashed of an image."""
    return repr(image.shape).encode() + image.tobytes()


def _default(limit: int | None, *, keep: bool) -> Photographs:
    for source, paths in files_at_hand().items():
        photos = read_images(paths, source=source, limit=limit, keep=keep)
        if photos.images:
            return photos
    return Photographs((), (), "drawn")


def _from_environment() -> list[Path]:
    root = os.environ.get("PARETODET_DATA")
    folder = Path(root) / "coco_val2017_44" / "images" if root else None
    return image_files(folder) if folder and folder.is_dir() else []


def _shipped() -> list[Path]:
    """scikit-image's photographs, located without importing it."""
    spec = find_spec("skimage")
    folders = [Path(folder) / "data" for folder in (spec.submodule_search_locations if spec else None) or ()]
    return [folder / name for folder in folders for name in _SHIPPED if (folder / name).is_file()]
