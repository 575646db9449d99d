"""OpenVINO's TopK with equal numbers ranked by rising index, as ONNX defines it.

By default it returns any of them in any order; with its attribute `stable` its time grows with n * k: 100 times as long
for 400 of 8,732 scores in each of 80 classes. Here fast ones give what the stable one does: the first finds the least
number that is returned, the second the places of the numbers at or above it, the third the order of equal ones.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

EXACT = 2**24  # whole numbers below it are exact in float32
SORTABLE = 2**15  # numbers that can be put in order: ranks and places together are an int32


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """The axis of a TopK, the length there and the number of values that it returns."""

    index: int
    rank: int
    length: int
    count: int

    def range(self, values: np.ndarray) -> np.ndarray:
        """Values [n] along the axis."""
        return values.reshape([-1 if place == self.index else 1 for place in range(self.rank)])


def rank_equals_by_index(node: Any) -> None:
    """Replaces a TopK by operators with the same results of any float32; others get the attribute `stable`."""
    axis = _axis(node)
    if axis is None:
        node.set_attribute("sort", "value")  # `stable` needs an order, also where the file asks for none
        node.set_attribute("stable", True)
        return
    from openvino import opset13 as ops

    values = node.input_value(0)
    ordered = node.get_attributes()["sort"] != "none"
    ascending = node.get_attributes()["mode"] == "min"
    keys = ops.negative(values).output(0) if ascending else values
    places = _places(keys, axis)
    if ordered:
        places = _gathered(places, _order(_gathered(keys, places, axis), axis), axis)
    found = _gathered(values, places, axis)
    kind = node.output(1).get_element_type()
    node.output(1).replace(ops.convert(places, kind.get_type_name()).output(0))
    node.output(0).replace(found)


def _axis(node: Any) -> _Axis | None:
    """None if its numbers are not float32, or sizes not known or too large."""
    count, shape = node.input_value(1).get_node(), node.input_value(0).get_partial_shape()
    known = count.get_type_name() == "Constant" and shape.rank.is_static
    if not known or node.input_value(0).get_element_type().get_type_name() != "f32":
        return None
    index = node.get_attributes()["axis"] % len(shape)
    length = shape[index].get_length() if shape[index].is_static else EXACT
    axis = _Axis(index=index, rank=len(shape), length=length, count=_number(count))
    return axis if axis.length < EXACT and 0 < axis.count < SORTABLE else None


def _number(constant: Any) -> int:
    return int(constant.get_data().reshape(-1)[0])


def _places(keys: Any, axis: _Axis) -> Any:
    """The rising places of the largest keys; of equal ones the first."""
    from openvino import opset13 as ops

    along = ops.constant(np.int64(axis.index))
    best = _top(keys, axis, "max").output(0)
    least = ops.gather(best, ops.constant(np.array([axis.count - 1])), along)
    above, equal = ops.greater(keys, least), ops.equal(keys, least)
    missing = ops.subtract(
        ops.constant(np.float32(axis.count)), ops.reduce_sum(ops.convert(above, "f32"), along, keep_dims=True)
    )
    first = ops.less_equal(ops.cum_sum(ops.convert(equal, "f32"), along), missing)
    chosen = ops.logical_or(above, ops.logical_and(equal, first))
    place = ops.constant(axis.range(-np.arange(axis.length, dtype=np.float32)))
    return _top(ops.select(chosen, place, ops.constant(np.float32(-EXACT))).output(0), axis, "max").output(1)


def _order(found: Any, axis: _Axis) -> Any:
    """The order of keys by falling value, of equal ones by place: as many as there are."""
    from openvino import opset13 as ops

    along = ops.constant(np.int64(axis.index))
    best, places = _top(found, axis, "max").outputs()
    before = ops.gather(best, ops.constant(np.maximum(np.arange(axis.count) - 1, 0)), along)
    rank = ops.cum_sum(ops.convert(ops.not_equal(before, best), "i32"), along)  # equal ones have the same
    both = ops.add(ops.multiply(rank, ops.constant(np.int32(axis.count))), places)
    return _gathered(places, _top(both.output(0), axis, "min").output(1), axis)


def _top(values: Any, axis: _Axis, mode: str) -> Any:
    from openvino import opset13 as ops

    return ops.topk(values, ops.constant(np.int64(axis.count)), axis.index, mode, "value", "i32")


def _gathered(values: Any, places: Any, axis: _Axis) -> Any:
    from openvino import opset13 as ops

    return ops.gather_elements(values, places, axis.index).output(0)
