"""Torch-free data: what a detector is made of.

A detector is a backbone, a neck and one or two stages; a stage refines reference boxes — anchors in the first stage,
proposals in the second. Every choice is a frozen dataclass of the room it belongs to, so equality, hash, JSON and
diff are free, and each carries its own `build`.
"""

import importlib
import json
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from torch import Tensor, nn

    from paretodet.data.resize_policy import ResizePolicy
    from paretodet.rules.masks import MaskLoss
    from paretodet.types import Coder, FeatureInfo, Loss, Matcher, PostProcessor, References, Sampler


class BackboneSpec(Protocol):
    """Builds a module with `info`, `tail_channels`, `trunk(pixels)` and `tail(crops)`."""

    def build(self) -> Any: ...


class NeckSpec(Protocol):
    """Builds a module maps -> maps that carries its own `info`."""

    def build(self, info: "FeatureInfo") -> Any: ...


class AnchorsSpec(Protocol):
    """The first stage's references, for maps of `strides` (None: any)."""

    @property
    def strides(self) -> tuple[int | None, ...]: ...

    @property
    def per_cell(self) -> tuple[int, ...]: ...

    def __call__(self, maps: "tuple[Tensor, ...]", canvas: tuple[int, int]) -> "References": ...


class DenseHeadSpec(Protocol):
    """Builds maps -> Predictions for `per_cell` anchors a level and `logits` numbers a reference."""

    def build(self, info: "FeatureInfo", per_cell: tuple[int, ...], logits: int) -> "nn.Module": ...


class RegionHeadSpec(Protocol):
    """Builds (maps, proposals, canvas, tail) -> Predictions."""

    def build(self, info: "FeatureInfo", tail_channels: int, classes: int, logits: int) -> "nn.Module": ...


class MaskHeadSpec(Protocol):
    """Builds (maps, boxes, labels, canvas) -> logits [B, R, M, M]."""

    def build(self, info: "FeatureInfo", classes: int) -> "nn.Module": ...


class ScoresSpec(Protocol):
    """logits [B, N, S] -> scores [B, N, K] in 0..1; `width(K)` is S."""

    def width(self, classes: int) -> int: ...

    def __call__(self, logits: "Tensor") -> "Tensor": ...


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """What the network subtracts from and divides RGB values 0..255 by."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One refinement of reference boxes: how it predicts, decodes, scores, learns and selects.

    `boundary_anchors` sets what becomes of anchors that cross the image's border: "kept" leaves them as they are;
    "clipped" clips them to the image before they are decoded, while in training they stay whole and what they propose
    is dropped (TF's Faster R-CNN).
    """

    head: Any  # DenseHeadSpec in the first stage, RegionHeadSpec in later ones
    coder: "Coder"
    scores: ScoresSpec
    select: "PostProcessor"
    matcher: "Matcher | None" = None
    sampler: "Sampler | None" = None
    losses: "Loss | None" = None
    train_select: "PostProcessor | None" = None  # None: as `select`
    append_targets: bool = False  # ground truth joins the proposals in training (Detectron yes, TF no)
    boundary_anchors: Literal["kept", "clipped"] = "kept"

    def __post_init__(self) -> None:
        if self.boundary_anchors not in ("kept", "clipped"):
            raise ValueError(f"boundary_anchors: got {self.boundary_anchors!r}, must be 'kept' or 'clipped'")


@dataclass(frozen=True, kw_only=True)
class MaskSpec:
    """A branch on the finished boxes: how it predicts their masks and learns them."""

    head: MaskHeadSpec
    loss: "MaskLoss | None" = None


@dataclass(frozen=True, kw_only=True)
class DetectorSpec:
    """Everything a detector is, as data."""

    name: str
    height: int  # of the canvas it is measured on, px
    width: int
    fit: "ResizePolicy"
    pixels: Pixels
    backbone: BackboneSpec
    neck: NeckSpec | None = None
    anchors: AnchorsSpec
    stages: tuple[StageSpec, ...]
    masks: MaskSpec | None = None
    labels: tuple[str | None, ...]  # None: an unused slot of a 90-way head
    assumption: str | None = None  # where the source is silent, what was assumed

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError("labels: got none, a detector needs at least one class")
        if not self.stages:
            raise ValueError("stages: got none, a detector needs at least one")

    @property
    def classes(self) -> int:
        return len(self.labels)

    @property
    def proposals(self) -> int | None:
        """References of the last stage where they are proposals, else None."""
        return self.stages[-2].select.keep if len(self.stages) > 1 else None  # type: ignore[attr-defined]


# Rows, weights and checkpoints hold the JSON of a spec, and `artefact` is a hash of it: parts and fields that were
# renamed keep their first names there.
STORED_TYPES = {
    "paretodet.data.resize_policy.Letterbox": "paretodet.data.fit.Letterbox",
    "paretodet.data.resize_policy.ShortSide": "paretodet.data.fit.ShortSide",
    "paretodet.data.resize_policy.ShortSideCrop": "paretodet.data.fit.ShortSideCrop",
    "paretodet.data.resize_policy.Stretch": "paretodet.data.fit.Stretch",
    "paretodet.layers.activations.NoActivation": "paretodet.layers.activations.Linear",
    "paretodet.rules.coders.WorstCaseCoder": "paretodet.rules.coders.SpreadCoder",
    "paretodet.rules.select.PostProcess": "paretodet.rules.select.Select",
}
STORED_FIELDS = {"boundary_anchors": "crossing", "normalizer": "normaliser"}
TYPES = {stored: path for path, stored in STORED_TYPES.items()}
FIELDS = {stored: name for name, stored in STORED_FIELDS.items()}


def stored_type(kind: type) -> str:
    """The dotted name that stands for a part in a stored spec."""
    path = f"{kind.__module__}.{kind.__qualname__}"
    return STORED_TYPES.get(path, path)


def to_data(value: Any) -> Any:
    """A spec as JSON-ready data; a dataclass becomes an object that names its type."""
    if is_dataclass(value) and not isinstance(value, type):
        parts = {STORED_FIELDS.get(f.name, f.name): to_data(getattr(value, f.name)) for f in fields(value)}
        return {"type": stored_type(type(value))} | parts
    return [to_data(item) for item in value] if isinstance(value, tuple) else value


def from_data(data: Any) -> Any:
    """The spec back. Raises ValueError for a type that is not a dataclass of this package."""
    if isinstance(data, list):
        return tuple(from_data(item) for item in data)
    if not isinstance(data, dict):
        return data
    kind: str = data["type"]
    parts = {FIELDS.get(str(key), str(key)): from_data(item) for key, item in data.items() if key != "type"}
    return _dataclass(TYPES.get(kind, kind))(**parts)


def to_json(spec: DetectorSpec) -> str:
    """Canonical JSON: sorted keys, no spaces; infinities written as Python's json does."""
    return json.dumps(to_data(spec), sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> DetectorSpec:
    """The spec that `to_json` wrote."""
    return from_data(json.loads(text))


def _dataclass(path: str) -> type:
    module, _, name = path.rpartition(".")
    found = getattr(importlib.import_module(module), name, None) if module.startswith("paretodet.") else None
    if not (isinstance(found, type) and is_dataclass(found)):
        raise ValueError(f"type: {path!r} is not a part of this package")
    return found
