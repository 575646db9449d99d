"""The protocol of what can be measured: three methods and, optionally, facts about the candidate."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from torch import Tensor

from paretodet.evaluation.masks import Pasting
from paretodet.records.profile import LayerTime
from paretodet.records.roofline import LayerWork
from paretodet.types import Detections

Image = np.ndarray  # [H, W, 3] uint8 RGB


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a candidate states about itself; None if unknown."""

    height: int | None = None  # of the canvas, px
    width: int | None = None
    proposals: int | None = None
    classes: int | None = None
    weights: str = "random"  # "random", or the SHA-256 of the weights file
    device: str = "cpu"
    runtime: str = "eager"
    precision: str = "fp32"  # the one that is executed
    precision_layers: dict[str, int] | None = None  # convolutions and matrix products by the precision they run in
    load: str = "data"  # "capacity": every slot is filled, the worst case; "data": as the images require
    artefact: str = ""  # SHA-256 over spec, weights, runtime, precision, thresholds and fit
    spec: str | None = None  # the spec as JSON
    parameters: int | None = None  # learnable
    buffers: int | None = None
    macs: int | None = None  # convolutions and fully connected layers, batch 1
    macs_other: int | None = None  # other counted operators
    uncounted: tuple[str, ...] = ()  # operators without a formula
    activations_mib: float | None = None  # sum of all operator outputs, as in Huang et al. 2017
    layers: tuple[LayerWork, ...] = ()  # every call that multiplies and adds, for one image; not stored in rows
    export_ms: float | None = None  # writing the graph, when it was made
    made_ms: float = 0.0  # spent on that while this candidate was built, so not part of its load_ms; not in rows
    compile_ms: float | None = None  # from the graph to a session that is ready, part of load_ms
    runtime_settings: tuple[tuple[str, str], ...] = ()  # such as ("session.intra_op.allow_spinning", "0")


@runtime_checkable
class Candidate(Protocol):
    """A detector.

    prepare: decoded images -> one batch in host memory.
    infer: that batch -> outputs; host-to-device copy, network and NMS. It may return before the device has finished.
    finish: outputs and the images' true (height, width) [B, 2] -> `Detections` in host memory, with boxes in pixels
    of the original images.
    """

    name: str

    def prepare(self, images: Sequence[Image]) -> Any: ...

    def infer(self, batch: Any) -> Any: ...

    def finish(self, outputs: Any, sizes: Tensor) -> Detections: ...


@runtime_checkable
class Staged(Protocol):
    """Optional: named functions whose composition is `infer`; empty if it has no parts that can be called."""

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]: ...


@runtime_checkable
class Profiled(Protocol):
    """Optional: times of its layers."""

    def profile(self, batch: Any, calls: int) -> tuple[LayerTime, ...]:
        """The median of each layer over `calls` calls of `infer`, by the layer's name in `ModelInfo.layers`."""
        ...


@runtime_checkable
class Stated(Protocol):
    """Optional: the candidate's own facts."""

    def facts(self) -> ModelInfo: ...


@runtime_checkable
class Masked(Protocol):
    """Optional: how its masks are drawn into an image; as Detectron does if it does not say."""

    pasting: Pasting


@runtime_checkable
class Labeled(Protocol):
    """Optional: the names of the labels; None marks an unused slot."""

    labels: tuple[str | None, ...]
