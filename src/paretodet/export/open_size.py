"""Artifacts that take several sizes of canvas: which detectors can have one, and what stands before their graph.

The exporter sees the sides of a canvas as a number of rows and columns of blocks times the side of a block, because a
network halves them several times: only so does it know that the halves are whole.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export.program import TensorModule
from paretodet.rules.anchors import CellPriors, PyramidAnchors, UnroundedAnchors
from paretodet.schema import Limits

MOST = 2**14  # px of a side
FEWEST = {  # blocks a side: no map may have a single row or column, which the exporter takes for a fixed number
    CellPriors: 2,
    PyramidAnchors: 5,  # the coarsest level has a quarter of the rows, rounded up
    UnroundedAnchors: 5,
}

Side = Annotated[int, Limits(ge=1, le=MOST)]


@dataclass(frozen=True, kw_only=True)
class SizeRange:
    """The canvases that an artifact takes: both sides are multiples of `multiple` px from `least` to `most` px."""

    multiple: Side
    least: Side
    most: Side

    def __contains__(self, size: tuple[int, int]) -> bool:
        """A size is (height, width)."""
        return all(side % self.multiple == 0 and self.least <= side <= self.most for side in size)

    def __str__(self) -> str:
        return f"sides of {self.least} to {self.most} px in steps of {self.multiple}"

    def another(self, size: tuple[int, int]) -> tuple[int, int]:
        """A size that differs, about half of it and wider for its height."""
        height, width = (max(side // 2 // self.multiple * self.multiple, self.least) for side in size)
        found = height, width + self.multiple
        return found if found != size else (height, width + 2 * self.multiple)


def size_range(detector: Detector) -> SizeRange:
    """The canvases that an artifact of this detector can take. Raises InputError if they are one alone, or if the
    detector's own is none of them.
    """
    spec, anchors = detector.spec, type(detector.spec.anchors)
    fixed = None
    if len(spec.stages) > 1:
        fixed = f"{spec.name} has {len(spec.stages)} stages, whose crops are of one canvas"
    elif anchors not in FEWEST:
        fixed = f"the anchors of {spec.name} ({anchors.__name__}) follow from the sides of one canvas"
    if fixed:
        raise InputError(f"size: {fixed}; give --size HxW, and export one bundle for each size", "option-value")
    multiple = max(detector.backbone.info.strides)
    found = SizeRange(
        multiple=multiple,
        least=FEWEST[anchors] * multiple,
        most=MOST // multiple * multiple,
    )
    if (spec.height, spec.width) not in found:
        own = f"the canvas of {spec.name} is {spec.height}x{spec.width}"
        message = f"size: {own}, and an artifact of any size takes {found}; name a detector of such a size"
        raise InputError(message, "option-value")
    return found


class BlockModule(TensorModule):
    """As `TensorModule`, of pixels in blocks, [B, 3, rows, U, columns, U]."""

    def forward(self, pixels: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        batch, channels, rows, unit, columns, _ = pixels.shape
        return super().forward(pixels.reshape(batch, channels, rows * unit, columns * unit), sizes)


def in_blocks(pixels: Tensor, unit: int) -> Tensor:
    """[B, 3, H, W] -> [B, 3, H / unit, unit, W / unit, unit]"""
    batch, channels, height, width = pixels.shape
    return pixels.reshape(batch, channels, height // unit, unit, width // unit, unit)


def take_pixels(graph: Any, unit: int) -> None:
    """Puts `pixels` [batch, 3, height, width] in the place of an ONNX graph's first input, which is in blocks."""
    import onnx_ir

    blocks = graph.inputs[0]
    batch, channels = blocks.shape[:2]
    shape = onnx_ir.Shape([batch, channels, "height", "width"])
    pixels = onnx_ir.Value(name=blocks.name, shape=shape, type=onnx_ir.TensorType(blocks.dtype))
    tape = onnx_ir.tape.Tape()

    def whole(*numbers: int) -> Any:
        return tape.op("Constant", [], {"value_ints": numbers})

    counts = tape.op("Div", [tape.op("Shape", [pixels], {"start": 2}), whole(unit)])
    rows, columns = (tape.op("Gather", [counts, whole(index)]) for index in (0, 1))
    sides = tape.op("Concat", [whole(0, channels), rows, whole(unit), columns, whole(unit)], {"axis": 0})
    found = tape.op("Reshape", [pixels, sides])
    onnx_ir.convenience.replace_all_uses_with(blocks, found)
    graph.inputs[0] = pixels
    graph.insert_before(graph[0], tape.nodes)
