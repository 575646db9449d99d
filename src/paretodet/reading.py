"""Reads files within limits and hashes them."""

import hashlib
import mmap
import os
import re
from pathlib import Path
from typing import BinaryIO

from paretodet.errors import InputError

PIECE = 2**20
SUFFIX = re.compile(r"\.(\w+)$")
WEB_PAGE = "a web page; download the file itself"
IN_PLACE = {  # what a download may be in place of a file, by its first bytes in lower case
    b"version https://git-lfs.github.com/spec/": "a pointer of Git LFS; `git lfs pull` in its folder gets the file",
    b"<!doctype html": WEB_PAGE,
    b"<html": WEB_PAGE,
}


def sha256(path: Path) -> str:
    """The SHA-256 of a file as 64 hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def memory_map(file: BinaryIO) -> mmap.mmap:
    """The content of a file, read by the system where it is used. Writing to it does not change the file.

    It is read-only if it is larger than the memory that the system would give to what is written. Raises OSError, and
    ValueError for an empty file.
    """
    try:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    except OSError:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file, pipe or device of at most `limit` bytes.

    Raises OSError, or a ValueError without the name of the file if there is more.
    """
    content = b""
    with path.open("rb") as file:
        step = max(os.fstat(file.fileno()).st_size, PIECE) + 1  # the whole step is allocated at once
        while len(content) <= limit and (piece := file.read(min(step, limit + 1 - len(content)))):
            content = content + piece if content else piece
    if len(content) > limit:
        raise InputError(f"it is larger than {_size(limit)}", "file-too-large")
    return content


def in_place_of(path: Path) -> str | None:
    """What stands in place of a file that was not downloaded itself, and how to get it; None if it is no such thing.

    Raises OSError.
    """
    with path.open("rb") as file:
        start = file.read(256).lstrip().lower()
    return next((what for first, what in IN_PLACE.items() if start.startswith(first)), None)


def visible_files(folder: Path, *patterns: str) -> list[Path]:
    """What matches the patterns in a folder, those of each pattern sorted, without hidden files; suffixes in capitals
    too.
    """
    found = (file for each in patterns for file in sorted(folder.glob(SUFFIX.sub(_any_case, each))))
    return [file for file in found if not file.name.startswith(".")]


def _any_case(suffix: re.Match[str]) -> str:
    """.csv -> .[cC][sS][vV]"""
    return "." + "".join(f"[{letter.lower()}{letter.upper()}]" for letter in suffix[1])


def is_file(path: Path) -> bool:
    """Whether `path` is a file. False, not an OSError, if the name is too long or a folder is not readable."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder, in the same way as `is_file`."""
    try:
        return path.is_dir()
    except OSError:
        return False


def is_inside(path: Path, folder: Path) -> bool:
    """Whether `path` lies below `folder`, links resolved. False for a path that the system does not take."""
    try:
        return real_path(folder) in real_path(path).parents
    except (OSError, ValueError):
        return False


def real_path(path: Path) -> Path:
    """The absolute path with links resolved, equal for two names of one file. A link to itself stays as it is."""
    return Path(os.path.realpath(path))


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB" if count >= 2**20 else f"{count / 2**10:,.0f} KiB"
