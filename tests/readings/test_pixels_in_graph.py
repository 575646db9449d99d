"""How pixels are scaled: by the graph's own normalization, and by what a head finds."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from made_onnx import ANSWER, CELLS, separate, write
from opened_files import best, layout_of, opened
from paretodet.config import CandidateConfig
from paretodet.diagnosis import doctor
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.layout import BGR_BYTES, BYTES, UNIT_RANGE, Normalization
from paretodet.readings.evidence import Evidence
from paretodet.readings.onnx_graph import Node, OnnxGraph, read_graph
from paretodet.readings.recognize import own_photograph

BLUE_FIRST = Normalization(channels="bgr")
MEANS = [0.485, 0.456, 0.406]


def head(columns: int, score: float, *, transposed: bool = True) -> np.ndarray:
    """Rows of all cells: faint ones, and the object with `score` in the last column."""
    random = np.random.default_rng(0)
    found = random.uniform(0, 0.02, (1, CELLS, columns)).astype(np.float32)
    found[0, :, :2], found[0, :, 2:4] = random.uniform(10, 180, (CELLS, 2)), random.uniform(4, 60, (CELLS, 2))
    found[0, 20, :4], found[0, 20, -1] = (90, 120, 60, 60), score
    if not transposed:
        found[0, 20, 4] = 1
    return found.transpose(0, 2, 1).copy() if transposed else found


def normalizing(path: Path, operator: str, values: Any, kind: Any = np.float32) -> Path:
    """The file with an operator and a constant of `kind` in front of what reads the pixels."""
    model, numbers = onnx.load(path), np.array(values, kind)
    numbers = numbers.reshape(1, -1, 1, 1) if numbers.ndim else numbers
    model.graph.initializer.append(numpy_helper.from_array(numbers, "factor"))
    for node in model.graph.node[1:]:
        node.input[:] = ["scaled" if name == "pixels" else name for name in node.input]
    to = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    for place, node in enumerate(
        (
            helper.make_node("Cast", ["pixels"], ["converted"], to=to),
            helper.make_node(operator, ["converted", "factor"], ["changed"]),
            helper.make_node("Cast", ["changed"], ["scaled"], to=TensorProto.FLOAT),
        )
    ):
        model.graph.node.insert(1 + place, node)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(
    ("operator", "values", "pixels"),
    [
        ("Div", 255, BYTES),
        ("Div", [255] * 3, BYTES),
        ("Mul", 1 / 255, BYTES),
        ("Mul", [1 / 255], BYTES),
        ("Mul", 1 / 127.5, BYTES),
        ("Sub", 127.5, BYTES),
        ("Add", -127.5, BYTES),
        ("Sub", [123.675, 116.28, 103.53], BYTES),
        ("Sub", [103.53, 116.28, 123.675], BGR_BYTES),
        ("Sub", MEANS, UNIT_RANGE),
        ("Sub", MEANS[::-1], BLUE_FIRST),
        ("Mul", 3, UNIT_RANGE),
    ],
)
@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_rows_of_yolo_are_for_the_pixels_that_the_graph_normalizes(
    tmp_path: Path, operator: str, values: Any, pixels: Normalization, kind: Any
) -> None:
    path = write(tmp_path / "v8.onnx", {"output0": head(84, 0.9)})
    candidate = opened(normalizing(path, operator, values, kind))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 79) and layout_of(candidate).pixels == pixels


def test_a_convention_keeps_its_order_of_channels(tmp_path: Path) -> None:
    """YOLOX reads blue first."""
    path = write(tmp_path / "yolox.onnx", {"output": head(85, 0.2, transposed=False)})
    layout = layout_of(opened(normalizing(path, "Sub", 0.5)))
    assert layout.family == "YOLOX" and layout.pixels == BLUE_FIRST


@pytest.mark.parametrize("known", [True, False])
def test_the_metadata_of_ultralytics_do_not_hide_it(tmp_path: Path, known: bool) -> None:
    metadata = {"names": str([str(number) for number in range(80)]), "stride": "32", "task": "detect"}
    path = write(tmp_path / "v8.onnx", {"output0": head(84, 0.9)}, metadata=metadata)
    path = normalizing(path, "Div", 255) if known else path
    assert layout_of(opened(path)).pixels == (BYTES if known else UNIT_RANGE)


def test_queries_are_read_if_the_graph_normalizes(tmp_path: Path) -> None:
    logits = np.full((1, 300, 80), -6, np.float32)
    logits[0, 0, 3] = 2
    boxes = np.random.default_rng(0).uniform(0.2, 0.4, (1, 300, 4)).astype(np.float32)
    path = write(tmp_path / "detr.onnx", {"pred_boxes": boxes, "logits": logits})
    assert refused(path).id == "pixels-unknown"
    assert layout_of(opened(normalizing(path, "Sub", MEANS))).pixels == UNIT_RANGE


def refused(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(path)
    return caught.value


def graph(*calls: tuple[str, str, str], constants: dict[str, tuple[float, ...]]) -> OnnxGraph:
    """A graph of operators that read a tensor and a constant."""
    nodes = tuple(Node(operator=name, inputs=(read, "c"), outputs=(written,)) for name, read, written in calls)
    return OnnxGraph(metadata={}, producer="", nodes=nodes, constants=constants)


@pytest.mark.parametrize(
    ("calls", "values", "pixels"),
    [
        ((("Cast", "images", "a"), ("Div", "a", "b")), (255.0,), BYTES),
        ((("Transpose", "images", "a"), ("Resize", "a", "b"), ("Mul", "b", "c")), (1 / 255,), BYTES),
        ((("Conv", "images", "a"), ("Div", "a", "b")), (255.0,), None),
        ((("FusedConv", "images", "a"), ("Sub", "a", "b")), (0.5,), None),  # as of a runtime's own operators
        ((("Relu", "images", "a"), ("Div", "a", "b")), (255.0,), None),
        ((("Gather", "images", "a"), ("Sub", "a", "b")), (103.53, 116.28, 123.675), None),  # which may swap channels
        ((("Gather", "images", "a"), ("Sub", "a", "b")), (123.675, 116.28, 103.53), BYTES),
        ((("Sub", "images", "a"),), (0.5,), UNIT_RANGE),
        ((("Add", "images", "a"),), (0.5,), None),
        ((("Mul", "images", "a"),), (0.0,), None),
        ((("Div", "images", "a"),), (2.0,), None),
    ],
)
def test_a_normalization_stands_before_the_first_layer(
    calls: tuple[tuple[str, str, str], ...], values: tuple[float, ...], pixels: Normalization | None
) -> None:
    made = graph(*calls, constants={"c": values})
    evidence = Evidence(path=Path("a.onnx"), graph=made, height=64, width=64, outputs={}, image="images")
    assert evidence.inner_pixels() == pixels


def test_constants_of_16_bits_and_copies_of_constants_are_read(tmp_path: Path) -> None:
    halves = helper.make_tensor("halves", TensorProto.FLOAT16, [2], [255.0, 0.5])  # as integers
    tensors = [halves, numpy_helper.from_array(np.array([0.25], np.float64), "double")]
    tensors += [numpy_helper.from_array(np.array([7], np.float32), "single")]
    nodes = [
        helper.make_node("Cast", ["single"], ["cast"], to=TensorProto.FLOAT16),
        helper.make_node("Unsqueeze", ["cast"], ["wider"]),
        helper.make_node("Neg", ["cast"], ["other"]),
    ]
    model = helper.make_model(helper.make_graph(nodes, "g", [], [], tensors))
    onnx.save(model, tmp_path / "a.onnx")
    found = dict(read_graph(tmp_path / "a.onnx").constants)
    assert found == {"halves": (255.0, 0.5), "double": (0.25,), "single": (7.0,), "cast": (7.0,), "wider": (7.0,)}


# A head that finds nothing.


def seen(path: Path, rows: np.ndarray) -> Path:
    """[1, columns, N] whose scores are near 0 unless the image is brighter than pixels of 0..1 are."""
    constants = {"boxes": rows[:, :4], "scores": rows[:, 4:], "ten": np.float32(10), "one": np.float32(1)}
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["bright"], keepdims=0),
        helper.make_node("Div", ["bright", "ten"], ["tenth"]),
        helper.make_node("Min", ["tenth", "one"], ["share"]),
        helper.make_node("Mul", ["scores", "share"], ["found"]),
        helper.make_node("Concat", ["boxes", "found"], ["output0"], axis=1),
    ]
    made = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 192, 192))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, rows.shape)],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_a_head_that_finds_objects_on_bytes_alone_is_refused(tmp_path: Path) -> None:
    path = seen(tmp_path / "v8.onnx", head(84, 0.4))
    error = refused(path)
    assert error.id == "pixels-unknown" and "0..255" in error.message
    found = inspect(CandidateConfig(name=str(path)))
    assert found.reading is None and found.layout.pixels == BYTES
    assert best(opened(path, layout=found.layout))[0] == ANSWER


# Finished rows, whose shapes say nothing of their pixels.


DARK, RED = "dark", "red"


def finished_rows(path: Path, *conditions: str, count: int = 100) -> Path:
    """[1, count, 6] with a score for all pixels; for those of 0..1 alone if DARK, for more red than blue if RED."""
    boxes, scores, labels = separate((60.0, 90.0, 120.0, 150.0), label=2, count=count)
    constants = {"boxes": boxes, "scores": scores[..., None], "labels": labels[..., None].astype(np.float32)}
    constants |= {"tenth": np.float32(0.1), "high": np.float32(1000), "one": np.float32(1), "none": np.float32(0)}
    constants |= {"balance": np.array([1, 0, -1], np.float32)[:, None, None]}
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["bright"], keepdims=0),
        helper.make_node("Mul", ["bright", "tenth"], ["share"]),
        helper.make_node("Sub", ["one", "share"], [DARK]),
        helper.make_node("Mul", ["images", "balance"], ["redder"]),
        helper.make_node("ReduceMean", ["redder"], ["balanced"], keepdims=0),
        helper.make_node("Mul", ["balanced", "high"], [RED]),
    ]
    found = "scores"
    for name in conditions:
        nodes.append(helper.make_node("Clip", [name, "none", "one"], [f"{name} or not"]))
        nodes.append(helper.make_node("Mul", [found, f"{name} or not"], [f"{found} if {name}"]))
        found = f"{found} if {name}"
    nodes.append(helper.make_node("Concat", ["boxes", found, "labels"], ["output0"], axis=2))
    made = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, (1, 3, 192, 192))],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, (1, count, 6))],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    onnx.save(helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    ("conditions", "left"), [((), ("BGR 0..1", "RGB 0..255", "BGR 0..255")), ((DARK,), ("BGR 0..1",))]
)
def test_assumed_pixels_are_part_of_the_line_and_doctor_fails(
    tmp_path: Path, conditions: tuple[str, ...], left: tuple[str, ...]
) -> None:
    path = finished_rows(tmp_path / "v10.onnx", *conditions)
    candidate = opened(path, fit="stretch")
    assert best(candidate)[::2] == (ANSWER, 2) and layout_of(candidate).pixels == UNIT_RANGE
    assert f"RGB 0..1 is assumed, not {' or '.join(left)};" in str(candidate.reading)
    assert [check.rule for check in doctor(candidate) if "pixels are scaled" in (check.broken or "")]
    given = opened(path, layout=layout_of(candidate))
    assert "assumed" not in str(given.reading)
    assert not [check.rule for check in doctor(given) if "pixels are scaled" in (check.broken or "")]


def test_pixels_are_known_where_others_find_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretodet.readings.recognize.look_images", lambda: iter([own_photograph()]))
    candidate = opened(finished_rows(tmp_path / "v10.onnx", DARK, RED), fit="stretch")
    assert layout_of(candidate).pixels == UNIT_RANGE and "assumed" not in str(candidate.reading)


def test_finished_rows_that_are_found_on_bytes_alone_are_refused(tmp_path: Path) -> None:
    rows = np.zeros((1, 100, 6), np.float32)
    rows[0, 0] = (60, 90, 120, 150, 0.4, 0)
    path = write(tmp_path / "v10.onnx", {"output0": rows}, of_bytes=True)
    error = refused(path)
    assert error.id == "pixels-unknown" and "0..255" in error.message
    assert inspect(CandidateConfig(name=str(path))).layout.pixels == BYTES


@pytest.mark.parametrize(("operator", "values"), [("Div", 255), ("Sub", MEANS)])
def test_finished_rows_are_for_the_pixels_that_the_graph_normalizes(tmp_path: Path, operator: str, values: Any) -> None:
    rows = np.zeros((1, 100, 6), np.float32)
    rows[0, 0] = (60, 90, 120, 150, 0.9, 0)
    candidate = opened(normalizing(write(tmp_path / "v10.onnx", {"output0": rows}), operator, values), fit="stretch")
    assert layout_of(candidate).pixels == (BYTES if operator == "Div" else UNIT_RANGE)
    assert "assumed" not in str(candidate.reading)


@pytest.mark.parametrize("score", [0.9, 0.0])
def test_a_head_that_finds_nothing_says_so_and_doctor_fails(tmp_path: Path, score: float) -> None:
    candidate = opened(write(tmp_path / "v8.onnx", {"output0": head(84, score)}))
    assert ("finds nothing" in str(candidate.reading)) is (score == 0)
    broken = [check.rule for check in doctor(candidate) if "finds nothing" in (check.broken or "")]
    assert len(broken) == (score == 0)


@pytest.mark.parametrize("operator", ["Div", "Sub"])
def test_a_head_that_finds_nothing_is_for_the_pixels_that_its_graph_normalizes(tmp_path: Path, operator: str) -> None:
    path = write(tmp_path / "v8.onnx", {"output0": head(84, 0.0)})
    candidate = opened(normalizing(path, operator, 255 if operator == "Div" else MEANS))
    assert layout_of(candidate).pixels == (BYTES if operator == "Div" else UNIT_RANGE)
    assert "finds nothing" in str(candidate.reading)


def test_detections_beside_a_normalization_are_known(tmp_path: Path) -> None:
    boxes, scores, labels = separate((60.0, 90.0, 120.0, 150.0), label=2)
    rows = np.concatenate((boxes, scores[..., None]), axis=2)
    path = write(tmp_path / "mm.onnx", {"dets": rows, "labels": labels})
    assert layout_of(opened(normalizing(path, "Sub", [103.53, 116.28, 123.675]))).pixels == BGR_BYTES
