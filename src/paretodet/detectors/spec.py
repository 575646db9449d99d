"""Torch-free data: what a detector is made of.

A detector is a backbone, a neck and stages. A stage refines reference boxes: anchors in the first stage, in a later
one the boxes that the stage before it selected. Every choice is a frozen dataclass, defined beside the code it
configures, so it has equality, a hash and JSON; those with weights have a `build` method.
"""

import importlib
import json
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from paretodet.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from paretodet.evaluation.masks import Pasting
    from paretodet.rules.masks import MaskLoss
    from paretodet.transforms.resize_policy import ResizePolicy
    from paretodet.types import Coder, FeatureInfo, Loss, Matcher, PostProcessor, References, Sampler


class BackboneSpec(Protocol):
    """Builds a module with `info`, `tail_channels`, `trunk(pixels)` and `tail(crops)`."""

    def build(self) -> Any: ...


class NeckSpec(Protocol):
    """Builds a module maps -> maps whose `info` describes the maps it returns."""

    def build(self, info: "FeatureInfo") -> Any: ...


class AnchorsSpec(Protocol):
    """The first stage's references, for maps of `strides` (None accepts any stride)."""

    @property
    def strides(self) -> tuple[int | None, ...]: ...

    @property
    def per_cell(self) -> tuple[int, ...]: ...

    def __call__(self, maps: "tuple[Tensor, ...]", canvas: tuple[int, int]) -> "References": ...


class DenseHeadSpec(Protocol):
    """Builds maps -> Predictions for `per_cell` anchors of each level and `logits` numbers per reference."""

    def build(self, info: "FeatureInfo", per_cell: tuple[int, ...], logits: int) -> "nn.Module": ...


class RegionHeadSpec(Protocol):
    """Builds a module (maps, references, canvas, tail) -> Predictions.

    If `crops_first`, the module also has the two halves of this: `crop(maps, boxes, canvas)` and `predict(crops,
    references, tail)`, so that heads of several stages can share the crops (`StageSpec.scored_by`).
    """

    @property
    def crops_first(self) -> bool: ...

    def build(self, info: "FeatureInfo", tail_channels: int, classes: int, logits: int) -> "nn.Module": ...


class MaskHeadSpec(Protocol):
    """Builds a module (maps, boxes, labels, canvas, tail) -> logits [B, R, M, M], which also has its two halves:
    `crop(maps, boxes, canvas)` and `outputs(crops, tail)`, the masks of all classes, of which `of_class` takes those of
    the labels.
    """

    def build(self, info: "FeatureInfo", tail_channels: int, classes: int) -> "nn.Module": ...

    def of_class(self, masks: "Tensor", labels: "Tensor") -> "Tensor": ...


