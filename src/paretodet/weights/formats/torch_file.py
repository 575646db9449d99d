"""Files of `torch.save`, read with `weights_only=True`, so that no code of theirs runs."""

import argparse
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paretodet.errors import InputError, words
from paretodet.reading import memory_map
from paretodet.weights import pickled
from paretodet.weights.file_format import FileFormat, ItemTensors
from paretodet.weights.safe import WeightsError, check_plain
from paretodet.weights.torch_calls import check_calls
from paretodet.weights.torch_code import refuse_code

LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the number with which files before torch 1.6 start
ZIP, FIRST = b"PK\x03\x04", b"/data.pkl"  # later ones are archives with this entry first
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")  # items of averages of weights
WRAPPERS = (*AVERAGED, "state_dict", "model", "model_state_dict")  # items of checkpoints, the preferred ones first
AVERAGES = "n_averaged"  # how many updates an AveragedModel of torch has seen
PREFIXES = ("module.", "_orig_mod.")  # of DistributedDataParallel and torch.compile, and of AveragedModel
SCALARS = tuple(f"numpy.{core}.multiarray.scalar" for core in ("core", "_core"))


class _Kind:
    """numpy.dtype in the pickle of a number of numpy, and nothing else."""

    def __init__(self, code: Any, align: Any = False, copy: Any = False):
        self.type = pickled.number_type(code)

    def __setstate__(self, state: Any) -> None:
        self.type.build(state)


def _number(kind: _Kind, data: Any) -> int | float:
    """numpy.core.multiarray.scalar"""
    if not isinstance(data, bytes):
        raise InputError("a number of numpy without its bytes", "weights-format")
    return pickled.scalar(kind.type, bytearray(data))


SAFE: list[Any] = [
    argparse.Namespace,  # the options in checkpoints of training scripts
    (_Kind, "numpy.dtype"),
    *((_number, name) for name in SCALARS),
]


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
        with torch.serialization.safe_globals(SAFE):
            found = torch.load(path, map_location="cpu", weights_only=True, mmap=_is_mappable(path))
    except Exception as error:  # a damaged file can make the reader raise anything
        message = (
            f"not a torch file of tensors only ({_reason(error)}); if you trust the file, convert it to safetensors"
        )
        raise WeightsError(f"{path}: {message}", "weights-format") from None
    item, state = unwrapped(found, path)
    if not state or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise WeightsError(
            f"{path}: not a dictionary of named tensors, and no item {', '.join(WRAPPERS)} is one", "weights-format"
        )
    check_plain(state, path)
    state = without_prefix(state)
    return ItemTensors(state, item) if item else state


def _reason(error: Exception) -> str:
    """What is wrong with a file, without torch's words, which say how to run code."""
    if isinstance(error, pickle.UnpicklingError):
        named = re.search(r"GLOBAL ([\w.]{1,80})", words(error))
        return f"it uses {named[1]}" if named else type(error).__name__
    return next(iter(words(error).splitlines()), type(error).__name__)


def _is_mappable(path: Path) -> bool:
    """Whether the tensors can stay in the file: torch compresses none of its archives, but other programs do.

    Raises BadZipFile, or InputError for a compressed archive, or for calls that can fill the memory.
    """
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file, memory_map(file) as content:
            check_calls(content)
        return False
    with zipfile.ZipFile(path) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise InputError("a compressed archive, which torch does not write", "weights-format")
        for entry in archive.infolist():
            if entry.filename.endswith(FIRST.decode()):
                check_calls(archive.read(entry))
    return True


def unwrapped(found: Any, path: Path) -> tuple[str, Mapping[Any, Any]]:
    """The item of a checkpoint that has the weights, and its dictionary of tensors: empty if there is none.

    The item is "" where the checkpoint is that dictionary itself. Raises WeightsError if there are averages of weights
    that are not in an item of `AVERAGED`.
    """
    if not isinstance(found, dict):
        return "", {}
    if other := next((name for name in found if _is_other_average(name, found[name])), None):
        message = f"{path}: its item {other[:80]} has averages of weights; save the item alone whose weights you want"
        raise WeightsError(message, "weights-format")
    wrapped = {name: _inner(found[name]) for name in WRAPPERS if name in found}
    for name, value in wrapped.items():
        if _has_tensors(value) or (name not in AVERAGED and isinstance(value, dict)):
            return name, value
    return "", {} if wrapped else found


def _inner(value: Any) -> Any:
    """The weights in an item: of an object that keeps averages they are inside, beside how many it has averaged."""
    if not isinstance(value, dict):
        return value
    weights = value["module"] if isinstance(value.get("module"), dict) else value
    return {name: tensor for name, tensor in weights.items() if name != AVERAGES}


def _is_other_average(name: Any, value: Any) -> bool:
    words_of = set(re.split("[^a-z]+", name.lower())) if isinstance(name, str) else set()
    return name not in WRAPPERS and not words_of.isdisjoint(("ema", "swa")) and _has_tensors(_inner(value))


def _has_tensors(value: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(isinstance(each, Tensor) for each in value.values())


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by names without the `PREFIXES` that all of them have."""
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in state)), None):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


FORMAT = FileFormat(name="torch", title="a torch file (.pt, .pth)", matches=_matches, read=read)
