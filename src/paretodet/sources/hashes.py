"""Hashes of files that users name."""

from collections.abc import Callable
from pathlib import Path

from paretodet import reading
from paretodet.errors import InputError
from paretodet.onnx_references import model_hash


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits. Raises ValueError if there is no such file."""
    return _hashed(path, reading.sha256)


def model_sha256(path: Path) -> str:
    """The SHA-256 of a detector file and of the others that decide its results. Raises ValueError if one is missing."""
    return _hashed(path, model_hash)


def _hashed(path: Path, method: Callable[[Path], str]) -> str:
    try:
        return method(path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}", "file-unreadable") from error
