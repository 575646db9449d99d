"""Programs of ExecuTorch in int8, quantized by PT2E as XNNPACK computes: torchao observes, and XNNPACK's partitioner
takes what it finds between quantized values."""

import copy
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch.fx import GraphModule, Node

from paretodet.errors import InputError
from paretodet.export.calibration import CountedFeeds, Feed, Feeds
from paretodet.export.executorch import write_pte
from paretodet.export.float_part import GraphNode, after_layers
from paretodet.export.graph import PT2_PARTS, PT2_WHOLE, PTE
from paretodet.export.programs_int8 import ProgramQuantizer
from paretodet.export.quantizer import Quantized, Run
from paretodet.export.steps import BuildSteps
from paretodet.export.unselected import Layout

ATEN = torch.ops.aten
LAYERS = {ATEN.conv2d.default, ATEN.conv2d.padding, ATEN.linear.default}
FUSED = {  # activations that become part of the layer before
    ATEN.relu.default, ATEN.relu_.default, ATEN.relu6.default, ATEN.relu6_.default,
    ATEN.hardtanh.default, ATEN.hardtanh_.default,
}  # fmt: skip
OPERATORS = FUSED | {ATEN.add.Tensor, ATEN.add_.Tensor, ATEN.adaptive_avg_pool2d.default}  # others that may be in int8
STEP = 2**-12  # of a range, at least
BOUND = 0.25  # of the largest output: integers are rounded otherwise than what stands for them


class ExecuTorchInt8(ProgramQuantizer):
    """The last layers of the heads stay in float: in int8, their results would have 8 bits."""

    name: ClassVar[str] = "executorch"
    libraries: ClassVar[tuple[str, ...]] = ("executorch", "torchao")
    artifact: ClassVar[str] = PTE
    parts: ClassVar[str] = PT2_PARTS
    whole: ClassVar[str] = PT2_WHOLE
    suffix: ClassVar[str] = ".pt2"
    layout: ClassVar[Layout] = "NCHW"

    def calibrate(self, graph: Path, feeds: Feeds, steps: BuildSteps) -> "QuantizedProgram":
        return QuantizedProgram(torch.export.load(graph), CountedFeeds(feeds, steps))


class QuantizedProgram(Quantized):
    """Ranges of activations are asymmetric, the mean over batches; weights have a range a channel.

    Its runs compute in float32 what int8 stands for, in PyTorch: XNNPACK needs minutes to take over a program.
    """

    def __init__(self, exported: torch.export.ExportedProgram, feeds: Feeds) -> None:
        from torchao.quantization.pt2e.quantize_pt2e import prepare_pt2e

        assert exported.example_inputs is not None
        (self.example,), self.exported = exported.example_inputs[0], exported
        self.prepared = prepare_pt2e(_module(exported), quantizer())
        layers = [node for node in self.prepared.graph.nodes if node.target in LAYERS]
        self.layers, self.total = tuple(node.name for node in layers if _is_module(node.args[1])), len(layers)
        run, self.first = _run(self.prepared), next(iter(feeds))
        observers: list[Any] = [each for each in self.prepared.modules() if hasattr(each, "averaging_constant")]
        for count, feed in enumerate(feeds, 1):
            for observer in observers:
                observer.averaging_constant = 1 / count
            run(feed)

    def program(self, in_float: Collection[str]) -> Run:
        return _run(self._converted(in_float))

    def original(self) -> Run:
        return _run(_module(self.exported))

    def save(self, path: Path, in_float: Collection[str]) -> None:
        """Raises ValueError if XNNPACK computes something else of the first feed."""
        module = self._converted(in_float)
        with torch.no_grad():
            write_pte(torch.export.export(module, (self.example,), strict=True), path)
        for found, wanted in zip(_executed(path, self.first), _run(module)(self.first), strict=True):
            if not (error := np.abs(found - wanted).max() / np.abs(wanted).max()) <= BOUND:
                message = f"XNNPACK computes something else: it differs by {error:.2g} of the largest output"
                raise InputError(message, "parity-failed")

    def _converted(self, in_float: Collection[str]) -> GraphModule:
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

        module = copy.deepcopy(self.prepared)
        for node in [node for node in module.graph.nodes if node.name in in_float]:
            for observer in _observed(node):
                node.replace_input_with(observer, observer.all_input_nodes[0])
                if not observer.users:
                    module.graph.erase_node(observer)
        module.recompile()
        return convert_pt2e(module)


