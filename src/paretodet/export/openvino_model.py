"""Models of OpenVINO: ONNX files read so that they compute what they do in ONNX Runtime, and their types in bf16."""

from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from paretodet.errors import InputError
from paretodet.export import openvino_onnx
from paretodet.export.float_part import GraphNode, float_part
from paretodet.export.openvino_top import rank_equals_by_index

SAMPLES = "sampling_ratio"  # of RoiAlign: samples of a bin along each side
PRODUCTS = frozenset(("Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"))


@cache
def core() -> Any:
    """The openvino.Core of this process."""
    import openvino

    return openvino.Core()


def read(path: Path) -> Any:
    """The openvino.Model of an ONNX file, changed where OpenVINO computes otherwise than ONNX Runtime does; of an .xml,
    which `save` wrote, as it is.

    Equal numbers are ranked by rising index, boxes whose overlap equals the threshold are kept, crops of boxes without
    area are 0, whole numbers are exact above 2^24 too, and what its front end leaves out is there (`openvino_onnx`).
    Raises InputError as `openvino_onnx.rewritten` does, and for averages over padding whose number is rounded up;
    RuntimeError if OpenVINO cannot read the file.
    """
    if path.suffix == ".xml":
        return core().read_model(path)
    model = core().read_model(path)
    if changed := openvino_onnx.rewritten(path):
        model = core().read_model(changed)
    _as_in_onnx(model, path)
    return model


def save(model: Any, path: Path) -> None:
    """Writes a model with its weights beside it, in their own types."""
    import openvino

    openvino.save_model(model, path, compress_to_fp16=False)


def add_result(model: Any, port: Any, name: str) -> None:
    """Makes an output of a node the last result of a model, in float32."""
    from openvino import opset13 as ops

    result = ops.result(ops.convert(port, "f32"))
    result.output(0).get_tensor().set_names({name})
    model.add_results([result])


def element_type(port: Any) -> str:
    """The type of an input or output, as "f32"."""
    return port.get_element_type().get_type_name()


def _as_in_onnx(model: Any, path: Path) -> None:
    opset = openvino_onnx.opset(path)
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind == "TopK":
            rank_equals_by_index(node)
        elif kind == "NonMaxSuppression":
            _keep_equal_overlaps(node)
        elif kind == "ROIAlign":
            _crop_nothing_as_zeros(node)
        elif kind == "Softmax" and opset in (11, 12):
            _over_all_further_axes(node)
        elif kind in POOLS and node.get_attributes()["rounding_type"].startswith("ceil"):
            _round_up_as_in_onnx(node, path)
        elif kind in WHOLE and element_type(node.output(0)) in ("i32", "i64"):
            WHOLE[kind](node)
    model.validate_nodes_and_infer_types()


def _keep_equal_overlaps(node: Any) -> None:
    """It suppresses at the threshold: the next higher float32 suppresses above it."""
    import openvino

    limit = node.input_value(3).get_node()
    if limit.get_type_name() == "Constant":
        above = np.nextafter(limit.get_data().astype(np.float32), np.float32(np.inf))
        node.input(3).replace_source_output(openvino.opset13.constant(above).output(0))


def _crop_nothing_as_zeros(node: Any) -> None:
    """It averages no samples, if their number follows from an empty box: NaN."""
    from openvino import opset13 as ops

    if node.get_attributes()[SAMPLES] == 0:
        users = node.output(0).get_target_inputs()
        zero = ops.constant(np.float32(0))
        filled = ops.select(ops.is_nan(node.output(0)), zero, node.output(0))
        for user in users:
            user.replace_source_output(filled.output(0))


def _over_all_further_axes(node: Any) -> None:
    """In versions 11 and 12 of ONNX's operators, Softmax is over `axis` and all behind it; in OpenVINO over `axis`."""
    from openvino import opset13 as ops
    from openvino.utils import replace_node

    values = node.input_value(0)
    rank = values.get_partial_shape().rank.get_length()
    axis = node.get_attributes()["axis"] % rank
    if axis == rank - 1:
        return
    flat = ops.reshape(values, ops.constant(np.array([*[0] * axis, -1])), special_zero=True)
    made = ops.reshape(ops.softmax(flat, axis), ops.shape_of(values), special_zero=False)
    replace_node(node, made)


