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
from paretodet.weights.averages import Averages, averages
from paretodet.weights.file_format import FileFormat, ItemTensors
from paretodet.weights.safe import WeightsError, check_plain
from paretodet.weights.torch_calls import check_calls
from paretodet.weights.torch_code import refuse_code

LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the number with which files before torch 1.6 start
ZIP, FIRST = b"PK\x03\x04", b"/data.pkl"  # later ones are archives with this entry first
AVERAGED = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")  # items of averages of weights
WRAPPERS = (*AVERAGED, "state_dict", "model", "model_state_dict")  # items of checkpoints, the preferred ones first
COUNT = "n_averaged"  # how many updates an AveragedModel of torch has seen
PREFIX = "module."  # of DistributedDataParallel, and of AveragedModel
COMPILED = re.compile(r"(?:(?<=\.)|^)_orig_mod\.")  # in the names of what torch.compile took, a network or a part of it
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

    `PREFIX` is removed if all names have it. Raises WeightsError for any other file.
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

    The item is "" where the checkpoint is that dictionary itself. Averages of weights come first; raises WeightsError
    if they are not the one dictionary of tensors in an item of `AVERAGED`.
    """
    if not isinstance(found, dict):
        return "", {}
    if found_averages := averages(found, _is_weight):
        return _only(found_averages, path)
    for name in WRAPPERS:
        if name not in AVERAGED and isinstance(value := _inner(found.get(name)), dict):
            return name, value
    return "", {} if any(name in found for name in WRAPPERS) else _without_count(found)


def _only(found: list[Averages], path: Path) -> tuple[str, Mapping[Any, Any]]:
    """The averages, and the item that they are in."""
    averaged, *others = found
    item, state = averaged.path[0], _without_count(averaged.holder)
    if others or item not in AVERAGED or not _is_state(state):
        raise averaged.refused(path)
    return item, state


def _inner(value: Any) -> Any:
    """The weights in an item: of an object that keeps averages they are inside, beside how many it has averaged."""
    inside = value["module"] if isinstance(value, dict) and isinstance(value.get("module"), dict) else value
    return _without_count(inside)


def _without_count(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: tensor for name, tensor in value.items() if name != COUNT}


def _is_state(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, Tensor) for each in value.values())


def _is_weight(value: Any) -> bool:
    """Whether it is a tensor of several numbers: one number is a count, a loss or the rate of an average."""
    return isinstance(value, Tensor) and value.numel() > 1


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by names without what torch.compile adds, and without a `PREFIX` that all of them have."""
    plain = {COMPILED.sub("", name): tensor for name, tensor in state.items()}
    state = plain if len(plain) == len(state) else state
    while state and all(name.startswith(PREFIX) for name in state):
        state = {name.removeprefix(PREFIX): tensor for name, tensor in state.items()}
    return dict(state)


FORMAT = FileFormat(name="torch", title="a torch file (.pt, .pth)", matches=_matches, read=read)
