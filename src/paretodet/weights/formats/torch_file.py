"""Files of `torch.save`, read with `weights_only=True`, so that no code of theirs runs."""

import argparse
import mmap
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paretodet.errors import InputError, words
from paretodet.reading import memory_map
from paretodet.weights.file_format import FileFormat
from paretodet.weights.safe import WeightsError, check_plain
from paretodet.weights.torch_code import refuse_code

LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the number with which files before torch 1.6 start
ZIP, FIRST = b"PK\x03\x04", b"/data.pkl"  # later ones are archives with this entry first
WRAPPERS = ("state_dict", "model", "model_state_dict")  # items of checkpoints
GROWING = (b"\nbytearray\n", b"_codecs\nencode\n")  # calls that torch allows, and that make much of few bytes
PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile


def _matches(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(300)
    return path.suffix in (".pt", ".pth") or head.startswith(LEGACY) or (head.startswith(ZIP) and FIRST in head)


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file without code: a dictionary of tensors, or one in an item of `WRAPPERS`.

    `PREFIXES` that all names have are removed. Raises WeightsError for any other file.
    """
    refuse_code(path)
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # the options in checkpoints of training scripts
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_mappable(path))
    except Exception as error:  # a damaged file can make the reader raise anything
        known = not isinstance(error, pickle.UnpicklingError) and words(error)  # torch's message says how to run code
        reason = words(error).splitlines()[0] if known else type(error).__name__
        raise WeightsError(
            f"{path}: not a torch file of tensors only ({reason}); if you trust the file, convert it to safetensors",
            "weights-format",
        ) from None
    state = unwrapped(found)
    if not state or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise WeightsError(
            f"{path}: not a dictionary of named tensors, and no item {', '.join(WRAPPERS)} is one", "weights-format"
        )
    check_plain(state, path)
    return without_prefix(state)


def _is_mappable(path: Path) -> bool:
    """Whether the tensors can stay in the file: torch compresses none of its archives, but other programs do.

    Raises BadZipFile, or InputError for a compressed archive, or for calls that can fill the memory.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file, memory_map(file) as content:
            _check_calls(content)
        return False
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise InputError("a compressed archive, which torch does not write", "weights-format")
        for entry in archive.infolist():
            if entry.filename.endswith(FIRST.decode()):
                _check_calls(archive.read(entry))
    return True


def _check_calls(pickled: bytes | mmap.mmap) -> None:
    if called := next((name for name in GROWING if pickled.find(name) >= 0), None):
        function = called.decode().split()[-1]
        raise InputError(f"it calls {function}, which can fill the memory", "weights-format")


def unwrapped(found: Any) -> Mapping[Any, Any]:
    """The dictionary of tensors in a checkpoint; empty if there is none."""
    if not isinstance(found, dict):
        return {}
    wrapped = [found[name] for name in WRAPPERS if name in found]
    return next((value for value in wrapped if isinstance(value, dict)), {} if wrapped else found)


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by names without the `PREFIXES` that all of them have."""
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


FORMAT = FileFormat(name="torch", title="a torch file (.pt, .pth)", matches=_matches, read=read)
