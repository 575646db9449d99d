"""What is known of a detector file before its outputs are given a meaning, and helpers that conventions share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from paretodet.errors import ErrorId, InputError
from paretodet.layouts.layout import UNIT_RANGE, Normalization
from paretodet.readings.onnx_graph import OnnxGraph, suppresses
from paretodet.readings.preparation import Preparation, preparation

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
MAP_STRIDES = (4, 8, 16, 32, 64, 128)
DESCRIBED = 200  # characters
CAPACITY = 300  # where a file leaves the number of detections open
MOST = 1000  # rows of finished detections
MODULE = "give module:make (docs/how-to/own-model.md)"
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
    fitted: bool = False  # whether the user says how images are fitted
    sized: bool = False  # whether it reads how much of its canvas an image fills

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

    def cells(self, rows: int, name: str, per_cell: Sequence[int] = (1, 3)) -> "Pyramid | None":
        """The pyramid on this canvas with so many rows in all; None if no usual one has. `name` is their output.

        Finished detections may be as many by accident, most easily as the cells of one stride: these count only if the
        graph makes the output from maps.
        """
        alone = self.graph.from_maps(name)
        for count in per_cell:
            for strides in (each for each in STRIDES if alone or len(each) > 1):
                cells = sum(-(-self.height // stride) * -(-self.width // stride) for stride in strides)
                if cells * count == rows:
                    return Pyramid(strides, count)
        return None

    def stride(self, cells: Sequence[int]) -> int:
        """The stride of a map of so many rows and columns; 0 if it has none of MAP_STRIDES."""
        sides = (self.height, self.width)
        return next((each for each in MAP_STRIDES if [-(-side // each) for side in sides] == list(cells)), 0)

    def finished(self, rows: int, name: str) -> tuple[bool, ...]:
        """Whether so many rows with a score and a label are finished detections, or those of all cells: True, False,
        or both where the number leaves it open.
        """
        if self.suppresses():
            return (True,)
        if rows > MOST:
            return (False,)
        return (True, False) if self.cells(rows, name) else (True,)

    def refusal(self, why: str, id: ErrorId) -> InputError:
        """The error that names the file and the ways out."""
        way = f"and writes a file to edit for --layout; or {MODULE}"
        return InputError(f"{_seen(self.path, why)} {way}", id)

    def suppresses(self) -> bool:
        """Whether the graph suppresses boxes."""
        return any(map(suppresses, self.graph.operators))

    @property
    def has_coco_ids(self) -> bool:
        """Whether its head has a place for each of COCO's ids: by raw scores among the outputs, or by its layers."""
        raw = any(len(shape) == 3 and shape[2] in COCO_IDS for shape in self.shapes.values())
        return raw or self.layers_have_coco_ids

    @property
    def layers_have_coco_ids(self) -> bool:
        return any(self.graph.sizes >= set(pair) for pair in COCO_LAYERS)

    @property
    def preparation(self) -> Preparation:
        """What the graph does to the pixels before its first layer."""
        return preparation(self.graph, self.image)

    def inner_pixels(self, assumed: Normalization = UNIT_RANGE) -> Normalization | None:
        """The pixels that the graph's own normalization expects; None if it has none, or one that does not tell.

        Where its means do not tell the order of the channels, its first layer reads that of `assumed`.
        """
        return self.preparation.pixels(assumed)

    def is_count(self, name: str, rows: str) -> bool:
        """Whether an output is for every image a whole number, of at most as many as another has rows."""
        shape, counts = self.shapes[rows], self.outputs[name].float()
        if len(shape) < 2 or counts.ndim > 2 or counts.numel() != (shape[0] if len(shape) == 3 else 1):
            return False
        return bool((counts == counts.round()).all()) and 0 <= float(counts.min()) <= float(counts.max()) <= shape[-2]


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
