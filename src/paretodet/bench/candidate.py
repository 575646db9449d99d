"""What can be measured: three methods and the facts a candidate states about itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from paretodet.types import Detections

Image = np.ndarray  # [H, W, 3] uint8 RGB


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a candidate says of itself; None where it cannot know."""

    height: int | None = None  # of the canvas, px
    width: int | None = None
    proposals: int | None = None
    classes: int | None = None
    weights: str = "random"  # "random", or the SHA-256 of the weights file
    device: str = "cpu"
    runtime: str = "eager"
    precision: str = "fp32"
    load: str = "data"  # "capacity": every slot filled, the worst case; "data": as the images have it
    artefact: str = ""  # SHA-256 over spec, weights, runtime, precision, thresholds and fit
    spec: str | None = None  # the spec as JSON
    parameters: int | None = None  # learnable
    buffers: int | None = None
    macs: int | None = None  # convolutions and fully connected layers, batch 1
    macs_other: int | None = None  # other counted operators
    uncounted: tuple[str, ...] = ()  # operators no counter knows
    activations_mib: float | None = None  # sum of all operator outputs: the paper's total memory
    runtime_settings: tuple[tuple[str, str], ...] = ()  # such as ("session.intra_op.allow_spinning", "0")


@runtime_checkable
class Candidate(Protocol):
    """Anything that can detect.

    prepare: decoded images -> one batch in host memory.
    infer: that batch -> outputs; host-to-device copy, network and NMS. May return before a device has finished.
    finish: outputs and the images' true (height, width) [B, 2] -> `Detections` in host memory, boxes in pixels of
    the original images.
    """

    name: str

    def prepare(self, images: Sequence[Image]) -> Any: ...

    def infer(self, batch: Any) -> Any: ...

    def finish(self, outputs: Any, sizes: Tensor) -> Detections: ...


@runtime_checkable
class Staged(Protocol):
    """Optional: named functions whose composition is `infer`; none of them where it has no parts to call alone."""

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]: ...


@runtime_checkable
class Stated(Protocol):
    """Optional: the candidate's own facts."""

    def facts(self) -> ModelInfo: ...


@runtime_checkable
class Labeled(Protocol):
    """Optional: the names of the labels; None marks an unused slot."""

    labels: tuple[str | None, ...]