class ScoresSpec(Protocol):
    """logits [B, N, S] -> scores [B, N, K] in 0..1; `width(K)` is S."""

    def width(self, classes: int) -> int: ...

    def __call__(self, logits: "Tensor") -> "Tensor": ...


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """RGB values 0..255 become (value - mean) / std."""

    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One refinement of reference boxes: how it predicts, decodes, scores, learns and selects.

    `boundary_anchors` sets what happens to anchors that cross the image's border: "kept" leaves them unchanged;
    "clipped" clips them to the image before they are decoded, while in training they stay whole and propose nothing
    (TF's Faster R-CNN).

    `scored_by` sets which heads score the references of a region stage at test: "head" its head alone, "cascade" this
    head and those of all earlier region stages, whose scores are averaged. In training only its head predicts.

    `map_gradient` is the factor on this stage's gradient where it enters the maps; the head itself learns at full
    rate. Weighting a stage's loss by the factor and its head's learning rate by 1 / factor gives the same updates.

    Raises ValueError for other choices, and if `losses` encodes boxes by another coder than the stage decodes by.
    """

    head: Any  # DenseHeadSpec in the first stage, RegionHeadSpec in later ones
    coder: "Coder"
    scores: ScoresSpec
    select: "PostProcessor"
    matcher: "Matcher | None" = None
    sampler: "Sampler | None" = None
    losses: "Loss | None" = None
    train_select: "PostProcessor | None" = None  # None: as `select`
    append_targets: bool = False  # ground truth joins the references in training (Detectron yes, TF no)
    boundary_anchors: Literal["kept", "clipped"] = "kept"
    scored_by: Literal["head", "cascade"] = "head"
    map_gradient: float = 1.0

    def __post_init__(self) -> None:
        if self.boundary_anchors not in ("kept", "clipped"):
            raise ValueError(f"boundary_anchors: got {self.boundary_anchors!r}, must be 'kept' or 'clipped'")
        if self.scored_by not in ("head", "cascade"):
            raise ValueError(f"scored_by: got {self.scored_by!r}, must be 'head' or 'cascade'")
        if not 0 <= self.map_gradient <= 1:
            raise ValueError(f"map_gradient: got {self.map_gradient}, allowed 0..1")
        if self.losses is not None and self.losses.coder != self.coder:
            raise ValueError(f"losses: got coder {self.losses.coder}, must be the stage's, {self.coder}")


@dataclass(frozen=True, kw_only=True)
class MaskSpec:
    """A branch on the final boxes: how it predicts and learns their masks."""

    head: MaskHeadSpec
    loss: "MaskLoss | None" = None
    pasting: "Pasting" = "detectron"  # how they are drawn into the image


@dataclass(frozen=True, kw_only=True)
class DetectorSpec:
    """A whole detector as data.

    Raises ValueError without labels or stages, and for a stage scored by a cascade whose heads cannot share crops.
    """

    name: str
    height: int  # of the canvas on which it is measured, px
    width: int
    fit: "ResizePolicy"
    pixels: Pixels
    backbone: BackboneSpec
    neck: NeckSpec | None = None
    anchors: AnchorsSpec
    stages: tuple[StageSpec, ...]
    masks: MaskSpec | None = None
    labels: tuple[str | None, ...]  # None: an unused slot of a 90-way head
    assumption: str | None = None  # what was assumed where the source does not say

    def __post_init__(self) -> None:
        if not self.labels:
            raise ValueError("labels: got none, a detector needs at least one class")
        if not self.stages:
            raise ValueError("stages: got none, a detector needs at least one")
        for index, stage in enumerate(self.stages):
            if stage.scored_by == "cascade":
                _check_cascade([part.head for part in self.stages[1 : index + 1]])

    @property
    def classes(self) -> int:
        return len(self.labels)

    @property
    def proposals(self) -> int | None:
        """How many references the last stage has, as the stages before it limit them; None for a single stage."""
        limits = (stage.select.keep for stage in reversed(self.stages[:-1]))
        return next((keep for keep in limits if keep is not None), None)


def _check_cascade(heads: list[Any]) -> None:
    if not heads or any(head != heads[0] or not head.crops_first for head in heads):
        raise ValueError("scored_by: 'cascade' needs equal heads in all region stages up to this one, that crop first")


# Rows, weights and checkpoints contain the JSON of a spec, and `artefact` is a hash of it. Therefore renamed classes
# and fields keep their first names there, and a field that was added later is written only if it is not its default.
STORED_TYPES = {
    "paretodet.transforms.resize_policy.Letterbox": "paretodet.data.fit.Letterbox",
    "paretodet.transforms.resize_policy.ShortSide": "paretodet.data.fit.ShortSide",
    "paretodet.transforms.resize_policy.ShortSideCrop": "paretodet.data.fit.ShortSideCrop",
    "paretodet.transforms.resize_policy.Stretch": "paretodet.data.fit.Stretch",
    "paretodet.layers.activations.NoActivation": "paretodet.layers.activations.Linear",
    "paretodet.rules.coders.WorstCaseCoder": "paretodet.rules.coders.SpreadCoder",
    "paretodet.rules.select.PostProcess": "paretodet.rules.select.Select",
}
STORED_FIELDS = {"boundary_anchors": "crossing", "max_boxes": "most", "normalizer": "normaliser"}
ADDED_FIELDS = frozenset(
    (
        "scored_by", "map_gradient", "class_agnostic", "bounded", "ShortSide.sampling", "ShortSideCrop.sampling",
        "PyramidAlign.aligned", "ConnectedHead.background_box", "MaskHead.background",
        "MaskLoss.weight", "MaskLoss.edges", "MaskSpec.pasting",
    )
)  # fmt: skip # of any class, or of one
TYPES = {stored: path for path, stored in STORED_TYPES.items()}
FIELDS = {stored: name for name, stored in STORED_FIELDS.items()}


def stored_type(kind: type) -> str:
    """The dotted name of a class in a stored spec."""
    path = f"{kind.__module__}.{kind.__qualname__}"
    return STORED_TYPES.get(path, path)


def to_data(value: Any) -> Any:
    """A spec as data for JSON; a dataclass becomes an object that names its type."""
    if is_dataclass(value) and not isinstance(value, type):
        added = {f.name for f in fields(value) if ADDED_FIELDS & {f.name, f"{type(value).__name__}.{f.name}"}}
        written = (f for f in fields(value) if f.name not in added or getattr(value, f.name) != f.default)
        parts = {STORED_FIELDS.get(f.name, f.name): to_data(getattr(value, f.name)) for f in written}
        return {"type": stored_type(type(value))} | parts
    return [to_data(item) for item in value] if isinstance(value, tuple) else value


def from_data(data: Any) -> Any:
    """The spec that `to_data` turned into data. Raises ValueError for a type that is no dataclass of this package."""
    if isinstance(data, list):
        return tuple(from_data(item) for item in data)
    if not isinstance(data, dict):
        return data
    stored: str = data["type"]
    kind = _dataclass(TYPES.get(stored, stored))
    names = {field.name for field in fields(kind)}
    parts = {_field(str(key), names): from_data(item) for key, item in data.items() if key != "type"}
    return kind(**parts)


def _field(stored: str, names: set[str]) -> str:
    """The field of a class, which has these fields, that a stored spec calls `stored`."""
    renamed = FIELDS.get(stored, stored)
    return renamed if renamed in names else stored


def to_json(spec: DetectorSpec) -> str:
    """Canonical JSON: sorted keys, no spaces; infinities written as Python's json does."""
    return json.dumps(to_data(spec), sort_keys=True, separators=(",", ":"))


def from_json(text: str) -> DetectorSpec:
    """The spec that `to_json` wrote."""
    return from_data(json.loads(text))


def _dataclass(path: str) -> type:
    module, _, name = path.rpartition(".")
    kind = getattr(importlib.import_module(module), name, None) if module.startswith("paretodet.") else None
    if not (isinstance(kind, type) and is_dataclass(kind)):
        raise InputError(f"type: {path!r} is not a part of this package", "json-schema")
    return kind
