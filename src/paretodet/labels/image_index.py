"""The image files of a set, found by the names that its labels have for them."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from unicodedata import normalize
from urllib.parse import unquote

from paretodet.errors import InputError
from paretodet.images import DRAWINGS, is_image_name, read_size
from paretodet.labels.builder import by_value
from paretodet.labels.rle import Size
from paretodet.labels.splits import is_usual, words_of
from paretodet.reading import is_file

MOST = 10_000_000  # files that are listed
FOLDERS = (  # of the images, from that of the labels
    "",
    "images",
    "..",
    "../images",
    "../{split}",
    "../images/{split}",
    "../../images",
    "{split}",
    "images/{split}",
)
PROBED, FEW = 100, 20  # names that are searched for, some of which may be missing; in folders of unknown names
LISTED = 10_000  # folders that are looked into
DEPTH, SEARCHED = 3, 1000  # folders below each other, and of a set, that are searched
UPLOADED = re.compile(r"^[0-9a-f]{8}-")  # what an upload to Label Studio puts before the name of a file


def alike(name: str) -> str:
    """The same for names that differ in how an accent is composed, or in what is escaped (%20); with capitals as they
    are, since two images may differ in them.
    """
    return normalize("NFC", unquote(name))


def with_slashes(name: str) -> str:
    """A path of Windows as other systems write it."""
    return name.replace("\\", "/")


def subfolders(path: Path) -> list[Path]:
    """Those of a folder that are not hidden, unsorted; none if it cannot be listed."""
    try:
        with os.scandir(path) as listed:
            return [Path(each.path) for each in listed if not each.name.startswith(".") and each.is_dir()]
    except OSError:
        return []


def folders_below(path: Path, *, depth: int = DEPTH, most: int = SEARCHED) -> Iterator[Path]:
    """The folder and those below that are not hidden, sorted, within limits."""
    return islice(_below(path, depth), most)


def _below(path: Path, depth: int) -> Iterator[Path]:
    yield path
    if depth:
        for each in sorted(subfolders(path)):
            yield from _below(each, depth - 1)


def images_below(folder: Path) -> Iterator[str]:
    """The paths from a folder of the images in it and below, without hidden files, those in hidden folders, and those
    that `detect` or `train` drew into a folder below.
    """
    for top, folders, names in os.walk(folder):
        place = os.path.relpath(top, folder)
        if place != "." and DRAWINGS in names:
            folders.clear()
            continue
        folders[:] = [each for each in folders if not each.startswith(".")]
        images = (name for name in names if is_image_name(name, unread=True))
        yield from (name if place == "." else f"{place}/{name}" for name in images)


def holder(folder: Path, names: Sequence[str]) -> Path:
    """The folder that was given for images, or the one above it, if only that one holds any: names may begin with the
    folder's own.
    """
    above = folder.absolute().parent
    held = (each for each in (folder, above) if holds_any(each, names))
    return next(held, folder)


def customary_folder(path: Path, names: Sequence[str]) -> Path | None:
    """The customary folder of the images of the labels `path` that holds the first of `names` that any holds."""
    splits = dict.fromkeys([path.stem.removeprefix("instances_"), *filter(is_usual, words_of(path.stem))])
    folders = [path.parent / folder.format(split=split) for split in splits for folder in FOLDERS]
    return next((folder for name in names[:PROBED] for folder in folders if is_file(folder / name)), None)


def image_folder(path: Path, names: Sequence[str]) -> Path:
    """The folder of the images of the labels `path`: the customary one, else the one in or beside the labels' folder
    that holds most of `names`, else the labels' folder.
    """
    if customary := customary_folder(path, names):
        return customary
    others = chain(subfolders(path.parent), subfolders(path.parent / ".."))
    counts = {folder: sum(is_file(folder / name) for name in names[:FEW]) for folder in islice(others, LISTED)}
    most = max(counts.values(), default=0)
    held = [folder for folder, count in counts.items() if count == most]
    return held[0] if most and len(held) == 1 else path.parent


def holds_any(folder: Path, names: Sequence[str]) -> bool:
    """Whether the folder holds a file of one of the names."""
    return any(is_file(folder / name) for name in names)


class ImageIndex:
    """The images in `folder` and below it, listed when the first is searched for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def find(self, stated: str, *, near: str = "") -> str | None:
        """The path from `folder` of the image that a file of labels in the folder `near` (from `folder`) calls so.

        That is the file of this name in `near` or in `folder`; else the only one whose path ends as `stated` does, in
        as many parts as possible, with another suffix or none too; else the only one whose path is alike.
        """
        path = PurePosixPath(stated.replace("\\", "/"))
        for place in dict.fromkeys((near, "")):
            if (name := os.path.normpath(os.path.join(place, path))) in self._files:
                return name
        parts = [part for part in path.parts if part not in ("/", ".", "..")]
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        ends = [*ends, *map(_stem, ends)]
        exact = next((found for end in ends if (found := self._ends.get(end))), None)
        return exact or next((found for end in ends if (found := self._alike.get(alike(end)))), None)

    def size(self, name: str | None, stated: Size | None) -> Size:
        """The stated size, else that of the file. Raises InputError if there is neither."""
        if stated is not None:
            return stated
        if name is None:
            raise InputError(
                f"its size is not stated, and no image in {self.folder} or below has its name", "image-missing"
            )
        return read_size(self.folder / name)

    @cached_property
    def _files(self) -> set[str]:
        return set(islice(images_below(self.folder), MOST))

    @cached_property
    def _ends(self) -> dict[str, str]:
        """Name by every end of its path, with its suffix and without; empty if several end so."""
        found = dict[str, str]()
        for name in sorted(self._files):
            parts = PurePosixPath(name).parts
            ends = ["/".join(parts[start:]) for start in range(len(parts))]
            for end in {*ends, *map(_stem, ends)}:
                found[end] = "" if found.get(end, name) != name else name
        return found

    @cached_property
    def _alike(self) -> dict[str, str]:
        """Name by what every end of its path is alike to; empty if several are."""
        found = dict[str, str]()
        for end, name in self._ends.items():
            found[alike(end)] = "" if found.get(alike(end), name) != name else name
        return found


class ClassNames:
    """Numbers classes by their names as they come; in the labels they are in the order of `in_order`."""

    def __init__(self) -> None:
        self._numbers = dict[str, int]()

    def number(self, name: str) -> int:
        return self._numbers.setdefault(name, len(self._numbers))

    @property
    def sorted(self) -> dict[int, str]:
        """Name by number, in the order of the names."""
        return {self._numbers[name]: name for name in in_order(self._numbers)}


def in_order(names: Iterable[str]) -> list[str]:
    """Alphabetical; names that are all whole numbers in the order of these."""
    numbers = {name: by_value(name) for name in names}
    known = {name: number for name, number in numbers.items() if number is not None}
    return sorted(numbers) if len(known) < len(numbers) else sorted(known, key=lambda name: (known[name], name))


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]
