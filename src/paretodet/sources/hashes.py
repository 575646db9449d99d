"""Hashes of files that users name."""

from pathlib import Path

from paretodet import reading
from paretodet.errors import InputError


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits. Raises ValueError if there is no such file."""
    try:
        return reading.sha256(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "file-unreadable") from error
