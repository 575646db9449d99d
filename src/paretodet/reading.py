"""Files told by their content, and read within limits: the only place that decides how."""

import hashlib
import os
from pathlib import Path

PIECE = 2**20


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_bytes(path: Path, limit: int) -> bytes:
    """All of a file, a pipe or a device, and never more than `limit` bytes of it. Raises OSError; ValueError, without
    the file's name, where it holds more.
    """
    content = b""
    with path.open("rb") as file:
        step = max(os.fstat(file.fileno()).st_size, PIECE) + 1  # what is asked for is reserved at once
        while len(content) <= limit and (piece := file.read(min(step, limit + 1 - len(content)))):
            content = content + piece if content else piece
    if len(content) > limit:
        raise ValueError(f"it is larger than {_size(limit)}")
    return content


def is_file(path: Path) -> bool:
    """Whether a file lies there whose name anybody may have written: one too long for the disk, or of a folder that is
    closed to us, does not.
    """
    try:
        return path.is_file()
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """As `is_file`, of a folder."""
    try:
        return path.is_dir()
    except OSError:
        return False


def place_of(path: Path) -> Path:
    """Where a file or folder lies, links followed, by which two names of one are known; a link that leads to itself
    lies where it is.
    """
    return Path(os.path.realpath(path))


def _size(count: int) -> str:
    return f"{count / 2**20:,.0f} MiB" if count >= 2**20 else f"{count / 2**10:,.0f} KiB"
