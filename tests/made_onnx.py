"""ONNX files of detectors that return the same for every image: built for what their outputs mean."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 192  # of the canvas: 24 * 24 + 12 * 12 + 6 * 6 = 756 cells of strides 8, 16, 32
CELLS = 756
BOX = (60.0, 90.0, 120.0, 150.0)  # x1, y1, x2, y2 of the object in every file
ANSWER = [60, 90, 120, 150]


def write(
    path: Path,
    outputs: dict[str, np.ndarray],
    *,
    metadata: dict[str, str] | None = None,
    operators: tuple[str, ...] = (),
    kind: int = TensorProto.FLOAT,
    shape: tuple[int | str, ...] = (1, 3, SIDE, SIDE),
    open_length: bool = False,
    of_bytes: bool = False,
    producer: str = "",
) -> Path:
    """A file that returns `outputs`. With `operators`, they lead from a convolution to every output of floats; if it
    is one `of_bytes`, they are near 0 for pixels of 0..1.
    """
    image = helper.make_tensor_value_info("images", kind, shape)
    tensors = [numpy_helper.from_array(np.zeros((), np.float32), "zero")]
    tensors += [numpy_helper.from_array(value, f"{name}_c") for name, value in outputs.items()]
    nodes, last = [helper.make_node("Cast", ["images"], ["pixels"], to=TensorProto.FLOAT)], "pixels"
    if operators:
        tensors.append(numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "weights"))
        nodes.append(helper.make_node("Conv", [last, "weights"], ["maps"]))
        last = "maps"
    for index, operator in enumerate(operators):
        nodes.append(helper.make_node(operator, [last], [f"step{index}"]))
        last = f"step{index}"
    nodes.append(helper.make_node("ReduceMean", [last], ["mean"], keepdims=0))
    nodes.append(helper.make_node("Mul", ["mean", "zero"], ["nothing"]))
    if of_bytes:
        tensors.append(numpy_helper.from_array(np.array([10], np.float32), "ten"))
        tensors.append(numpy_helper.from_array(np.array([1], np.float32), "one"))
        nodes.append(helper.make_node("ReduceMean", ["pixels"], ["bright"], keepdims=0))
        nodes.append(helper.make_node("Div", ["bright", "ten"], ["tenth"]))
        nodes.append(helper.make_node("Min", ["tenth", "one"], ["seen"]))
    for name, value in outputs.items():
        real, made = value.dtype == np.float32, f"{name}_c"
        if of_bytes and real:
            nodes.append(helper.make_node("Mul", [made, "seen"], [f"{name}_seen"]))
            made = f"{name}_seen"
        nodes.append(helper.make_node("Add" if real else "Identity", [made, *(["nothing"] * real)], [name]))
    infos = [
        helper.make_tensor_value_info(
            name,
            helper.np_dtype_to_tensor_dtype(value.dtype),
            [f"{name}{axis}" for axis in range(value.ndim)] if open_length else value.shape,
        )
        for name, value in outputs.items()
    ]
    graph = helper.make_graph(nodes, "detector", [image], infos, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8, producer_name=producer)
    helper.set_model_props(model, metadata or {})
    onnx.save(model, path)
    return path


def center(box: tuple[float, ...] = BOX, scale: float = 1.0) -> list[float]:
    """The box as center and size, times `scale`."""
    x1, y1, x2, y2 = (side * scale for side in box)
    return [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1]


def rows(first: list[float], count: int = CELLS) -> np.ndarray:
    """[1, count, columns]: one row, and empty ones."""
    found = np.zeros((1, count, len(first)), np.float32)
    found[0, 0] = first
    return found


def separate(box: tuple[float, ...], label: int = 0, count: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes, scores and labels of one object, and of empty slots."""
    boxes, scores, labels = np.zeros((1, count, 4), np.float32), np.zeros((1, count), np.float32), np.zeros((1, count))
    boxes[0, 0], scores[0, 0], labels[0, 0] = box, 0.9, label
    return boxes, scores, labels.astype(np.int64)


def fractions(box: tuple[float, ...] = BOX) -> tuple[float, ...]:
    return tuple(side / SIDE for side in box)
