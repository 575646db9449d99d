"""What is known of a detector file before its outputs are given a meaning, and helpers that conventions share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from paretodet.errors import ErrorId, InputError
from paretodet.layouts.layout import BYTES, UNIT_RANGE, Normalization
from paretodet.readings.onnx_graph import OnnxGraph

STRIDES = (  # of the pyramids of one-stage detectors, most frequent first
    (8, 16, 32),
    (8, 16, 32, 64),
    (16, 32),
    (4, 8, 16, 32),
    (8, 16, 32, 64, 128),
    (8, 16),
    (16,),
    (8,),
    (32,),
)
DESCRIBED = 200  # characters
CAPACITY = 300  # where a file leaves the number of detections open
MODULE = "give module:make (docs/how-to/own-model.md)"
NEAR = 0.02  # between a constant in a graph and a published one, as a fraction
COCO_IDS = (90, 91)  # columns of heads for COCO's ids, which have gaps: without a number 0, and with it
COCO_LAYERS = (  # numbers that the layers of such heads write, of classes and of boxes, for their anchors a cell
    (91, 4), (273, 12), (364, 16), (546, 24), (819, 36), (810, 36), (91, 360), (91, 364),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a file states, how its graph is made, and what it returned for a photograph.

    `outputs` are those of one run by name, none if its inputs are not known, and `declared` their shapes as stated, in
    which an open size is no integer; `image` is the name of the image input, `others` of the others.
    """

    path: Path
    graph: OnnxGraph
    height: int
    width: int
    outputs: Mapping[str, Tensor]
    image: str
    declared: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    bytes_in: bool = False  # whether the image is uint8

    @property
    def metadata(self) -> Mapping[str, str]:
        return self.graph.metadata

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: tuple(output.shape) for name, output in self.outputs.items()}

    @property
    def described(self) -> str:
        """The outputs and their shapes, as far as a message can hold them."""
        shapes: Mapping[str, Sequence[Any]] = self.shapes or self.declared
        text = ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
        return text if len(text) <= DESCRIBED else f"{text[:DESCRIBED]}… ({len(shapes)} outputs)"

    def capacity(self, name: str) -> int:
        """How many detections an output holds: as stated, or CAPACITY where that is open."""
        shape = tuple(self.declared.get(name, ()))
        count = shape[-2] if len(shape) > 1 else None
        return count if isinstance(count, int) and count > 0 else CAPACITY

    def rank(self, *ranks: int) -> list[str]:
        """The outputs with so many dimensions."""
        return [name for name, shape in self.shapes.items() if len(shape) in ranks]

    def cells(self, rows: int, per_cell: Sequence[int] = (1, 3)) -> "Pyramid | None":
        """The pyramid on this canvas with so many rows in all; None if no usual one has."""
        for count in per_cell:
            for strides in STRIDES:
                cells = sum(-(-self.height // stride) * -(-self.width // stride) for stride in strides)
                if cells * count == rows:
                    return Pyramid(strides, count)
        return None

    def refusal(self, why: str, id: ErrorId) -> InputError:
        """The error that names the file and the ways out."""
        way = f"and writes a file to edit for --layout; or {MODULE}"
        return InputError(f"{_seen(self.path, why)} {way}", id)

    def suppresses(self) -> bool:
        """Whether the graph suppresses boxes."""
        return any("NMS" in name or "NonMaxSuppression" in name for name in self.graph.operators)

    @property
    def has_coco_ids(self) -> bool:
        """Whether its head has a place for each of COCO's ids: by raw scores among the outputs, or by its layers."""
        raw = any(len(shape) == 3 and shape[2] in COCO_IDS for shape in self.shapes.values())
        return raw or any(self.graph.sizes >= set(pair) for pair in COCO_LAYERS)

    def inner_pixels(self) -> Normalization | None:
        """The scaling of pixels that the graph's own normalization expects; None if it has none."""
        constants = self.graph.constants
        for node in self.graph.head(self.image):
            values = [constants[name] for name in node.inputs if name in constants]
            if node.operator == "Div" and any(_near(each, (255.0,)) for each in values):
                return BYTES
            if node.operator in ("Sub", "Add") and any(_near(each, (0.485, 0.456, 0.406)) for each in values):
                return UNIT_RANGE
            if node.operator in ("Sub", "Add") and any(_near(each, (123.675, 116.28, 103.53)) for each in values):
                return BYTES
        return None


@dataclass(frozen=True)
class Pyramid:
    """Strides, and how many rows a cell has."""

    strides: tuple[int, ...]
    per_cell: int


def input_refusal(path: Path, why: str, id: ErrorId) -> InputError:
    """The error for inputs that are not known, which no layout file states."""
    return InputError(f"{_seen(path, why)}; {MODULE}", id)


def _seen(path: Path, why: str) -> str:
    return f"{path}: {why}. `paretodet inspect {path}` shows what is known"


def _near(found: Sequence[float], wanted: Sequence[float]) -> bool:
    return len(found) == len(wanted) and all(abs(abs(a) - b) <= NEAR * b for a, b in zip(found, wanted, strict=True))
