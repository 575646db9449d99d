"""Safetensors files, with the tensors of any code base."""

from pathlib import Path

from paretodet.weights import safe
from paretodet.weights.file_format import FileFormat


def _matches(path: Path) -> bool:
    return path.suffix == ".safetensors"


FORMAT = FileFormat(name="safetensors", title="safetensors", matches=_matches, read=safe.read)
