"""Detectors as LiteRT files (`.tflite`), for phones."""

from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx import GraphModule, Node

from paretodet.detectors.detector import Detector
from paretodet.export.parts import INPUT, output_names, part_inputs, part_program, parts
from paretodet.export.program import noise
from paretodet.export.unselected import OUTPUTS, PIXELS, unselected_program
from paretodet.writing import written


def parts_to_litert(detector: Detector, folder: Path, *, batch: int = 1) -> None:
    """Writes each part of a detector (`export.parts`) as `NAME.tflite`, for its spec's canvas."""
    inputs = part_inputs(detector, noise(batch, (detector.spec.height, detector.spec.width)))
    for name, part in parts(detector).items():
        program = part_program(part, inputs[name])
        outputs = output_names(name, len(program.graph_signature.user_outputs))
        write_tflite(program, INPUT, outputs, folder / f"{name}.tflite")


def unselected_to_litert(detector: Detector, path: Path, *, batch: int = 1) -> None:
    """Writes a one-stage detector up to its suppression (`export.unselected`), its tensors named PIXELS and OUTPUTS."""
    write_tflite(unselected_program(detector, batch), PIXELS, OUTPUTS, path)


def write_tflite(program: torch.export.ExportedProgram, name: str, outputs: Sequence[str], path: Path) -> None:
    """Converts a program whose only input is called `name`."""
    import litert_torch

    module = program.module()
    assert isinstance(module, GraphModule) and program.example_inputs is not None
    resize_by_index(module)
    (values,) = program.example_inputs[0]
    with torch.no_grad(), written(path) as temporary:
        made = litert_torch.convert(_Named(module, name, outputs), sample_kwargs={name: values})
        made.export(str(temporary))


class _Named(nn.Module):
    """A module whose only input and whose outputs have names."""

    def __init__(self, module: GraphModule, name: str, outputs: Sequence[str]) -> None:
        super().__init__()
        self.module, self.name, self.outputs = module, name, tuple(outputs)
        self.training = False

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.outputs, self.module(inputs[self.name]), strict=True))


def resize_by_index(module: GraphModule) -> None:
    """Replaces nearest neighbors that are no whole number of times larger by a selection of rows and columns.

    LiteRT's operator rounds to the nearest center where torch rounds down.
    """
    for node in list(module.graph.find_nodes(op="call_function", target=torch.ops.aten.upsample_nearest2d.vec)):
        source, target = node.args[0].meta["val"].shape[-2:], node.meta["val"].shape[-2:]
        if any(after % before for before, after in zip(source, target, strict=True)):
            node.replace_all_uses_with(_selected(module, node, source, target))
            module.graph.erase_node(node)
    module.recompile()


def _selected(module: GraphModule, node: Node, source: Sequence[int], target: Sequence[int]) -> Node:
    """Rows, then columns, of the input of a nearest-neighbor node."""
    (found, *_) = node.args
    for dim, before, after in zip((2, 3), source, target, strict=True):
        name = f"{node.name}_index_{dim}"
        module.register_buffer(name, nearest(before, after))
        with module.graph.inserting_before(node):
            found = module.graph.call_function(
                torch.ops.aten.index_select.default, (found, dim, module.graph.get_attr(name))
            )
    assert isinstance(found, Node)
    return found


def nearest(before: int, after: int) -> Tensor:
    """The place [after] that torch reads for each place of an axis of `before`."""
    places = torch.arange(before, dtype=torch.float32)[None, None, None]
    return F.interpolate(places, size=(1, after), mode="nearest")[0, 0, 0].long()
