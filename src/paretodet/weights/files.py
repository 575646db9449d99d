"""Load a weights file of any supported format into a detector, and read the metadata of a file.

The formats are safetensors, torch files without code (read with `torch.load(weights_only=True)` only) and darknet's
`.weights`.
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

KEY = "paretodet"  # in the metadata of a safetensors file


@dataclass(frozen=True, kw_only=True)
class WeightsMetadata:
    """Where weights come from, how their detector differs from the catalogue's, and the settings to use them with.

    None means unknown, or the default of the detector.
    """

    name: str  # in the catalogue
    file: str = ""  # name of the original file, without its folder
    sha256: str = ""  # of the original file
    license: str | None = None
    labels: tuple[str | None, ...] | None = None
    scratch: bool = False  # trained from scratch: the detector is that of `trainable_norms`
    width: Annotated[float, Limits(gt=0, le=1)] = 1.0  # factor on the channels, as in `scale_width`
    fit: str | None = None  # "stretch" or "letterbox"
    score: Finite | None = None  # threshold
    nms: Finite | None = None  # IoU threshold
    ap: Finite | None = None  # published for these weights, COCO, percent
    ap50: Finite | None = None
    split: str | None = None  # of the published AP
    source: str | None = None  # of the published AP

    def __post_init__(self) -> None:
        schema.check(self)

    def display_name(self, name: str) -> str:
        """The name of a row with these weights; `name` may have another input size than the trained one."""
        return f"{name} at width {self.width:g}" if self.width < 1 else name

    def apply_to(self, spec: DetectorSpec) -> DetectorSpec:
        """The catalogue's spec, changed as the detector of these weights is."""
        trainable = trainable_norms(spec) if self.scratch else spec
        return scale_width(trainable, self.width) if self.width < 1 else trainable


def load(module: nn.Module, path: Path) -> None:
    """Load a weights file into `module`; its suffix selects one of READERS.

    Raises ValueError naming the file and the missing, unused or wrongly shaped tensors, or the supported suffixes.
    """
    reader = READERS.get(path.suffix)
    if reader is None:
        raise WeightsError(
            f"{path}: got the suffix {path.suffix or '(none)'}, allowed {', '.join(READERS)}", "weights-format"
        )
    reader(module, path)


def read_metadata(path: Path) -> WeightsMetadata | None:
    """The metadata of a safetensors file that `save` wrote; None for any other file."""
    text = safe.metadata(path).get(KEY) if path.suffix == ".safetensors" and path.is_file() else None
    if text is None:
        return None
    try:
        return schema.parse(text, WeightsMetadata, what=f"its metadata {KEY!r}")
    except schema.SchemaError as error:
        raise WeightsError(f"{path}: {error.message}", "weights-metadata") from None


def save(tensors: Mapping[str, Tensor], path: Path, metadata: WeightsMetadata) -> None:
    """Write the weights of a detector as a safetensors file with metadata. Raises OSError."""
    safe.save(tensors, path, {KEY: json.dumps(asdict(metadata))})


def read_torch(path: Path) -> dict[str, Tensor]:
    """The tensors of a torch file without code: a dictionary of tensors, or one in its item `state_dict`.

    Raises WeightsError for any other file.
    """
    if not path.is_file():
        raise WeightsError(f"{path}: no such file", "file-missing")
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


def _load_torch(module: nn.Module, path: Path) -> None:
    safe.load_tensors(module, read_torch(path), path)


READERS: dict[str, Callable[[nn.Module, Path], None]] = {
    ".safetensors": safe.load,
    ".weights": darknet.load,
    ".pt": _load_torch,
    ".pth": _load_torch,
}