def _round_up_as_in_onnx(node: Any, path: Path) -> None:
    """No window begins behind the map. Raises InputError where what a window has beyond the padding would count."""
    from openvino.utils import replace_node

    given = node.get_attributes()
    is_padded = any((*given["pads_begin"], *given["pads_end"]))
    if is_padded and not given.get("exclude-pad", True):
        message = f"{path}: OpenVINO divides AveragePool {node.get_friendly_name()} by cells beyond its padding"
        raise InputError(f"{message}; use --runtime onnxruntime", "graph-failed")
    skips = any(stride > side for stride, side in zip(given["strides"], given["kernel"], strict=True))
    if given["rounding_type"] == "ceil" and (is_padded or skips):
        made = POOLS[node.get_type_name()](node.input_value(0), given)
        made.set_friendly_name(node.get_friendly_name())
        replace_node(node, made)


def _max_pool(values: Any, given: dict[str, Any]) -> Any:
    from openvino import opset14 as ops

    names = "strides", "dilations", "pads_begin", "pads_end", "kernel"
    last = given["auto_pad"], given["index_element_type"], given["axis"]
    return ops.max_pool(values, *(given[name] for name in names), "ceil_torch", *last)


def _average_pool(values: Any, given: dict[str, Any]) -> Any:
    from openvino import opset14 as ops

    names = "strides", "pads_begin", "pads_end", "kernel", "exclude-pad"
    return ops.avg_pool(values, *(given[name] for name in names), "ceil_torch", given["auto_pad"])


POOLS = {"MaxPool": _max_pool, "AvgPool": _average_pool}


def _divide_exactly(node: Any) -> None:
    """By a constant above 0. The quotient through float32 is off by a little, so the rest is small and exact."""
    from openvino import opset13 as ops
    from openvino.utils import replace_node

    values, divisor = node.input_values()
    if not (divisor.get_node().get_type_name() == "Constant" and (divisor.get_node().get_data() > 0).all()):
        return
    sign = ops.sign(values)
    values = values if node.get_type_name() == "FloorMod" else ops.multiply(values, sign).output(0)
    quotient = ops.divide(values, divisor)
    rest = ops.subtract(values, ops.multiply(quotient, divisor))
    exact = ops.floor_mod(rest, divisor)
    if node.get_type_name() == "Divide":  # towards 0
        exact = ops.multiply(ops.add(quotient, ops.divide(ops.subtract(rest, exact), divisor)), sign)
    replace_node(node, exact)


def _limit_exactly(node: Any) -> None:
    """By operators that do not compute whole numbers in float32."""
    from openvino import opset13 as ops

    values, limits = node.input_value(0), node.get_attributes()
    kind = values.get_element_type()
    bounds = np.iinfo(kind.to_dtype())
    if limits["min"] > bounds.min:
        values = ops.maximum(values, ops.constant(np.array(limits["min"], kind.to_dtype()))).output(0)
    if limits["max"] < bounds.max:
        values = ops.minimum(values, ops.constant(np.array(limits["max"], kind.to_dtype()))).output(0)
    node.output(0).replace(values)


def _select_exactly(node: Any) -> None:
    """As the second value, plus the difference where the condition holds."""
    from openvino import opset13 as ops
    from openvino.utils import replace_node

    condition, chosen, other = node.input_values()
    share = ops.convert(condition, element_type(chosen))
    replace_node(node, ops.add(other, ops.multiply(share, ops.subtract(chosen, other))))


WHOLE = {  # what OpenVINO computes in float32 for whole numbers too
    "Clamp": _limit_exactly,
    "Divide": _divide_exactly,
    "FloorMod": _divide_exactly,
    "Select": _select_exactly,
}


