"""The operators of a LiteRT file one by one, as an independent program to compare an imported detector with."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from paretodet.flatbuffer import FlatTable
from paretodet.weights.formats import tflite


class GraphInFloat:
    """Executes the operators of an SSD's LiteRT file in float32 on the numbers that its tensors stand for.

    Convolutions with SAME padding, reshapes, concatenations and nothing else; the result is what its last operator,
    TFLite_Detection_PostProcess, reads: codes and logits. The range of a map of bytes is its activation: it is read
    from the map's name.
    """

    CONCATENATION, CONV_2D, DEPTHWISE_CONV_2D, LOGISTIC, RESHAPE, CUSTOM = 2, 3, 4, 14, 22, 32

    def __init__(self, path: Path) -> None:
        model = FlatTable.root(memoryview(path.read_bytes()))
        graph = model.tables(2)[0]
        self.kinds = [max(code.number(0, "<b"), code.number(3, "<i")) for code in model.tables(1)]
        self.names = [tensor.text(3) for tensor in graph.tables(0)]
        self.shapes = [tensor.numbers(0, "<i") for tensor in graph.tables(0)]
        self.operators, self.inputs = graph.tables(3), graph.numbers(1, "<i")
        self.constants = tflite.read(path)

    def __call__(self, canvas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = {i: self.constants[name] for i, name in enumerate(self.names) if name in self.constants}
        found[self.inputs[0]] = (torch.from_numpy(canvas).float()[None] - 127.5) / 127.5
        for operator in self.operators:
            kind, read = self.kinds[operator.number(0, "<I")], operator.numbers(1, "<i")
            (first, *_), (out, *_) = read, operator.numbers(2, "<i")
            if kind == self.CUSTOM:
                break
            if kind in (self.CONV_2D, self.DEPTHWISE_CONV_2D):
                made = self.convolved(kind, operator.table(4), *(found[i] for i in read))
                found[out] = made.clamp(0, 6) if self.names[out].endswith("Relu6") else made
            elif kind == self.CONCATENATION:
                found[out] = torch.cat([found[i] for i in read], 1)
            else:  # the logistic is left to the caller
                found[out] = found[first].reshape(self.shapes[out])
        return tuple(found[i].reshape(self.shapes[i][1:]).numpy() for i in read[:2])

    def convolved(self, kind: int, options: FlatTable, values: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        stride = options.number(2, "<i") or 1
        depthwise = kind == self.DEPTHWISE_CONV_2D
        kernel = weight.permute(3, 0, 1, 2) if depthwise else weight.permute(0, 3, 1, 2)
        sides = zip(values.shape[1:3], kernel.shape[2:], strict=True)
        total = [max((-(-side // stride) - 1) * stride + k - side, 0) for side, k in sides]
        (top, left) = (pad // 2 for pad in total)
        padded = F.pad(values.permute(0, 3, 1, 2), (left, total[1] - left, top, total[0] - top))
        groups = values.shape[3] if depthwise else 1
        return F.conv2d(padded, kernel, bias, stride, groups=groups).permute(0, 2, 3, 1)
