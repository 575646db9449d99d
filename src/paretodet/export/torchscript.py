"""The network of a one-stage detector as TorchScript, for converters that read nothing newer."""

import warnings
from pathlib import Path

import torch
from torch.fx import GraphModule

from paretodet.detectors.detector import Detector
from paretodet.export.trunk import trunk_program
from paretodet.writing import written


def trunk_to_torchscript(detector: Detector, path: Path, *, batch: int = 1) -> None:
    """Writes the trunk (`export.trunk`) of fixed shapes. What follows from them alone, as paddings, is constant."""
    program = trunk_program(detector, batch)
    module = program.module()
    assert isinstance(module, GraphModule) and program.example_inputs is not None
    _remove_aliases(module)
    with torch.no_grad(), warnings.catch_warnings(), written(path) as temporary:
        warnings.simplefilter("ignore")  # TorchScript is deprecated
        traced = torch.jit.trace(module, program.example_inputs[0], check_trace=False)  # type: ignore[no-untyped-call]
        traced.save(str(temporary))


def _remove_aliases(module: GraphModule) -> None:
    """Export marks tensors that share memory by an operator that converters do not know."""
    for node in module.graph.find_nodes(op="call_function", target=torch.ops.aten.alias.default):
        node.replace_all_uses_with(node.args[0])
        module.graph.erase_node(node)
    module.recompile()
