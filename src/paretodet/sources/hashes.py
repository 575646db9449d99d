"""Hashes of files that users name."""

from pathlib import Path

from paretodet import reading


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits. Raises ValueError if there is no such file."""
    try:
        return reading.sha256(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