def in_bf16(model: Any) -> None:
    """Types a model: bf16 for its layers and what stands between them, float32 for the rest.

    With the hint of this precision, OpenVINO rounds all that stands between two layers, boxes of proposals too.
    """
    made, nodes = described(model)
    kept = float_part(nodes, _names(model.get_results()))
    rounded: set[str] = set()
    for name, node in nodes.items():
        if node.is_layer or (name not in kept and not rounded.isdisjoint(node.inputs)):
            rounded.add(name)
    for name in rounded:
        _convert_inputs(made[name], rounded)
        _convert_outputs(made[name], rounded)
    model.validate_nodes_and_infer_types()


def _convert_inputs(node: Any, rounded: set[str]) -> None:
    """To bf16, where they come from nodes in float32."""
    from openvino import opset13 as ops

    places = 1 if node.get_type_name() == "Interpolate" else node.get_input_size()  # its scales stay exact
    for place in range(places):
        source = node.input_value(place)
        if element_type(source) == "f32" and source.get_node().get_name() not in rounded:
            node.input(place).replace_source_output(ops.convert(source, "bf16").output(0))


def _convert_outputs(node: Any, rounded: set[str]) -> None:
    """To float32, where nodes in float32 read them."""
    from openvino import opset13 as ops

    for output in node.outputs():
        users = [user for user in output.get_target_inputs() if user.get_node().get_name() not in rounded]
        if users and element_type(output) == "f32":
            exact = ops.convert(output, "f32").output(0)
            for user in users:
                user.replace_source_output(exact)


def float_nodes(model: Any) -> list[Any]:
    """The nodes of an openvino.Model that stay in float, without inputs, results and constants."""
    made, nodes = described(model)
    ends = _names((*model.get_parameters(), *model.get_results()))
    found = float_part(nodes, _names(model.get_results()))
    return [made[name] for name in nodes if name in found.difference(ends)]


def depthwise(model: Any) -> list[Any]:
    """The convolutions of an openvino.Model whose groups have one channel each."""
    nodes = (node for node in model.get_ordered_ops() if node.get_type_name() == "GroupConvolution")
    return [node for node in nodes if node.input_value(1).get_partial_shape()[2].get_length() == 1]


def quantized_layers(model: Any) -> list[Any]:
    """The layers of an openvino.Model that read rounded values."""
    layers = (node for node in model.get_ordered_ops() if node.get_type_name() in PRODUCTS)
    return [node for node in layers if node.input_value(0).get_node().get_type_name() == "FakeQuantize"]


def restore_layers(model: Any, original: Any, names: Collection[str]) -> None:
    """Returns layers of a model that a quantizer made of `original` to float32.

    They read values that are not rounded, and have the weights and biases of `original`, which the two models share.
    """
    before = {node.get_friendly_name(): node for node in original.get_ops()}
    for node in quantized_layers(model):
        if (name := node.get_friendly_name()) in names:
            node.input(0).replace_source_output(node.input_value(0).get_node().input_value(0))
            node.input(1).replace_source_output(before[name].input_value(1))
            for user in _users(node):
                _restore_constants(user, before[user.get_friendly_name()])
    model.validate_nodes_and_infer_types()


def _restore_constants(user: Any, before: Any) -> None:
    """Of an addition of constants: a bias."""
    if user.get_type_name() == "Add":
        for place, value in enumerate(before.input_values()):
            if value.get_node().get_type_name() == "Constant":
                user.input(place).replace_source_output(value)


def _users(node: Any) -> list[Any]:
    return [user.get_node() for user in node.output(0).get_target_inputs()]


def described(model: Any) -> tuple[dict[str, Any], dict[str, GraphNode]]:
    """The nodes of an openvino.Model by name, and what they are; without constants and what is made of these alone."""
    made = {node.get_name(): node for node in model.get_ordered_ops()}
    nodes: dict[str, GraphNode] = {}
    for name, node in made.items():
        kind, inputs = node.get_type_name(), _names(value.get_node() for value in node.input_values())
        if kind == "Parameter" or not nodes.keys().isdisjoint(inputs):
            is_layer = kind in PRODUCTS and not nodes.keys() >= set(inputs[:2])
            nodes[name] = GraphNode(operator=kind, inputs=tuple(inputs), is_layer=is_layer)
    return made, nodes


def _names(nodes: Iterable[Any]) -> list[str]:
    return [node.get_name() for node in nodes]
