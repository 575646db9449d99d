"""LiteRT files as artifacts, for phones: everything up to the scores of all boxes, which the program selects from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np

from paretodet.export.graph import TFLITE
from paretodet.export.layers import Activation, Layer, Shown, no_activation
from paretodet.export.litert_int8 import LiteRtInt8
from paretodet.export.program_target import ProgramTarget
from paretodet.export.programs_int8 import ProgramQuantizer
from paretodet.export.target import check_references
from paretodet.export.tflite_references import references
from paretodet.export.unselected import PIXELS

LAYERS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
FUSED: Mapping[str, Activation] = {
    "NONE": no_activation,
    "RELU": partial(np.clip, a_min=0, a_max=None),
    "RELU_N1_TO_1": partial(np.clip, a_min=-1, a_max=1),
    "RELU6": partial(np.clip, a_min=0, a_max=6),
}


class LiteRtTarget(ProgramTarget):
    """One file, batch norms folded, of a one-stage detector without its suppression, which LiteRT lacks.

    Its input is `pixels` [B, H, W, 3], its outputs are `boxes` [B, N, 4] and `scores` [B, N, K].
    """

    name: ClassVar[str] = "litert"
    title: ClassVar[str] = "LiteRT"
    file: ClassVar[str] = TFLITE
    runtime: ClassVar[str] = "litert"
    libraries: ClassVar[tuple[str, ...]] = ("ai_edge_litert", "litert_torch")
    extras: ClassVar[str] = "litert"
    quantizer: ClassVar[ProgramQuantizer] = LiteRtInt8()
    shows_layers: ClassVar[bool] = True

    def inspect(self, folder: Path, files: Sequence[str], artifact: str) -> None:
        check_references(folder, artifact, files=files, references=references)

    def layers(
        self,
        path: Path,
        layers: Sequence[Layer],
        *,
        calls: Sequence[Layer],
        open_program: Callable[[Path], Any],
        feed: dict[str, np.ndarray],
    ) -> Iterator[Shown]:
        """Files have no names of modules: layers are known by their order, if there are as many."""
        from ai_edge_litert.tools import flatbuffer_utils

        model = flatbuffer_utils.read_model(path)
        found = _layers(model)
        if len(found) != len(calls):
            return
        shown = [(layer, operator) for layer, operator in zip(calls, found, strict=True) if layer in set(layers)]
        names = _with_outputs(model, [operator for _, operator in shown])
        with TemporaryDirectory() as folder:
            probe = Path(folder) / path.name
            flatbuffer_utils.write_model(model, probe)
            outputs = open_program(probe).program({PIXELS: np.ascontiguousarray(feed[PIXELS].transpose(0, 2, 3, 1))})
            for name, (layer, operator) in zip(names, shown, strict=True):
                tensor = model.subgraphs[0].tensors[operator.outputs[0]]
                yield Shown(layer, _planes(_real(outputs[name], tensor.quantization)), _fused(operator))


def _layers(model: Any) -> list[Any]:
    """The operators of a file that are layers, in the order in which they are computed."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    kinds = {getattr(BuiltinOperator, name) for name in LAYERS}
    (graph,), codes = model.subgraphs, model.operatorCodes
    return [each for each in graph.operators if codes[each.opcodeIndex].builtinCode in kinds]


def _with_outputs(model: Any, operators: Sequence[Any]) -> list[str]:
    """Makes outputs of the file of what some operators compute, and returns their names."""
    from ai_edge_litert.schema_py_generated import TensorMapT

    (graph,), (signature,) = model.subgraphs, model.signatureDefs
    names = [f"layer {index}" for index in range(len(operators))]
    for name, operator in zip(names, operators, strict=True):
        (place,) = operator.outputs
        graph.outputs = [*graph.outputs, place]
        signature.outputs = [*signature.outputs, TensorMapT(name=name, tensorIndex=place)]
    return names


def _real(values: np.ndarray, quantization: Any) -> np.ndarray:
    """What integers stand for."""
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return values
    (scale,), (zero,) = quantization.scale, quantization.zeroPoint
    return np.asarray((values.astype(np.float32) - zero) * scale, np.float32)


def _planes(values: np.ndarray) -> np.ndarray:
    """[B, H, W, C] -> [B, C, H, W]."""
    return values.transpose(0, 3, 1, 2) if values.ndim == 4 else values


def _fused(operator: Any) -> Activation:
    """The activation of a layer."""
    from ai_edge_litert.schema_py_generated import ActivationFunctionType

    activations = {getattr(ActivationFunctionType, name): function for name, function in FUSED.items()}
    return activations[operator.builtinOptions.fusedActivationFunction]
