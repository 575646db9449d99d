"""What a graph does to pixels before its first layer: its formula, the pixels it is for, and the order of channels."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from made_onnx import ANSWER, BOX, CELLS, center, rows, write
from opened_files import best, layout_of, opened
from paretodet.diagnosis import doctor
from paretodet.errors import InputError
from paretodet.layouts.layout import BGR_BYTES, BYTES, UNIT_RANGE, Normalization
from paretodet.readings.onnx_graph import Node, OnnxGraph, read_graph
from paretodet.readings.preparation import Preparation, preparation, with_channels_reversed

MEANS, STDS = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
BLUE_FIRST = Normalization(channels="bgr")
Call = tuple[str, tuple[str, ...], tuple[str, ...]]


def prepared(*calls: Call, **constants: Any) -> Preparation:
    nodes = tuple(Node(operator=name, inputs=reads, outputs=writes) for name, reads, writes in calls)
    values = {name: tuple(map(float, np.ravel(value))) for name, value in constants.items()}
    return preparation(OnnxGraph(metadata={}, producer="", nodes=nodes, constants=values), "x")


def affine(scale: Any, shift: Any) -> Preparation:
    return prepared(
        ("Mul", ("x", "a"), ("y",)), ("Add", ("y", "b"), ("z",)), ("Conv", ("z", "w"), ("m",)), a=scale, b=shift
    )


@pytest.mark.parametrize(
    ("scale", "shift", "pixels"),
    [
        (1 / STDS, -MEANS / STDS, BYTES),
        (1 / STDS[::-1], -MEANS[::-1] / STDS[::-1], BGR_BYTES),
        (255 / STDS, -MEANS / STDS, UNIT_RANGE),
        (2 / 255, -1, BYTES),
        (2, -1, UNIT_RANGE),
        (255, -MEANS, UNIT_RANGE),
        (1, -MEANS[::-1], BGR_BYTES),
        (1 / 64, -2, BYTES),
        (0.5, -1.5, None),  # (pixel - 3) / 2
        (-1, 255, None),
    ],
)
def test_a_scale_and_a_shift_tell_the_range_of_pixels(scale: Any, shift: Any, pixels: Normalization | None) -> None:
    found = affine(scale, shift)
    assert found.normalizes and found.pixels(UNIT_RANGE) == pixels


def test_what_is_done_in_steps_is_one_formula() -> None:
    found = prepared(
        ("Transpose", ("x",), ("a",)),
        ("Shape", ("a",), ("sides",)),
        ("Div", ("a", "most"), ("b",)),
        ("Sub", ("b", "mean"), ("c",)),
        ("Div", ("c", "std"), ("d",)),
        most=255,
        mean=[0.485, 0.456, 0.406],
        std=[0.229, 0.224, 0.225],
    )
    np.testing.assert_allclose(found.mean, MEANS, rtol=1e-5)
    np.testing.assert_allclose(found.std, STDS, rtol=1e-3)
    assert found.pixels(BLUE_FIRST) == BYTES and str(found).startswith("(pixel - (123.7, 116.3, 103.5)) / (58.")


def test_a_batch_norm_of_the_image_is_a_normalization() -> None:
    call = ("BatchNormalization", ("x", "s", "b", "m", "v"), ("y",))
    found = prepared(call, s=[1, 1, 1], b=[0, 0, 0], m=MEANS, v=STDS**2)
    assert found.pixels(UNIT_RANGE) == BYTES
    found = prepared(call, s=[1, 1, 1], b=[0, 0, 0], m=MEANS / 255, v=(STDS / 255) ** 2)
    assert found.pixels(UNIT_RANGE) == UNIT_RANGE
    assert not prepared(call, s=[1] * 16, b=[0] * 16, m=[0] * 16, v=[1] * 16).normalizes


REVERSED: dict[str, tuple[Call, ...]] = {
    "Gather": (("Gather", ("x", "backward"), ("y",)),),
    "Slice": (("Slice", ("x", "start", "end", "axis", "step"), ("y",)),),
    "Split": (("Split", ("x",), ("r", "g", "b")), ("Concat", ("b", "g", "r"), ("y",))),
}
NUMBERS = {"backward": [2, 1, 0], "start": -1, "end": -9, "axis": 1, "step": -1}


@pytest.mark.parametrize("kind", REVERSED)
def test_channels_that_are_reversed_before_the_first_layer(kind: str) -> None:
    found = prepared(*REVERSED[kind], **NUMBERS)
    assert found.turned and not found.normalizes and not found.moved
    found = prepared(*REVERSED[kind], ("Sub", ("y", "mean"), ("z",)), **NUMBERS, mean=MEANS[::-1])
    assert found.pixels(UNIT_RANGE) == BYTES  # blue first in the layer, so red first in the file
    before = prepared(("Sub", ("x", "mean"), ("x1",)), *_from(REVERSED[kind], "x1"), **NUMBERS, mean=MEANS)
    assert before.pixels(UNIT_RANGE) == BYTES and before.mean == pytest.approx(tuple(MEANS[::-1]))


def _from(calls: tuple[Call, ...], name: str) -> tuple[Call, ...]:
    return tuple(
        (operator, tuple(name if each == "x" else each for each in reads), wrote) for operator, reads, wrote in calls
    )


@pytest.mark.parametrize(
    "calls",
    [
        (("Sub", ("c", "x"), ("y",)),),
        (("Relu", ("x",), ("a",)), ("Div", ("a", "c"), ("y",))),
        (("Slice", ("x", "c"), ("a",)), ("Slice", ("x", "c"), ("b",)), ("Concat", ("a", "b"), ("y",))),
        (("Div", ("x", "zero"), ("y",)),),
        (("Mul", ("x", "endless"), ("y",)),),
        (("Mul", ("x", "pair"), ("y",)),),
    ],
)
def test_what_is_more_than_a_normalization_is_none(calls: tuple[Call, ...]) -> None:
    assert not prepared(*calls, c=255, zero=0, endless=np.inf, pair=[2, 3]).normalizes


def test_reversed_pixels_keep_the_numbers_of_their_channels() -> None:
    pixels = Normalization(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    assert with_channels_reversed(pixels) == Normalization(channels="bgr", mean=(3.0, 2.0, 1.0), std=(6.0, 5.0, 4.0))


# In files.


def with_nodes(path: Path, *nodes: onnx.NodeProto, **constants: Any) -> Path:
    """The file with nodes from "pixels" to "made" in front of what reads the pixels."""
    model = onnx.load(path)
    for name, value in constants.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    for node in model.graph.node[1:]:
        node.input[:] = ["made" if name == "pixels" else name for name in node.input]
    for place, node in enumerate(nodes):
        model.graph.node.insert(1 + place, node)
    onnx.save(model, path)
    return path


def pair(path: Path) -> Path:
    """Boxes and scores of all cells, which no convention has by name."""
    boxes, scores = np.tile(np.array([10, 10, 30, 40], np.float32), (1, CELLS, 1)), np.zeros((1, CELLS, 80), np.float32)
    boxes[0, 3], scores[0, 3, 7] = BOX, 0.9
    return write(path, {"a": boxes, "b": scores})


def normed(path: Path, means: Any) -> Path:
    parts = {"s": [1, 1, 1], "b0": [0, 0, 0], "m": means, "v": STDS**2}
    node = helper.make_node("BatchNormalization", ["pixels", *parts], ["made"])
    return with_nodes(path, node, **{name: np.array(value, np.float32) for name, value in parts.items()})


def test_a_pair_is_read_by_the_batch_norm_of_its_image_and_says_what_is_assumed(tmp_path: Path) -> None:
    path = normed(pair(tmp_path / "net.onnx"), MEANS[::-1])
    candidate = opened(path)
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 7) and layout_of(candidate).pixels == BGR_BYTES
    assert "normalized in the graph as (pixel - (103.5, 116.3, 123.7)) / (58." in str(candidate.reading)
    assert "letterbox is assumed" in candidate.doubt and "letterbox is assumed" in str(candidate.reading)
    assert any("canvas.fit" in (check.broken or "") for check in doctor(candidate))
    assert "assumed" not in opened(path, fit="stretch").doubt
    assert "assumed" not in opened(path, layout=layout_of(candidate)).doubt


def scaled(path: Path, divisor: float, mean: float) -> Path:
    nodes = [helper.make_node("Sub", ["pixels", "shift"], ["less"]), helper.make_node("Div", ["less", "by"], ["made"])]
    return with_nodes(path, *nodes, shift=np.float32(mean), by=np.float32(divisor))


@pytest.mark.parametrize("kind", ["pair", "rows"])
def test_a_normalization_that_tells_no_range_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "net.onnx"
    head = rows([*center(), 0.1, 0.9]).transpose(0, 2, 1).copy()
    path = scaled(pair(path) if kind == "pair" else write(path, {"output0": head}), 2, 3)
    with pytest.raises(InputError) as caught:
        opened(path)
    assert caught.value.id == "pixels-unknown" and str(path) in caught.value.message
    assert "(pixel - 3) / 2" in caught.value.message and "[pixels]" in caught.value.message


def test_a_file_that_states_its_exporter_keeps_its_pixels(tmp_path: Path) -> None:
    head = rows([*center(), 0.1, 0.9]).transpose(0, 2, 1).copy()
    metadata = {"names": "['cat', 'dog']", "stride": "32", "task": "detect"}
    path = scaled(write(tmp_path / "v8.onnx", {"output0": head}, metadata=metadata), 2, 3)
    assert layout_of(opened(path)).pixels == UNIT_RANGE


def test_a_file_that_reverses_channels_for_its_layer_reads_the_others(tmp_path: Path) -> None:
    """A YOLOX, whose layer reads blue first."""
    head = rows([*center(), 0.95, 0.99])
    plain = write(tmp_path / "yolox.onnx", {"output": head}, of_bytes=True)
    assert layout_of(opened(plain)).pixels == BGR_BYTES
    node = helper.make_node("Gather", ["pixels", "backward"], ["made"], axis=1)
    path = with_nodes(write(tmp_path / "red.onnx", {"output": head}, of_bytes=True), node, backward=np.array([2, 1, 0]))
    assert layout_of(opened(path)).pixels == BYTES


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize("kind", [TensorProto.INT64, TensorProto.INT32])
def test_small_constants_of_whole_numbers_are_read(tmp_path: Path, kind: int, raw: bool) -> None:
    values = [2, 1, -1]
    made = helper.make_tensor("c", kind, [3], values)
    if raw:
        made = numpy_helper.from_array(np.array(values, helper.tensor_dtype_to_np_dtype(kind)), "c")
    onnx.save(helper.make_model(helper.make_graph([], "g", [], [], [made])), tmp_path / "a.onnx")
    assert read_graph(tmp_path / "a.onnx").constants == {"c": (2.0, 1.0, -1.0)}
