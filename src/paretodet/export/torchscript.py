"""The network of a one-stage detector as TorchScript, for converters that read nothing newer."""

import math
import warnings
from pathlib import Path

import torch
from torch.fx import GraphModule

from paretodet.detectors.detector import Detector
from paretodet.export.trunk import trunk_program
from paretodet.writing import written

LOWEST = torch.finfo(torch.float32).min


def trunk_to_torchscript(detector: Detector, path: Path, *, batch: int = 1) -> None:
    """Writes the trunk (`export.trunk`) of fixed shapes. What follows from them alone, as paddings, is constant."""
    program = trunk_program(detector, batch)
    module = program.module()
    assert isinstance(module, GraphModule) and program.example_inputs is not None
    _simplify(module)
    with torch.no_grad(), warnings.catch_warnings(), written(path) as temporary:
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        traced = torch.jit.trace(module, program.example_inputs[0], check_trace=False)  # type: ignore[no-untyped-call]
        traced.save(str(temporary))


def _simplify(module: GraphModule) -> None:
    """Removes what converters do not know: marks of tensors that share memory, and infinity as a padding."""
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.alias.default):
        node.replace_all_uses_with(node.args[0])
        module.graph.erase_node(node)
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.pad.default):
        node.args = tuple(LOWEST if each == -math.inf else each for each in node.args)
    module.recompile()