def _module(exported: torch.export.ExportedProgram) -> GraphModule:
    module = exported.module()
    assert isinstance(module, GraphModule)
    return module


def _run(module: Callable[..., Any]) -> Run:
    def run(feed: Feed) -> Sequence[np.ndarray]:
        with torch.no_grad():
            return [each.numpy() for each in module(*map(torch.from_numpy, feed.values()))]

    return run


def _executed(path: Path, feed: Feed) -> Sequence[np.ndarray]:
    """What a lowered program computes."""
    from executorch.runtime import Runtime

    method = Runtime.get().load_program(path).load_method("forward")
    return [each.numpy() for each in method.execute([torch.from_numpy(each) for each in feed.values()])]


def _observed(layer: Node) -> list[Node]:
    """The observers of what a layer reads: of its weights too if it is in int8."""
    return [node for node in layer.all_input_nodes if _is_module(node)]


def _is_module(node: Any) -> bool:
    """Observers are the only modules of a program."""
    return isinstance(node, Node) and node.op == "call_module"


def kept(graph: torch.fx.Graph) -> set[str]:
    """The names of the nodes that stay in float."""
    nodes = {
        node.name: GraphNode(
            operator=str(node.target),
            inputs=tuple(each.name for each in node.all_input_nodes),
            is_layer=node.target in LAYERS,
        )
        for node in graph.nodes
    }
    return after_layers(nodes)


def quantizer() -> Any:
    """XNNPACK's, which leaves what is `kept` in float, and annotates layers whose weights another one has too."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import XNNPACKQuantizer
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

    class Annotated(XNNPACKQuantizer):  # type: ignore[misc]
        def annotate(self, model: GraphModule) -> GraphModule:
            in_float = kept(model.graph)
            for node in model.graph.nodes:
                if node.target in LAYERS and node.name not in in_float:
                    _annotate(node, self.global_config)
            super().annotate(model)
            for node in model.graph.nodes:
                if node.name in in_float:
                    node.meta.pop(Q_ANNOTATION_KEY, None)
            return model

    return Annotated().set_global(_config()).set_filter_function(_may_be_int8)


def _config() -> Any:
    """XNNPACK's, with another range of activations: histograms take minutes."""
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import get_symmetric_quantization_config
    from torchao.quantization.pt2e import MovingAverageMinMaxObserver
    from torchao.quantization.pt2e.quantizer import QuantizationConfig

    config = get_symmetric_quantization_config(is_per_channel=True)
    observer = MovingAverageMinMaxObserver.with_args(eps=STEP)
    activation = replace(config.input_activation, observer_or_fake_quant_ctr=observer)
    return QuantizationConfig(activation, activation, config.weight, None, False)


def _annotate(layer: Node, config: Any) -> None:
    """A layer, with the activation that is fused into it."""
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY, QuantizationAnnotation

    read = {layer.args[0]: config.input_activation, layer.args[1]: config.weight}
    users = tuple(layer.users)
    last = users[0] if len(users) == 1 and users[0].target in FUSED else layer
    layer.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=read, _annotated=True)
    if last is not layer:
        last.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
    last.meta[Q_ANNOTATION_KEY].output_qspec = config.output_activation


def _may_be_int8(node: Node) -> bool:
    """Whether XNNPACK's annotation may take a node; arithmetic with constants stays in float."""
    if node.op != "call_function":
        return True
    return node.target in OPERATORS and all(each.op == "call_function" for each in node.all_input_nodes)
