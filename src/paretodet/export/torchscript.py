"""Detectors as TorchScript, for converters that read nothing newer."""

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from paretodet.detectors.detector import Detector
from paretodet.export.parts import part_inputs, part_program, parts
from paretodet.export.program import noise
from paretodet.export.unselected import Unselected
from paretodet.writing import written

SHAPES, WHOLE = "shapes.json", "detector"
LOWEST = torch.finfo(torch.float32).min


def parts_to_torchscript(detector: Detector, folder: Path) -> None:
    """Writes each part of a detector (`export.parts`) for one image or crop as `NAME.pt`, and its shapes in SHAPES: by
    name, that of its input, then those of its outputs.

    What follows from the shapes alone, as paddings, is constant.
    """
    given = part_inputs(detector, noise(1, (detector.spec.height, detector.spec.width)))
    inputs = {name: values[:1] for name, values in given.items()}
    _write_all(parts(detector), inputs, folder)


def unselected_to_torchscript(detector: Detector, folder: Path) -> None:
    """Writes a one-stage detector up to its suppression (`export.unselected`) for one image in the same way; its input
    has floats of 0 to 255.
    """
    pixels = torch.zeros(1, 3, detector.spec.height, detector.spec.width)
    _write_all({WHOLE: Unselected(detector, "NCHW")}, {WHOLE: pixels}, folder)


def _write_all(modules: Mapping[str, nn.Module], inputs: Mapping[str, Tensor], folder: Path) -> None:
    shapes = {}
    for name, module in modules.items():
        _write(module, inputs[name], folder / f"{name}.pt")
        with torch.no_grad():
            shapes[name] = [list(each.shape) for each in (inputs[name], *module(inputs[name]))]
    (folder / SHAPES).write_text(json.dumps(shapes), encoding="utf-8")


def _write(part: nn.Module, values: Tensor, path: Path) -> None:
    program = part_program(part, values)
    module = program.module()
    assert isinstance(module, GraphModule) and program.example_inputs is not None
    _simplify(module)
    with torch.no_grad(), warnings.catch_warnings(), written(path) as temporary:
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        traced = torch.jit.trace(module, program.example_inputs[0], check_trace=False)  # type: ignore[no-untyped-call]
        traced.save(str(temporary))


def _simplify(module: GraphModule) -> None:
    """Removes what converters do not know: marks of tensors that share memory, infinity as a padding, and slices with
    a step, which are max pooling of single values."""
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.alias.default):
        node.replace_all_uses_with(node.args[0])
        module.graph.erase_node(node)
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.pad.default):
        node.args = tuple(LOWEST if each == -math.inf else each for each in node.args)
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.slice.Tensor):
        values, dimension, *_, step = node.args
        if len(node.args) == 5 and step != 1 and dimension in (2, 3):
            stride = [step, 1] if dimension == 2 else [1, step]
            node.target, node.args = torch.ops.aten.max_pool2d.default, (values, [1, 1], stride)
    module.recompile()
