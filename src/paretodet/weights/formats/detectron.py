"""Pickles of arrays by name: Detectron's `.pkl` files, and those that Detectron2 publishes in its model zoo."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paretodet.weights import detectron_cfg, pickled
from paretodet.weights.averages import averages
from paretodet.weights.file_format import FileFormat
from paretodet.weights.formats import torch_file
from paretodet.weights.safe import WeightsError

WRAPPERS = ("blobs", "model")  # Detectron's, Detectron2's; the oldest files have none


def _matches(path: Path) -> bool:
    return pickled.is_pickle(path) and not torch_file.FORMAT.matches(path)


def read(path: Path) -> dict[str, Tensor]:
    """The arrays of a pickle by name, and the numbers of its configuration (`detectron_cfg`), without what else it has.

    Raises WeightsError if there is none, and if there are averages of weights beside them.
    """
    found = pickled.read(path)
    if averaged := averages(found, _is_weight):
        raise averaged[0].refused(path)
    cfg = detectron_cfg.numbers(_text(found.get("cfg"))) if isinstance(found, dict) else {}
    for wrapper in WRAPPERS:
        found = found.get(wrapper, found) if isinstance(found, dict) else {}
    arrays = {name: values for name, value in found.items() if (values := pickled.array(value)) is not None}
    if not arrays:
        raise WeightsError(
            f"{path}: not a dictionary of arrays, and no item {' or '.join(WRAPPERS)} is one", "weights-format"
        )
    return {name: torch.from_numpy(values) for name, values in arrays.items()} | cfg


def _text(value: Any) -> str:
    """A text, which Python 2 has as bytes; empty for anything else."""
    if isinstance(value, memoryview | bytearray):
        return bytes(value).decode("latin1")
    return value if isinstance(value, str) else ""


def _is_weight(value: Any) -> bool:
    numbers = pickled.array(value)
    return numbers is not None and numbers.size > 1


FORMAT = FileFormat(name="detectron", title="a pickle of arrays (Detectron's .pkl)", matches=_matches, read=read)
