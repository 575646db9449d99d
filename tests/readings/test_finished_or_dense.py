"""Finished detections and those of all cells: the number of rows is no proof of either, and the numbers tell."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from made_onnx import ANSWER, BOX, SIDE, fractions, separate, write
from opened_files import layout_of, opened
from paretodet.candidate import NetworkCandidate
from paretodet.errors import InputError
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.readings.conventions import detr, ultralytics
from paretodet.readings.evidence import Evidence
from paretodet.readings.onnx_graph import Node, OnnxGraph
from paretodet.readings.recognize import given, recognize
from paretodet.readings.tflite_graph import LITERT

CELLS = {192: 756, 640: 8400}  # of strides 8, 16 and 32, by the side of the canvas
NEAR = 6  # rows of the object, each moved by 1 px
AT = 20  # the first of them
LABEL = 3
COLUMNS = (("boxes", ("box",)), ("scores", ("score",)), ("class_idx", ("label",)))
METADATA = {"names": "{0: 'a', 1: 'b', 2: 'c', 3: 'd'}", "stride": "32", "task": "detect"}


def cells(side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Boxes [1, N, 4] xyxy, scores and labels [1, N] of every cell: faint ones, and an object that several find."""
    random, count = np.random.default_rng(0), CELLS[side]
    centers, sides = random.uniform(10, side - 10, (count, 2)), random.uniform(4, 60, (count, 2))
    boxes = np.concatenate((centers - sides / 2, centers + sides / 2), axis=1)
    scores, labels = random.uniform(0, 0.02, count), random.integers(0, 80, count)
    for index in range(NEAR):
        boxes[AT + index] = np.array(BOX) + [index, 0, index, 0]
        scores[AT + index], labels[AT + index] = 0.9 - 0.05 * index, LABEL
    return boxes[None].astype(np.float32), scores[None].astype(np.float32), labels[None]


def of_bytes(path: Path, outputs: dict[str, np.ndarray], side: int = SIDE, **options: Any) -> Path:
    return write(path, outputs, kind=TensorProto.UINT8, shape=(1, side, side, 3), **options)


def clear(candidate: NetworkCandidate, side: int = SIDE) -> list[tuple[list[int], float, int]]:
    """Box, score and label of every detection above 0.5, on an image of the canvas's size."""
    image = np.full((side, side, 3), 51, np.uint8)
    found = candidate.finish(candidate.infer(candidate.prepare([image])), torch.tensor([[side, side]]).float())
    boxes, scores, labels = (part[0].tolist() for part in found[:3])
    rows = zip(boxes, scores, labels, strict=True)
    return [([round(x) for x in box], score, label) for box, score, label in rows if score > 0.5]


