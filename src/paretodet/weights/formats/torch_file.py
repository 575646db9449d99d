"""Files of `torch.save`, read with `weights_only=True`, so that no code of theirs runs."""

import pickle
from pathlib import Path

import torch
from torch import Tensor

from paretodet.weights.file_format import FileFormat
from paretodet.weights.safe import WeightsError


def _matches(path: Path) -> bool:
    return path.suffix in (".pt", ".pth")


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file without code: a dictionary of tensors, or one in its item `state_dict`.

    Raises WeightsError for any other file.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the reader raise anything
        unsafe = isinstance(error, pickle.UnpicklingError) or not str(
            error
        )  # torch's message then says how to run code
        reason = type(error).__name__ if unsafe else str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: not a torch file of tensors only ({reason}); if you trust the file, convert it to safetensors",
            "weights-format",
        ) from None
    state = found.get("state_dict", found) if isinstance(found, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    ):
        raise WeightsError(
            f"{path}: not a dictionary of named tensors, and no item state_dict is one", "weights-format"
        )
    return state


FORMAT = FileFormat(name="torch", title="a torch file (.pt, .pth)", matches=_matches, read=read)
