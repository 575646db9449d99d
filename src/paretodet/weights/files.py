"""Any weights file this project can read, into a detector; and what a file says of itself.

safetensors, torch files without code (`torch.load(weights_only=True)`, never anything else), darknet's `.weights`.
"""

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import torch
from torch import Tensor, nn

from paretodet import schema
from paretodet.detectors.scale_width import scale_width
from paretodet.detectors.spec import DetectorSpec
from paretodet.detectors.trainable_norms import trainable_norms
from paretodet.schema import Finite, Limits
from paretodet.weights import darknet, safe
from paretodet.weights.safe import WeightsError

KEY = "paretodet"  # of the metadata of a safetensors file


@dataclass(frozen=True, kw_only=True)
class WeightsMetadata:
    """Where weights come from, how their detector differs from the catalogue's, and how they want to be used; None
    where nobody said.
    """

    name: str  # the catalogue's
    file: str = ""  # as it was called; never where it lay
    sha256: str = ""  # of that file
    license: str | None = None
    labels: tuple[str | None, ...] | None = None
    scratch: bool = False  # every norm is learned, as `trainable_norms` has it
    width: Annotated[float, Limits(gt=0, le=1)] = 1.0  # of every layer, as `scale_width` has it
    fit: str | None = None  # "stretch" or "letterbox"
    score: Finite | None = None
    nms: Finite | None = None
    ap: Finite | None = None  # published of these weights, COCO percent
    ap50: Finite | None = None
    split: str | None = None
    source: str | None = None

    def __post_init__(self) -> None:
        schema.check(self)

    def display_name(self, name: str) -> str:
        """What a row of these weights is called, where `name` may tell another size than the trained one."""
        return f"{name} at width {self.width:g}" if self.width < 1 else name

    def apply_to(self, spec: DetectorSpec) -> DetectorSpec:
        """The catalogue's spec as the detector of these weights was built."""
        learned = trainable_norms(spec) if self.scratch else spec
        return scale_width(learned, self.width) if self.width < 1 else learned


def load(module: nn.Module, path: Path) -> None:
    """Fill `module` from a file of any format known here.

    Raises ValueError naming the file and the missing, unused or wrongly shaped tensors, or the formats known.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise WeightsError(f"{path}: {path.suffix or 'no ending'} is not one of {', '.join(READERS)}")
    reader(module, path)


def origin(path: Path) -> WeightsMetadata | None:
    """What a safetensors file written by `save` says of itself; None of any other."""
    told = safe.metadata(path).get(KEY) if path.suffix == ".safetensors" and path.is_file() else None
    if told is None:
        return None
    try:
        return schema.parse(told, WeightsMetadata, what=f"its metadata {KEY!r}")
    except schema.SchemaError as error:
        raise WeightsError(f"{path}: {error.message}") from None


def save(tensors: Mapping[str, Tensor], path: Path, told: WeightsMetadata) -> None:
    """A detector's weights as safetensors, with their origin in the file's metadata."""
    safe.save(tensors, path, {KEY: json.dumps(asdict(told))})


def read_torch(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file that needs no code to be read; a `state_dict` inside is found.

    Raises WeightsError for anything else, and never tries another way.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a damaged file makes the reader stumble over
        unsafe = isinstance(error, pickle.UnpicklingError) or not str(error)  # torch then tells how to run its code
        reason = type(error).__name__ if unsafe else str(error).splitlines()[0]
        raise WeightsError(
            f"{path}: not a torch file of tensors alone; convert it to safetensors where you trust it ({reason})"
        ) from None
    state = found.get("state_dict", found) if isinstance(found, dict) else None
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items())
    ):
        raise WeightsError(f"{path}: holds no dictionary of named tensors")
    return state


def _load_torch(module: nn.Module, path: Path) -> None:
    safe.fill(module, read_torch(path), path)


READERS: dict[str, Callable[[nn.Module, Path], None]] = {
    ".safetensors": safe.load,
    ".weights": darknet.load,
    ".pt": _load_torch,
    ".pth": _load_torch,
}
