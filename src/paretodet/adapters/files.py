"""What every guest that lives in a file needs."""

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from paretodet import reading


def sha256(path: Path) -> str:
    """The file's SHA-256 as 64 hex digits. Raises ValueError where there is no such file."""
    try:
        return reading.sha256(path)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a safetensors file; nothing is ever unpickled. Raises ValueError where it is not one."""
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error
