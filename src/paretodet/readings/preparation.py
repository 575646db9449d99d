"""What a graph does to the pixels of an image before its first layer, followed along the only way from the input.

Means and divisors of one number or of three, as constants or as the statistics of a batch norm, are one scale and one
shift for each channel. Together they tell the range of pixels that the graph expects: those of 0..1 are divided by less
than 1, those of 0..255 by tens, or lose a mean of tens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite

from paretodet.layouts.layout import BYTES, UNIT_RANGE, Channels, Normalization, PerChannel
from paretodet.readings.onnx_graph import Node, OnnxGraph

MEASURING = frozenset(("Shape", "ShapeOf", "Size"))  # read sizes, not pixels
SAME = frozenset(  # operators that leave numbers, and the order of channels, as they are
    (
        *("Cast", "Clip", "Convert", "DequantizeLinear", "Identity", "Interpolate", "Pad", "QuantizeLinear"),
        *("Reshape", "Resize", "Squeeze", "Transpose", "Unsqueeze"),
    )
)
MOVING = frozenset(("Gather", "SequenceAt", "Slice", "StridedSlice"))  # that may put channels into another order
NORM = "BatchNormalization"
BACKWARD = (2.0, 1.0, 0.0)  # indices that reverse the channels
CHANNEL_AXES = (1.0, 3.0, -1.0, -3.0)
UNIT_MEANS, BYTE_MEANS = (0.0, 1.0), (40.0, 220.0)  # of pixels
LEAST_UNIT, BYTE_STDS, LEAST_BYTE = 1 / 300, (20.0, 300.0), 0.5
CENTERED = (0.2, 0.8)  # a mean that is subtracted from pixels of 0..1 without a division
ONES, NOUGHTS = (1.0, 1.0, 1.0), (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """The first layer reads scale * pixel + shift in each of its channels.

    `turned`: they are in the reverse order of those of the input; `moved`: they may be in any order.
    """

    scale: PerChannel = ONES
    shift: PerChannel = NOUGHTS
    turned: bool = False
    moved: bool = False

    @property
    def normalizes(self) -> bool:
        return self.scale != ONES or self.shift != NOUGHTS

    @property
    def mean(self) -> PerChannel:
        return _three([-shift / scale for scale, shift in zip(self.scale, self.shift, strict=True)])

    @property
    def std(self) -> PerChannel:
        return _three([1 / scale for scale in self.scale])

    def __str__(self) -> str:
        """As a formula, in the order of the channels of the first layer."""
        mean = f"(pixel - {_short(self.mean)})" if any(self.mean) else "pixel"
        return f"{mean} / {_short(self.std)}{' with the channels reversed' if self.turned else ''}"

    def pixels(self, assumed: Normalization) -> Normalization | None:
        """The pixels that it expects; None if its numbers do not tell their range.

        Where its means do not tell the order of the channels, the first layer reads that of `assumed`.
        """
        mean, std = self.mean, self.std
        found = UNIT_RANGE if _of_unit(mean, std) else BYTES if _of_bytes(mean, std) else None
        if found is None or not self.normalizes:
            return None
        order = _order(mean)
        if self.moved:
            return None if order == "bgr" else replace(found, channels=assumed.channels)
        found = replace(found, channels=order or assumed.channels)
        return with_channels_reversed(found) if self.turned else found


def with_channels_reversed(pixels: Normalization) -> Normalization:
    """The pixels of a file that reverses the channels for a layer that reads `pixels`."""
    channels: Channels = "bgr" if pixels.channels == "rgb" else "rgb"
    return Normalization(channels=channels, mean=pixels.mean[::-1], std=pixels.std[::-1])


def preparation(graph: OnnxGraph, image: str) -> Preparation:
    """What is done to an image up to the first operator that is more, or to which there are several ways."""
    found, names, seen = Preparation(), frozenset((image,)), set[int]()
    while True:
        readers = [node for node in graph.nodes if names & set(node.inputs) and node.operator not in MEASURING]
        if not readers or id(readers[0]) in seen:
            return found
        first, *others = readers
        if others or len(first.outputs) > 1 and first.operator.startswith("Split"):
            return found if others else _joined(graph, first, found)
        step = _after(graph, first, names, found)
        if step is None:
            return found
        seen.add(id(first))
        found, names = step, frozenset(first.outputs)


def _after(graph: OnnxGraph, node: Node, names: frozenset[str], before: Preparation) -> Preparation | None:
    """With an operator behind it; None if it does more than to prepare pixels."""
    constants = [graph.constants[name] for name in node.inputs if name in graph.constants and name not in names]
    if node.operator == NORM:
        return _normed(constants, before)
    if node.operator in ("Add", "Sub", "Mul", "Div"):
        first = node.inputs[0] in names or node.operator in ("Add", "Mul")
        return _shifted(node.operator, constants[0], before) if constants and first else None
    if node.operator in MOVING:
        return _backward(before) if _reverses(node.operator, constants) else replace(before, moved=True)
    return before if node.operator in SAME else None


def _shifted(operator: str, values: Sequence[float], before: Preparation) -> Preparation | None:
    if len(values) not in (1, 3):
        return None
    numbers = _three(values)
    if operator in ("Add", "Sub"):
        return _affine(ONES, numbers if operator == "Add" else _three([-number for number in numbers]), before)
    if not all(numbers):
        return None
    return _affine(numbers if operator == "Mul" else _three([1 / number for number in numbers]), NOUGHTS, before)


def _normed(constants: Sequence[Sequence[float]], before: Preparation) -> Preparation | None:
    """Behind a batch norm of three channels: its scale, its shift, and its means and variances."""
    if len(constants) != 4 or any(len(each) != 3 for each in constants):
        return None
    scale, shift, mean, variance = constants
    if min(variance) <= 0:
        return None
    factors = [each / spread**0.5 for each, spread in zip(scale, variance, strict=True)]
    moved = [each - middle * factor for each, middle, factor in zip(shift, mean, factors, strict=True)]
    return _affine(_three(factors), _three(moved), before)


def _affine(factors: PerChannel, summands: PerChannel, before: Preparation) -> Preparation | None:
    """None if a channel is lost."""
    scale = [factor * each for factor, each in zip(factors, before.scale, strict=True)]
    shift = [factor * each + more for factor, each, more in zip(factors, before.shift, summands, strict=True)]
    if not all(isfinite(number) for number in (*scale, *shift)) or not all(scale):
        return None
    return replace(before, scale=_three(scale), shift=_three(shift))


def _backward(before: Preparation) -> Preparation:
    return replace(before, scale=before.scale[::-1], shift=before.shift[::-1], turned=not before.turned)


def _reverses(operator: str, constants: Sequence[Sequence[float]]) -> bool:
    """Whether an operator reverses the channels: by their indices, or by a step of -1 along their axis."""
    if operator == "Gather":
        return tuple(constants[0]) == BACKWARD if constants else False
    return (-1.0,) in map(tuple, constants[-1:]) and len(constants) > 1 and constants[-2][0] in CHANNEL_AXES


def _joined(graph: OnnxGraph, split: Node, before: Preparation) -> Preparation:
    """Behind channels that are split and joined again in the same or in the reverse order."""
    readers = [node for node in graph.nodes if set(split.outputs) & set(node.inputs)]
    if len(readers) != 1 or readers[0].operator != "Concat" or len(split.outputs) != 3:
        return replace(before, moved=True)
    behind = preparation(graph, readers[0].outputs[0])
    start = before if readers[0].inputs == split.outputs else _backward(before)
    if readers[0].inputs not in (split.outputs, split.outputs[::-1]):
        start = replace(before, moved=True)
    found = _affine(behind.scale, behind.shift, _backward(start) if behind.turned else start)
    return start if found is None else replace(found, moved=start.moved or behind.moved)


def _three(values: Sequence[float]) -> PerChannel:
    first, second, third = (values[0],) * 3 if len(values) == 1 else values[:3]
    return first, second, third


def _of_unit(mean: PerChannel, std: PerChannel) -> bool:
    if _within(std, (LEAST_UNIT, 1.0)) and max(std) < 1:
        return _within(mean, UNIT_MEANS)
    return set(std) == {1.0} and _within(mean, CENTERED)


def _of_bytes(mean: PerChannel, std: PerChannel) -> bool:
    if _within(std, BYTE_STDS):
        return _within(mean, (-1.0, 256.0))
    return _within(mean, BYTE_MEANS) and _within(std, (LEAST_BYTE, BYTE_STDS[1]))


def _within(values: PerChannel, ends: tuple[float, float]) -> bool:
    return all(ends[0] <= value <= ends[1] for value in values)


def _order(mean: PerChannel) -> Channels | None:
    """Red is brighter than green in photographs, and green than blue; None of means that do not tell."""
    if mean[0] > mean[1] > mean[2]:
        return "rgb"
    return "bgr" if mean[0] < mean[1] < mean[2] else None


def _short(values: PerChannel) -> str:
    return f"{values[0]:.4g}" if len(set(values)) == 1 else "(" + ", ".join(f"{value:.4g}" for value in values) + ")"
