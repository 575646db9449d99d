"""What a format of weights files is: one file in `formats/` that makes one `FileFormat`, and one line there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor


def _no_metadata(path: Path) -> dict[str, Any]:
    return {}


class ItemTensors(dict[str, Tensor]):
    """The tensors of one item of a checkpoint, which has others beside it."""

    def __init__(self, tensors: Mapping[str, Tensor], item: str):
        super().__init__(tensors)
        self.item = item


@dataclass(frozen=True, kw_only=True)
class FileFormat:
    """Files that hold named tensors. Which detector the names are of is the question of a `Naming`."""

    name: str  # of the option --format and in JSON
    title: str  # in messages
    matches: Callable[[Path], bool]  # by the file's first bytes; the path of an existing file
    read: Callable[[Path], Mapping[str, Tensor]]  # raises WeightsError naming the file and what is wrong
    metadata: Callable[[Path], dict[str, Any]] = _no_metadata  # fields of WeightsMetadata that it states beside them