def refused(path: Path, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(path, **options)
    return caught.value


ONE = [(ANSWER, pytest.approx(0.9), LABEL)]


# Rows of all cells with a score and a label.


@pytest.mark.parametrize("side", CELLS)
@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_boxes_scores_and_labels_of_all_cells_are_suppressed(tmp_path: Path, side: int, kind: type) -> None:
    boxes, scores, labels = cells(side)
    outputs = {"boxes": boxes, "scores": scores, "class_idx": labels.astype(kind)}
    candidate = opened(of_bytes(tmp_path / "dense.onnx", outputs, side))
    assert clear(candidate, side) == ONE and not layout_of(candidate).outputs.suppressed


@pytest.mark.parametrize("form", ["cxcywh", "fractions"])
def test_boxes_of_all_cells_in_another_form(tmp_path: Path, form: str) -> None:
    boxes, scores, labels = cells(640)
    centers = np.concatenate(((boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]), axis=2)
    outputs = {"boxes": centers if form == "cxcywh" else boxes / 640, "scores": scores, "class_idx": labels}
    candidate = opened(of_bytes(tmp_path / "dense.onnx", outputs, 640))
    assert clear(candidate, 640) == ONE and form in str(layout_of(candidate))


def test_dets_of_all_cells_are_suppressed(tmp_path: Path) -> None:
    boxes, scores, labels = cells(640)
    outputs = {"dets": np.concatenate((boxes, scores[..., None]), axis=2), "labels": labels}
    assert clear(opened(of_bytes(tmp_path / "mm.onnx", outputs, 640)), 640) == ONE


@pytest.mark.parametrize("one_class", [False, True])
def test_rows_of_all_cells_with_their_best_class_are_suppressed(tmp_path: Path, one_class: bool) -> None:
    boxes, scores, labels = cells(640)
    labels = labels * (not one_class)
    output = np.concatenate((boxes, scores[..., None], labels[..., None]), axis=2).astype(np.float32)
    ((box, score, label),) = clear(opened(write(tmp_path / "a.onnx", {"y": output}, shape=(1, 3, 640, 640))), 640)
    assert (box, label) == (ANSWER, 0 if one_class else LABEL) and score == pytest.approx(0.9)


def test_as_many_detections_as_cells_are_finished_if_they_are_sorted(tmp_path: Path) -> None:
    boxes, scores, labels = separate(BOX, label=LABEL, count=CELLS[SIDE])
    outputs = {"boxes": boxes, "scores": scores, "class_idx": labels}
    candidate = opened(of_bytes(tmp_path / "finished.onnx", outputs))
    assert clear(candidate) == ONE and layout_of(candidate).outputs.suppressed


def test_as_many_detections_as_cells_that_show_nothing_are_refused(tmp_path: Path) -> None:
    boxes, scores, labels = (np.roll(part, AT, axis=1) for part in separate(BOX, count=CELLS[SIDE]))
    error = refused(of_bytes(tmp_path / "open.onnx", {"boxes": boxes, "scores": scores, "class_idx": labels}))
    assert error.id == "onnx-layout" and "suppression inside" in error.message and "suppression ours" in error.message


def test_a_given_layout_that_leaves_repeated_boxes_is_refused(tmp_path: Path) -> None:
    boxes, scores, labels = cells(SIDE)
    path = of_bytes(tmp_path / "dense.onnx", {"boxes": boxes, "scores": scores, "class_idx": labels})
    layout = FileLayout(family="mine", outputs=OutputLayout(columns=COLUMNS))
    assert refused(path, layout=layout).id == "onnx-contradicted"
    layout = FileLayout(family="mine", outputs=OutputLayout(columns=COLUMNS, suppressed=False))
    assert clear(opened(path, layout=layout)) == ONE


# Finished rows and queries that are as many as the cells of one stride.

CANVASES = [(300, 320, 320), (100, 320, 320), (300, 480, 640), (500, 320, 320)]  # the last: of strides 16 and 32


def finished(count: int, labels: int, box: tuple[float, ...] = BOX, scale: float = 1.0) -> np.ndarray:
    """Rows [1, count, 6] of a box, a score and a label, sorted, of which the first is clear."""
    random = np.random.default_rng(0)
    start, size = random.uniform(0, 200, (count, 2)), random.uniform(4, 60, (count, 2))
    rows = np.zeros((1, count, 6), np.float32)
    rows[0, :, :4] = np.concatenate((start, start + size), axis=1)
    rows[0, :, 4] = np.linspace(0.04, 0.001, count)
    rows[0, :, 5] = random.integers(0, labels, count)
    rows[0, 0] = [*box, 0.9, labels - 1]
    rows[..., :4] *= scale
    return rows


@pytest.mark.parametrize(("count", "height", "width"), CANVASES)
@pytest.mark.parametrize("labels", [1, 4, 80])
def test_finished_rows_at_common_canvases(tmp_path: Path, count: int, height: int, width: int, labels: int) -> None:
    path = write(tmp_path / "end.onnx", {"output0": finished(count, labels)}, shape=(1, 3, height, width))
    layout = layout_of(opened(path))
    assert layout.family == "end-to-end YOLO" and layout.outputs.suppressed


@pytest.mark.parametrize(("count", "height", "width"), CANVASES)
@pytest.mark.parametrize("names", [METADATA["names"], "['a']", "['a', 'b']"])
def test_finished_rows_of_ultralytics_that_do_not_state_end2end(
    tmp_path: Path, count: int, height: int, width: int, names: str
) -> None:
    metadata, head = METADATA | {"names": names}, finished(count, labels=names.count("'") // 2)
    path = write(tmp_path / "v10.onnx", {"output0": head}, shape=(1, 3, height, width), metadata=metadata)
    assert layout_of(opened(path)).outputs.words == ("box", "score", "label")


@pytest.mark.parametrize("side", [96, 192])
def test_rows_of_one_class_of_a_small_yolov5_are_no_finished_ones(tmp_path: Path, side: int) -> None:
    count = 3 * sum((side // stride) ** 2 for stride in (8, 16, 32))
    random = np.random.default_rng(0)
    head = random.uniform(0, 0.02, (1, count, 6)).astype(np.float32)
    head[..., :2], head[..., 2:4] = random.uniform(0, side, (count, 2)), random.uniform(4, 30, (count, 2))
    head[0, AT, 4:] = 0.9
    metadata = METADATA | {"names": "['a']"}
    path = write(tmp_path / "v5.onnx", {"output0": head}, shape=(1, 3, side, side), metadata=metadata)
    assert "objectness" in layout_of(opened(path)).outputs.words


@pytest.mark.parametrize(("count", "height", "width"), CANVASES)
def test_queries_at_common_canvases(tmp_path: Path, count: int, height: int, width: int) -> None:
    logits = np.full((1, count, 80), -6, np.float32)
    boxes = np.random.default_rng(0).uniform(0.2, 0.4, (1, count, 4)).astype(np.float32)
    logits[0, 0, LABEL] = 2
    shape = (1, 3, height, width)
    path = write(tmp_path / "rf.onnx", {"dets": boxes, "labels": logits}, shape=shape)
    assert layout_of(opened(path)).family == "RF-DETR"
    error = refused(write(tmp_path / "detr.onnx", {"pred_boxes": boxes, "logits": logits}, shape=shape))
    assert error.id == "pixels-unknown" and "DETR" in error.message


def test_one_stride_counts_if_rows_come_from_maps(tmp_path: Path) -> None:
    head = np.zeros((1, 300, 85), np.float32)
    head[..., :4] = np.random.default_rng(0).uniform(20, 200, (300, 4))
    head[0, AT, 4:6] = 0.9
    for operators, strides in ((("Sigmoid",), (32,)), ((), None)):
        path = write(tmp_path / "one.onnx", {"output": head}, shape=(1, 3, 320, 320), operators=operators)
        if strides:
            assert layout_of(opened(path)).outputs.strides == strides
        else:
            assert refused(path).id == "onnx-layout"


def test_boxes_and_logits_from_maps_are_no_queries() -> None:
    nodes = onnx_nodes(("Conv", ["images", "w"], "maps"), ("Reshape", ["maps", "to"], "boxes"))
    shapes = {"boxes": (1, 300, 4), "logits": (1, 300, 80)}
    outputs = {name: torch.full(shape, -1.0) for name, shape in shapes.items()}
    for graph, found in ((nodes, 0), ((), 2)):
        evidence = evidence_of(outputs, OnnxGraph(metadata={}, producer="", nodes=graph, constants={}), 320)
        assert len(detr.CONVENTION.readings(evidence)) == found


def onnx_nodes(*calls: tuple[str, list[str], str]) -> tuple[Node, ...]:
    return tuple(Node(operator=name, inputs=tuple(reads), outputs=(writes,)) for name, reads, writes in calls)


def evidence_of(outputs: dict[str, torch.Tensor], graph: OnnxGraph, side: int) -> Evidence:
    return Evidence(path=Path("a.tflite"), graph=graph, height=side, width=side, outputs=outputs, image="images")


# One of several boxes.


@pytest.mark.parametrize("kind", [np.float32, np.int64])
def test_tensorflow_2_returns_boxes_before_the_suppression_too(tmp_path: Path, kind: type) -> None:
    x1, y1, x2, y2 = fractions()
    boxes, scores, labels = separate((y1, x1, y2, x2), label=1)
    outputs = {
        "detection_anchor_indices": np.arange(100, dtype=kind)[None],
        "detection_boxes": boxes,
        "detection_classes": labels.astype(np.float32),
        "detection_multiclass_scores": np.zeros((1, 100, 91), np.float32),
        "detection_scores": scores,
        "num_detections": np.full(1, 100, np.float32),
        "raw_detection_boxes": np.zeros((1, 1917, 4), np.float32),
        "raw_detection_scores": np.zeros((1, 1917, 91), np.float32),
    }
    candidate = opened(of_bytes(tmp_path / "tf2.onnx", outputs))
    assert clear(candidate) == [(ANSWER, pytest.approx(0.9), 0)]
    assert layout_of(candidate).family == "TensorFlow object detection"


def test_boxes_with_a_score_and_a_label_are_taken_where_names_say_nothing(tmp_path: Path) -> None:
    boxes, scores, labels = separate(BOX, label=LABEL)
    raw = {"a": np.zeros((1, 1917, 4), np.float32), "b": np.zeros((1, 1917, 91), np.float32)}
    assert clear(opened(of_bytes(tmp_path / "a.onnx", raw | {"c": boxes, "d": scores, "e": labels}))) == ONE
    both = {"a": boxes, "b": scores, "c": labels, "d": boxes[:, :50], "e": scores[:, :50], "f": labels[:, :50]}
    assert refused(of_bytes(tmp_path / "b.onnx", both)).id == "onnx-layout"


# Rows with a count.


def paddle(path: Path, count: int, *, factor: bool = True) -> Path:
    """Rows [3, 6] of a label, a score and a box, of which `count` are detections."""
    rows = np.array([[LABEL, 0.9, *BOX], [1, 0.8, 10, 10, 40, 40], [2, 0.7, 20, 10, 60, 40]], np.float32)
    outputs = {"multiclass_nms3_0.tmp_0": rows, "multiclass_nms3_0.tmp_2": np.array([count], np.int32)}
    write(path, outputs, kind=TensorProto.UINT8)
    if factor:
        model = onnx.load(path)
        model.graph.input.append(helper.make_tensor_value_info("scale_factor", TensorProto.FLOAT, (1, 2)))
        onnx.save(model, path)
    return path


@pytest.mark.parametrize("factor", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_rows_of_paddle_are_as_many_as_their_count_says(tmp_path: Path, count: int, factor: bool) -> None:
    candidate = opened(paddle(tmp_path / "pp.onnx", count, factor=factor))
    found = clear(candidate)
    assert found[0] == (ANSWER, pytest.approx(0.9), LABEL) and len(found) == count
    layout = layout_of(candidate)
    assert layout.family == "PaddleDetection" and layout.fit == "stretch"


def test_rows_of_a_batch_have_a_count_for_every_image(tmp_path: Path) -> None:
    rows, count = finished(100, 4), np.array([[1]], np.int64)
    rows[0, 1, 4] = 0.8  # of an earlier call
    candidate = opened(write(tmp_path / "nms.onnx", {"num": count, "output0": rows}))
    assert clear(candidate) == ONE


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1), (1,)])
def test_boxes_scores_and_labels_are_as_many_as_their_count_says(
    tmp_path: Path, shape: tuple[int, ...], count: int
) -> None:
    boxes, scores, labels = separate(BOX, label=LABEL)
    boxes[0, 1], scores[0, 1], labels[0, 1], scores[0, 2:] = (10, 10, 40, 40), 0.8, 1, -1  # behind one: of no meaning
    outputs = {"num_dets": np.full(shape, count, np.int32), "boxes": boxes, "scores": scores, "classes": labels}
    candidate = opened(of_bytes(tmp_path / "nms.onnx", outputs))
    assert clear(candidate)[:1] == ONE and len(clear(candidate)) == count
    assert ("num_dets", ("count",)) in layout_of(candidate).outputs.columns


def test_an_output_that_is_not_called_a_count_is_none(tmp_path: Path) -> None:
    outputs = dict(zip(("boxes", "scores", "class_idx"), separate(BOX, label=LABEL), strict=True))
    candidate = opened(of_bytes(tmp_path / "a.onnx", outputs | {"loss": np.zeros((1, 1), np.float32)}))
    assert clear(candidate) == ONE


@pytest.mark.parametrize(
    ("names", "known"), [(("pred_scores", "pred_classes"), True), (("scores", "pred_classes"), False)]
)
def test_boxes_of_detectron2_are_not_of_yolo_nas(tmp_path: Path, names: tuple[str, str], known: bool) -> None:
    """Both are called pred_boxes; nothing says how Detectron2's pixels are scaled."""
    boxes, scores, labels = separate(BOX, label=LABEL)
    path = write(tmp_path / "a.onnx", {"pred_boxes": boxes, names[0]: scores, names[1]: labels})
    if known:
        assert layout_of(opened(path)).fit == "letterbox"
    else:
        assert refused(path).id == "pixels-unknown"


@pytest.mark.parametrize("count", [[101.0], [0.5], [1.0, 1.0]])
def test_what_is_no_number_of_rows_is_no_count(tmp_path: Path, count: list[float]) -> None:
    outputs = {"output0": finished(100, 4), "num": np.array(count, np.float32)}
    assert refused(write(tmp_path / "odd.onnx", outputs)).id == "onnx-layout"


# LiteRT files of Ultralytics.


@pytest.mark.parametrize("scale", [1.0, 1 / 320])
@pytest.mark.parametrize("form", ["finished", "objectness"])
def test_every_form_of_ultralytics_has_both_units_in_litert(scale: float, form: str) -> None:
    head, metadata = finished(300, 4, scale=scale), METADATA
    if form == "objectness":
        random = np.random.default_rng(0)
        head = random.uniform(0, 0.02, (1, 6300, 9)).astype(np.float32)
        head[..., :4] = random.uniform(20, 60, (6300, 4)) * scale
        head[0, AT, 4:6] = 0.9
    outputs = {"out": torch.from_numpy(head)}
    graph = OnnxGraph(metadata=metadata, producer=LITERT, nodes=(), constants={})
    reading = recognize(evidence_of(outputs, graph, 320), lambda *_: outputs)
    assert reading.layout.outputs.unit == ("pixels" if scale == 1 else "fractions")
    assert reading.layout.fit == "letterbox" and (form in reading.layout.outputs.words) == (form == "objectness")
    plain = OnnxGraph(metadata=metadata, producer="pytorch", nodes=(), constants={})
    units = {each.layout.outputs.unit for each in ultralytics.CONVENTION.readings(evidence_of(outputs, plain, 320))}
    assert units == {"pixels"}


@pytest.mark.parametrize(
    ("operator", "rows", "finished"),
    [
        ("Sigmoid", 300, (True,)),
        ("Sigmoid", 8400, (False,)),
        ("Sigmoid", 1001, (False,)),
        ("NonMaxSuppression", 8400, (True,)),
        ("MulticlassNms", 8400, (True,)),  # of OpenVINO
        ("EfficientNMS_TRT", 8400, (True,)),
        ("Sigmoid", 525, (True, False)),  # cells of a canvas of 160
    ],
)
def test_what_so_many_rows_may_be(operator: str, rows: int, finished: tuple[bool, ...]) -> None:
    graph = OnnxGraph(metadata={}, producer="", nodes=onnx_nodes((operator, ["images"], "out")), constants={})
    assert evidence_of({}, graph, 160 if rows == 525 else 640).finished(rows, "out") == finished


@pytest.mark.parametrize("operator", ["NonMaxSuppression", "TFLite_Detection_PostProcess"])
def test_what_a_suppression_in_the_graph_leaves_is_its_own_affair(operator: str) -> None:
    """Such a file repeats boxes if it was exported with a high overlap."""
    outputs = dict(zip(("boxes", "scores", "class_idx"), map(torch.from_numpy, cells(SIDE)), strict=True))
    layout = FileLayout(family="mine", outputs=OutputLayout(columns=COLUMNS))
    graph = OnnxGraph(metadata={}, producer="", nodes=onnx_nodes((operator, ["images"], "boxes")), constants={})
    assert given(layout, evidence_of(outputs, graph, SIDE), lambda *_: outputs).layout == layout
    plain = OnnxGraph(metadata={}, producer="", nodes=(), constants={})
    with pytest.raises(InputError, match="onnx-contradicted"):
        given(layout, evidence_of(outputs, plain, SIDE), lambda *_: outputs)
