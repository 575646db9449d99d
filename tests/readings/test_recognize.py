"""What the outputs of a file mean: established from metadata, graph and numbers, or refused with a way out."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from made_onnx import ANSWER, BOX, CELLS, SIDE, center, fractions, rows, separate, write
from opened_files import IMAGE, best, layout_of, opened
from paretodet.detectors.labels import COCO_90, COCO_91
from paretodet.errors import InputError
from paretodet.layouts.layout import BGR_BYTES, IMAGENET, UNIT_RANGE, FileLayout, Normalization, OutputLayout
from paretodet.readings.look import contradiction


def refused(path: Path, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(path, **options)
    assert str(path) in caught.value.message
    return caught.value


def filled(first: list[float], classes: int = 1) -> np.ndarray:
    """Rows of a head: the object, and faint boxes everywhere as a network returns them."""
    random = np.random.default_rng(0)
    found = random.uniform(0, 0.02, (1, CELLS, len(first))).astype(np.float32)
    found[0, :, :2] = random.uniform(10, 180, (CELLS, 2))
    found[0, :, 2:4] = random.uniform(4, 60, (CELLS, 2))
    found[0, 0] = first
    return found


# One class with objectness: [B, N, 6] is not finished detections.


@pytest.mark.parametrize(
    ("head", "family"),
    [
        (rows([*center(), 0.95, 0.99]), "YOLOX"),
        (filled([*center(), 0.95, 0.99]), "YOLOX"),
        (np.concatenate([filled([*center(), 0.95, 0.99])] * 3, axis=1), "YOLOv5 or v7"),
    ],
)
def test_rows_of_one_class_are_no_finished_detections(tmp_path: Path, head: np.ndarray, family: str) -> None:
    candidate = opened(write(tmp_path / "one.onnx", {"output0": head}, of_bytes=family == "YOLOX"))
    box, score, label = best(candidate)
    assert (box, label) == (ANSWER, 0) and score == pytest.approx(0.95 * 0.99)
    assert layout_of(candidate).family == family


@pytest.mark.parametrize("last", [[0.9], [0.9, 0.1, 0.0], [0.01, 0.02, 0.9], [0.0] * 79 + [0.9]])
def test_rows_without_objectness_may_stand_on_their_side(tmp_path: Path, last: list[float]) -> None:
    """[B, N, 4 + K], which has the shape of [B, N, 5 + K] with a class less."""
    candidate = opened(write(tmp_path / "v8.onnx", {"output0": filled([*center(), *last])}))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), int(np.argmax(last)))
    assert layout_of(candidate).family == "YOLOv8 or later"


@pytest.mark.parametrize(("classes", "family"), [(80, "YOLOX"), (3, None)])
def test_an_objectness_without_a_class_is_no_class(tmp_path: Path, classes: int, family: str | None) -> None:
    """Of a YOLOX without its decoding, which has no object of its classes: 80 are COCO's, others leave it open."""
    path = write(tmp_path / "raw.onnx", {"output": rows([1, 1, 2, 2, 0.9, *[0.0] * classes])})
    if family is None:
        assert refused(path).id == "onnx-contradicted"
    else:
        assert layout_of(opened(path)).family == family


def test_rows_with_objectness_on_their_side_are_refused(tmp_path: Path) -> None:
    """[B, 5 + 1, N], which has the shape of a head without objectness with two classes."""
    head = filled([*center(), 0.95, 0.99]).transpose(0, 2, 1).copy()
    error = refused(write(tmp_path / "v5.onnx", {"output0": head}))
    assert error.id == "onnx-contradicted" and "as objectness would be" in error.message


@pytest.mark.parametrize("strides", [(8, 16, 32), (8, 16), (4,)])
def test_the_maps_that_rows_are_decoded_from_may_stand_beside_them(tmp_path: Path, strides: tuple[int, ...]) -> None:
    """As of a YOLOv8 that plain torch.onnx.export wrote."""
    head = filled([*center(), 0.02, 0.9]).transpose(0, 2, 1).copy()
    maps = {f"map{stride}": np.zeros((1, 66, SIDE // stride, SIDE // stride), np.float32) for stride in strides}
    path = write(tmp_path / "v8.onnx", {"output0": head, **maps})
    if strides == (8, 16, 32):
        assert best(opened(path)) == (ANSWER, pytest.approx(0.9), 1)
    else:
        assert refused(path).id == "onnx-layout"


def test_two_classes_without_objectness_are_read(tmp_path: Path) -> None:
    head = filled([*center(), 0.02, 0.9]).transpose(0, 2, 1).copy()
    assert best(opened(write(tmp_path / "v8.onnx", {"output0": head}))) == (ANSWER, pytest.approx(0.9), 1)


def test_rows_of_efficientdet_are_refused_with_their_layout(tmp_path: Path) -> None:
    x1, y1, x2, y2 = BOX
    found = rows([0, y1, x1, y2, x2, 0.9, 3], 100)
    path = write(tmp_path / "automl.onnx", {"detections": found})
    error = refused(path)
    assert error.id == "onnx-layout" and "yxyx or xywh" in error.message
    columns = (("detections", ("image", "box", "score", "label")),)
    layout = FileLayout(family="AutoML", outputs=OutputLayout(columns=columns, box="yxyx", first_label=1))
    assert best(opened(path, layout=layout)) == (ANSWER, pytest.approx(0.9), 2)


def test_finished_rows_are_still_read(tmp_path: Path) -> None:
    candidate = opened(write(tmp_path / "end.onnx", {"output0": rows([*BOX, 0.9, 3], 300)}))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 3) and layout_of(candidate).outputs.suppressed


def test_finished_rows_with_the_label_before_the_score(tmp_path: Path) -> None:
    assert best(opened(write(tmp_path / "end.onnx", {"output0": rows([*BOX, 3, 0.9], 300)}))) == (
        ANSWER,
        pytest.approx(0.9),
        3,
    )


def test_rows_whose_numbers_fit_no_order_are_refused(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "odd.onnx", {"output0": rows([120, 150, 60, 90, 0.9, 0.5], 300)}))
    assert error.id == "onnx-contradicted" and "paretodet inspect" in error.message


def test_rows_of_which_none_is_a_detection_are_refused(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "none.onnx", {"output0": np.zeros((1, 300, 6), np.float32)}))
    assert error.id == "onnx-layout" and "--layout" in error.message


# The unit and the order of boxes.


@pytest.mark.parametrize(
    ("outputs", "unit"),
    [
        ({"output0": rows([*fractions(), 0.9, 0], 100)}, "fractions"),
        ({"output0": rows([*center(scale=1 / SIDE), 0.9, 0.1]).transpose(0, 2, 1).copy()}, "fractions"),
        ({"output0": rows([*center(scale=1 / SIDE), 0.95, 0.95])}, "fractions"),
        ({"output0": rows([*center(), 0.9, 0.1]).transpose(0, 2, 1).copy()}, "pixels"),
    ],
)
def test_fractions_are_told_from_pixels(tmp_path: Path, outputs: dict[str, np.ndarray], unit: str) -> None:
    candidate = opened(write(tmp_path / "a.onnx", outputs))
    assert best(candidate)[0] == ANSWER and layout_of(candidate).outputs.unit == unit


def test_boxes_of_the_zoo_are_fractions(tmp_path: Path) -> None:
    boxes, scores, labels = separate(fractions(), label=1)
    candidate = opened(write(tmp_path / "ssd.onnx", {"bboxes": boxes, "labels": labels, "scores": scores}))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 0)


def test_a_label_of_0_contradicts_labels_from_1(tmp_path: Path) -> None:
    boxes, scores, labels = separate(fractions(), label=0)
    error = refused(write(tmp_path / "ssd.onnx", {"bboxes": boxes, "labels": labels, "scores": scores}))
    assert error.id == "pixels-unknown" and "fractions" in error.message


def test_tensorflow_puts_y_first_and_counts_from_1(tmp_path: Path) -> None:
    x1, y1, x2, y2 = fractions()
    boxes, scores, labels = separate((y1, x1, y2, x2), label=1)
    outputs = {
        "detection_boxes": boxes,
        "detection_classes": labels.astype(np.float32),
        "detection_scores": scores,
        "num_detections": np.ones(1, np.float32),
    }
    path = write(tmp_path / "tf.onnx", outputs, kind=TensorProto.UINT8, shape=(1, SIDE, SIDE, 3))
    assert best(opened(path)) == (ANSWER, pytest.approx(0.9), 0)


# Other layouts.


@pytest.mark.parametrize("classes", [1, 80])
def test_rows_of_yolox_are_decoded_if_the_graph_does_not(tmp_path: Path, classes: int) -> None:
    raw = np.zeros((1, CELLS, 5 + classes), np.float32)
    raw[0, :, 2:4] = -1.5
    row, column = 14, 11  # of the cells of stride 8: (90 - 112) / 8 would be before the cell, so center in cell units
    raw[0, row * 24 + column, :6] = [90 / 8 - column, 120 / 8 - row, np.log(60 / 8), np.log(60 / 8), 0.95, 0.99]
    for operators in ((), ("Sigmoid",)):
        candidate = opened(write(tmp_path / "yolox.onnx", {"output": raw}, operators=operators, of_bytes=True))
        box, score, label = best(candidate)
        assert (box, label) == (ANSWER, 0) and score == pytest.approx(0.95 * 0.99)
        layout = layout_of(candidate)
        assert (layout.outputs.coding, layout.pixels, layout.fit) == ("grid", BGR_BYTES, "letterbox-corner")
    error = refused(write(tmp_path / "decoded.onnx", {"output": raw}, operators=("Exp",)))
    assert error.id == "onnx-contradicted"


def test_yolox_that_finds_objects_on_pixels_of_0_to_1_reads_normalized_ones(tmp_path: Path) -> None:
    head = np.zeros((1, CELLS, 85), np.float32)
    head[0, :, 2:4] = -1.5
    head[0, 14 * 24 + 11, :6] = [90 / 8 - 11, 120 / 8 - 14, np.log(60 / 8), np.log(60 / 8), 0.95, 0.99]
    for of_bytes, pixels in ((False, IMAGENET), (True, BGR_BYTES)):
        candidate = opened(write(tmp_path / "yolox.onnx", {"output": head}, operators=("Sigmoid",), of_bytes=of_bytes))
        assert layout_of(candidate).pixels == pixels and best(candidate)[0] == ANSWER


def renamed(path: Path, name: str) -> Path:
    """The file with another name of its input."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.input[:] = [name if each == "images" else each for each in node.input]
    model.graph.input[0].name = name
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("operators", [(), ("Sigmoid",), ("Exp", "Sigmoid"), ("Softmax",)])
@pytest.mark.parametrize("objectness", [1.0, 0.95])
def test_yolov6_decodes_and_reads_pixels_of_0_to_1(
    tmp_path: Path, operators: tuple[str, ...], objectness: float
) -> None:
    head = filled([*center(), objectness, 0.9, 0.1], 2)
    head[0, :, 4] = 1 if objectness == 1 else head[0, :, 4]
    path = write(tmp_path / "v6.onnx", {"outputs": head}, operators=operators)
    candidate = opened(path if objectness == 1 else renamed(path, "image_arrays"))
    assert best(candidate) == (ANSWER, pytest.approx(0.9 * objectness), 0)
    layout = layout_of(candidate)
    assert (layout.family, layout.pixels, layout.fit) == ("YOLOv6", UNIT_RANGE, "letterbox")


def test_rf_detr_has_logits(tmp_path: Path) -> None:
    logits = np.full((1, 300, 91), -6, np.float32)
    logits[0, 0, 17] = 2
    boxes = np.full((1, 300, 4), 0.5, np.float32)
    boxes[0, 0] = center(scale=1 / SIDE)
    box, score, label = best(opened(write(tmp_path / "rf.onnx", {"dets": boxes, "labels": logits})))
    assert (box, label) == (ANSWER, 17) and score == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize("softmax", [False, True])
def test_a_detr_that_does_not_say_how_pixels_are_scaled_is_refused(tmp_path: Path, softmax: bool) -> None:
    logits = np.full((1, 100, 92), -6, np.float32)
    logits[0, :, 91] = 6 if softmax else -6
    logits[0, 0, 17], logits[0, 0, 91] = 3, -6
    boxes = np.full((1, 100, 4), 0.5, np.float32)
    error = refused(write(tmp_path / "detr.onnx", {"pred_boxes": boxes, "logits": logits}))
    assert error.id == "pixels-unknown" and ("softmax" in error.message) is softmax


def deployed(path: Path, kernel: int) -> Path:
    """A detector of DETR's kin as deployed, whose first convolution has a kernel of so many pixels; none of 0."""
    boxes, scores, labels = separate(BOX, label=2)
    path = write(path, {"labels": labels, "boxes": boxes, "scores": scores}, operators=("Sigmoid",) if kernel else ())
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, (1, 2)))
    for node in (node for node in model.graph.node if node.op_type == "Conv"):
        node.attribute.append(helper.make_attribute("kernel_shape", [kernel, kernel]))
        weights = next(each for each in model.graph.initializer if each.name == "weights")
        weights.CopyFrom(numpy_helper.from_array(np.zeros((1, 3, kernel, kernel), np.float32), "weights"))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize(("kernel", "pixels"), [(16, IMAGENET), (14, IMAGENET), (3, UNIT_RANGE), (7, UNIT_RANGE)])
def test_a_detr_as_deployed_on_patches_reads_normalized_pixels(
    tmp_path: Path, kernel: int, pixels: Normalization
) -> None:
    """As of DEIMv2: its sizes S to X are on DINOv3, with patches of 16x16, and the smaller ones on HGNetv2."""
    assert layout_of(opened(deployed(tmp_path / "deim.onnx", kernel))).pixels == pixels


@pytest.mark.parametrize("kernel", [0, 10])
def test_a_detr_as_deployed_on_another_backbone_is_refused(tmp_path: Path, kernel: int) -> None:
    assert refused(deployed(tmp_path / "deim.onnx", kernel)).id == "pixels-unknown"


def test_mmdeploy_is_refused_until_the_scaling_of_pixels_is_given(tmp_path: Path) -> None:
    boxes, scores, labels = separate(BOX, label=2)
    path = write(tmp_path / "mm.onnx", {"dets": np.concatenate((boxes, scores[..., None]), axis=2), "labels": labels})
    assert refused(path).id == "pixels-unknown"
    outputs = OutputLayout(columns=(("dets", ("box", "score")), ("labels", ("label",))))
    layout = FileLayout(family="RTMDet", outputs=outputs, pixels=Normalization(std=(1.0, 1.0, 1.0)))
    candidate = opened(path, layout=layout)
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 2)
    swapped = FileLayout(family="RTMDet", outputs=OutputLayout(columns=outputs.columns, box="yxyx", unit="fractions"))
    assert refused(path, layout=swapped).id == "onnx-contradicted"


def test_ultra_light_has_a_background_and_fractions(tmp_path: Path) -> None:
    scores = np.tile(np.array([0.99, 0.01], np.float32), (1, CELLS, 1))
    scores[0, 5] = [0.1, 0.9]
    boxes = np.tile(np.array([0.1, 0.1, 0.2, 0.2], np.float32), (1, CELLS, 1))
    boxes[0, 5] = fractions()
    candidate = opened(write(tmp_path / "face.onnx", {"scores": scores, "boxes": boxes}))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 0) and candidate.labels == ("face",)
    assert layout_of(candidate).pixels == Normalization(mean=(127.0,) * 3, std=(128.0,) * 3)


@pytest.mark.parametrize("scale", [1.0, 1 / SIDE])
def test_dense_corners_with_scores(tmp_path: Path, scale: float) -> None:
    boxes, scores = np.zeros((1, CELLS, 4), np.float32), np.zeros((1, CELLS, 80), np.float32)
    boxes[0] = [10 * scale, 10 * scale, 30 * scale, 40 * scale]
    boxes[0, 3], scores[0, 3, 7] = [side * scale for side in BOX], 0.9
    candidate = opened(write(tmp_path / "nas.onnx", {"graph2_boxes": boxes, "graph2_scores": scores}))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 7) and layout_of(candidate).outputs.box == "xyxy"


def test_yunet_joins_three_strides(tmp_path: Path) -> None:
    outputs = {}
    for stride in (8, 16, 32):
        cells = (SIDE // stride) ** 2
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{kind}_{stride}"] = np.zeros((1, cells, width), np.float32)
    row, column = 7, 5  # of stride 16
    index = row * 12 + column
    outputs["cls_16"][0, index], outputs["obj_16"][0, index] = 0.9, 0.4
    outputs["bbox_16"][0, index] = [90 / 16 - column, 120 / 16 - row, np.log(60 / 16), np.log(60 / 16)]
    box, score, _ = best(opened(write(tmp_path / "yunet.onnx", outputs)))
    assert box == ANSWER and score == pytest.approx(0.6)


def test_nanodet_has_a_distribution_for_each_side(tmp_path: Path) -> None:
    head = np.zeros((1, CELLS, 80 + 32), np.float32)
    head[0, :, 80:] = np.random.default_rng(0).uniform(-3, 3, (CELLS, 32))
    row, column = 3, 2  # of stride 32: the point (80, 112)
    index = 576 + 144 + row * 6 + column
    head[0, index, :80], head[0, index, 80:] = 0, -50
    head[0, index, 5] = 0.8
    for side, distance in enumerate((1, 1, 2, 1)):
        head[0, index, 80 + side * 8 + distance] = 50
    candidate = opened(write(tmp_path / "nano.onnx", {"output": head}))
    assert best(candidate) == ([48, 80, 144, 144], pytest.approx(0.8), 5)
    assert layout_of(candidate).pixels.channels == "bgr"


@pytest.mark.parametrize("classes", [53, 80])
def test_a_head_that_finds_an_object_in_every_cell_is_none(classes: int) -> None:
    """As a YOLOX whose objectness is lost in its quantization, taken for a NanoDet."""
    head = torch.full((1, CELLS, classes + 32), 0.5)
    columns = (("output", ("classes", "bins*32")),)
    outputs = OutputLayout(columns=columns, coding="distances", strides=(8, 16, 32), suppressed=False)
    layout = FileLayout(family="NanoDet", outputs=outputs)
    assert f"all {CELLS} rows" in str(contradiction({"output": head}, layout, (SIDE, SIDE)))
    head[0, 0, :classes] = 0
    assert contradiction({"output": head}, layout, (SIDE, SIDE)) is None


def test_a_head_of_three_strides_needs_its_scaling_of_pixels(tmp_path: Path) -> None:
    outputs = {}
    for kind, width in (("cls", 80), ("reg", 32)):
        outputs |= {f"{kind}{s}": np.zeros((1, (SIDE // s) ** 2, width), np.float32) for s in (8, 16, 32)}
    outputs["cls16"][0, 5, 3] = 0.9
    assert refused(write(tmp_path / "gfl.onnx", outputs)).id == "pixels-unknown"
    plain = {name: value[0] for name, value in outputs.items()}
    bare = opened(write(tmp_path / "nano.onnx", plain, producer="pytorch"))
    assert best(bare)[1:] == (pytest.approx(0.9), 3) and layout_of(bare).pixels.channels == "bgr"
    named = {name.replace("cls", "cls_pred_").replace("reg", "dis_pred_"): value for name, value in outputs.items()}
    candidate = opened(write(tmp_path / "nano.onnx", named))
    assert best(candidate)[1:] == (pytest.approx(0.9), 3) and layout_of(candidate).family == "NanoDet"


def test_ultra_light_without_post_processing_has_codes_of_priors(tmp_path: Path) -> None:
    cells = [(SIDE // 8) ** 2 * 3, (SIDE // 16) ** 2 * 2, (SIDE // 32) ** 2 * 2, (SIDE // 64) ** 2 * 3]
    scores = np.tile(np.array([0.99, 0.01], np.float32), (1, sum(cells), 1))
    index = cells[0] + (7 * 12 + 5) * 2 + 1  # of the prior of 48 px around (88, 120)
    scores[0, index] = [0.1, 0.9]
    boxes = np.random.default_rng(0).normal(0, 0.5, (1, sum(cells), 4)).astype(np.float32)
    boxes[0, index] = [2 / 4.8, 0, np.log(60 / 48) / 0.2, np.log(60 / 48) / 0.2]
    for operators in ((), ("Softmax",)):
        candidate = opened(write(tmp_path / "face.onnx", {"scores": scores, "boxes": boxes}, operators=operators))
        assert best(candidate)[0] == ANSWER and layout_of(candidate).outputs.coding == "priors"


def test_the_first_yunet_joins_scores_and_overlaps(tmp_path: Path) -> None:
    cells = [(SIDE // 8) ** 2 * 3, (SIDE // 16) ** 2 * 2, (SIDE // 32) ** 2 * 2, (SIDE // 64) ** 2 * 3]
    loc, iou = np.zeros((sum(cells), 14), np.float32), np.full((sum(cells), 1), -0.2, np.float32)
    conf = np.tile(np.array([0.99, 0.01], np.float32), (sum(cells), 1))
    index = cells[0] + (7 * 12 + 5) * 2 + 1
    loc[index, :4] = [2 / 4.8, 0, np.log(60 / 48) / 0.1, np.log(60 / 48) / 0.2]
    conf[index], iou[index] = [0.1, 0.9], 0.4
    box, score, _ = best(opened(write(tmp_path / "yunet.onnx", {"loc": loc, "conf": conf, "iou": iou})))
    assert box == ANSWER and score == pytest.approx(0.6)


def test_blazeface_has_shares_of_priors_and_averages_what_it_suppresses(tmp_path: Path) -> None:
    codes, logits = np.zeros((1, 896, 16), np.float32), np.full((1, 896, 1), -8, np.float32)
    first, second = (4 * 16 + 4) * 2, 512 + (2 * 8 + 2) * 6  # points (36, 36) of stride 8 and (40, 40) of stride 16
    codes[0, :, 2:4] = 10
    codes[0, first, :4], codes[0, second, :4] = [0, 0, 40, 40], [-4, -4, 48, 40]
    logits[0, first], logits[0, second] = np.log(3), np.log(1.5)  # scores of 0.75 and 0.6
    box = np.average([[16, 16, 56, 56], [12, 16, 60, 56]], axis=0, weights=[0.75, 0.6])
    strides = {"a": codes[:, :512], "b": codes[:, 512:], "c": logits[:, :512], "d": logits[:, 512:]}
    for outputs in ({"codes": codes, "scores": logits}, strides):
        candidate = opened(write(tmp_path / "face.onnx", outputs, shape=(1, 3, 128, 128)))
        found = candidate.finish(candidate.infer(candidate.prepare([IMAGE])), torch.tensor([[128, 128]]).float())
        assert found.boxes[0, 0].tolist() == pytest.approx(box.tolist(), abs=1e-3)
        assert found.scores[0, :2].tolist() == [pytest.approx(0.75), 0] and candidate.labels == ("face",)


@pytest.mark.parametrize("classes", [80, 20])
@pytest.mark.parametrize("joined", [False, True])
def test_yolo_fastestv2_has_the_anchors_of_coco_only(tmp_path: Path, classes: int, joined: bool) -> None:
    heads = [np.full((15 + classes, side, side), -9, np.float32) for side in (22, 11)]
    heads[1][:12, 3, 5] = 0  # sigmoid 0.5: the middle of the cell at (160, 96), with the sides of the anchor
    heads[1][13, 3, 5], heads[1][15 + 7, 3, 5] = 9, 9  # the second anchor
    parts = [part for head in heads for part in np.split(head[None], [12, 15], axis=1)]
    outputs = {f"map{index}": part for index, part in enumerate(parts)}
    if joined:
        rows = np.concatenate([head.reshape(len(head), -1) for head in heads], axis=1).T
        decoded = 1 / (1 + np.exp(-rows))
        decoded[:, 15:] = np.exp(rows[:, 15:]) / np.exp(rows[:, 15:]).sum(axis=1, keepdims=True)
        outputs = {"joined": decoded}
    path = write(tmp_path / "v2.onnx", outputs, shape=(1, 3, 352, 352), operators=("Sigmoid", "Softmax"))
    if classes != 80:
        assert refused(path).id == "onnx-layout"
        return
    candidate = opened(path)
    found = candidate.finish(candidate.infer(candidate.prepare([IMAGE])), torch.tensor([[352, 352]]).float())
    expected = [176 - 131.57 / 2, 112 - 214.55 / 2, 176 + 131.57 / 2, 112 + 214.55 / 2]
    assert found.boxes[0, 0].tolist() == pytest.approx(expected, abs=1e-2) and int(found.labels[0, 0]) == 7


def test_rows_whose_output_states_its_columns(tmp_path: Path) -> None:
    head = np.array([[0, 3, 0.9, *BOX]], np.float32)
    path = write(tmp_path / "rows.onnx", {"batchno_classid_score_x1y1x2y2": head})
    assert refused(path).id == "pixels-unknown"
    columns = (("batchno_classid_score_x1y1x2y2", ("image", "label", "score", "box")),)
    layout = FileLayout(family="rows", outputs=OutputLayout(columns=columns), pixels=BGR_BYTES)
    assert best(opened(path, layout=layout)) == (ANSWER, pytest.approx(0.9), 3)


def test_rapidlayout_names_its_classes_in_character(tmp_path: Path) -> None:
    outputs = {}
    for kind, width in (("cls", 2), ("tmp_", 32)):
        outputs |= {f"{kind}{s}": np.zeros((1, (SIDE // s) ** 2, width), np.float32) for s in (8, 16, 32, 64)}
    outputs["cls16"][0, 5, 1] = 0.9
    candidate = opened(write(tmp_path / "pico.onnx", outputs, metadata={"character": "text\ntitle"}))
    assert candidate.labels == ("text", "title") and layout_of(candidate).family == "PicoDet"


def test_scrfd_has_two_anchors_a_cell(tmp_path: Path) -> None:
    outputs = {}
    for kind, width in (("score", 1), ("bbox", 4), ("kps", 10)):
        outputs |= {f"{kind}_{s}": np.zeros(((SIDE // s) ** 2 * 2, width), np.float32) for s in (8, 16, 32)}
    index = (7 * 12 + 6) * 2 + 1  # the point (96, 112) of stride 16
    outputs["score_16"][index] = 0.9
    outputs["bbox_16"][index] = [36 / 16, 22 / 16, 24 / 16, 38 / 16]
    assert best(opened(write(tmp_path / "scrfd.onnx", outputs))) == (ANSWER, pytest.approx(0.9), 0)


def test_fastestdet_is_one_map(tmp_path: Path) -> None:
    head = np.zeros((1, 7, SIDE // 16, SIDE // 16), np.float32)
    row, column = 7, 5  # the cell at (80, 112)
    head[0, 0, row, column], head[0, 6, row, column] = 0.9, 0.8
    share = 60 / SIDE
    head[0, 1:5, row, column] = [np.arctanh(10 / 16), np.arctanh(0.5), *[np.log(share / (1 - share))] * 2]
    candidate = opened(write(tmp_path / "fastest.onnx", {"758": head}, operators=("Sigmoid", "Softmax")))
    assert best(candidate) == (ANSWER, pytest.approx(0.9**0.6 * 0.8**0.4), 1)


def test_the_metadata_of_ultralytics(tmp_path: Path) -> None:
    metadata = {"names": "{0: 'cat', 1: 'dog'}", "stride": "32", "task": "detect"}
    head = rows([*center(), 0.1, 0.9]).transpose(0, 2, 1).copy()
    candidate = opened(write(tmp_path / "v8.onnx", {"output0": head}, metadata=metadata))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 1) and candidate.labels == ("cat", "dog")
    facts = candidate.facts()
    assert dict(facts.runtime_settings)["layout"].startswith("read as Ultralytics") and facts.classes == 2
    transposed = rows([*center(scale=1 / SIDE), 0.1, 0.9], 300)
    detr = opened(write(tmp_path / "rtdetr.onnx", {"output0": transposed}, metadata=metadata))
    assert best(detr)[0] == ANSWER and layout_of(detr).fit == "stretch"
    small = opened(write(tmp_path / "v8.onnx", {"output0": head}, metadata=metadata | {"imgsz": "[192, 192]"}))
    assert best(small)[0] == ANSWER
    fraction = rows([*center(scale=1 / SIDE), 0.1, 0.9]).transpose(0, 2, 1).copy()
    error = refused(write(tmp_path / "other.onnx", {"output0": fraction}, metadata=metadata))
    assert error.id == "onnx-contradicted" and "fractions" in error.message


def test_metadata_that_contradict_the_outputs_are_refused(tmp_path: Path) -> None:
    metadata = {"names": "['cat', 'dog', 'cow']", "stride": "32"}
    head = rows([*center(), 0.1, 0.9]).transpose(0, 2, 1).copy()
    error = refused(write(tmp_path / "v8.onnx", {"output0": head}, metadata=metadata))
    assert error.id == "onnx-contradicted" and "3 classes" in error.message
    error = refused(write(tmp_path / "bad.onnx", {"output0": head}, metadata={"names": "[", "stride": "32"}))
    assert error.id == "onnx-layout" and "names" in error.message and "--layout" in error.message


TASKS = [("obb", "oriented boxes"), ("pose", "pose"), ("segment", "segmentation"), ("classify", "classification")]


@pytest.mark.parametrize(("task", "words"), TASKS)
def test_another_task_is_named(tmp_path: Path, task: str, words: str) -> None:
    metadata = {"names": "{0: 'cat'}", "stride": "32", "task": task}
    error = refused(write(tmp_path / "task.onnx", {"output0": np.zeros((1, 6, CELLS), np.float32)}, metadata=metadata))
    assert error.id == "onnx-task" and words in error.message


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        ({"logits": np.zeros((1, 1000), np.float32)}, "classification"),
        ({"maps": np.zeros((1, 1, SIDE, SIDE), np.float32)}, "text detection"),
        ({"out": np.zeros((1, 37, CELLS), np.float32), "protos": np.zeros((1, 32, 48, 48), np.float32)}, "masks"),
    ],
)
def test_another_task_is_seen(tmp_path: Path, outputs: dict[str, np.ndarray], words: str) -> None:
    error = refused(write(tmp_path / "task.onnx", outputs))
    assert error.id == "onnx-task" and words in error.message


def test_an_unknown_layout_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    error = refused(write(tmp_path / "odd.onnx", {"heat": np.zeros((1, 80, 16, 16), np.float32)}))
    assert error.id == "onnx-layout"
    assert all(
        part in error.message for part in ("heat [1, 80, 16, 16]", "paretodet inspect", "--layout", "module:make")
    )


def normalizing(path: Path) -> Path:
    """The file with a graph that subtracts the mean of pixels of 0..1."""
    model = onnx.load(path)
    mean = np.array([0.485, 0.456, 0.406], np.float32).reshape(3, 1, 1)
    model.graph.initializer.append(numpy_helper.from_array(mean, "mean_of_pixels"))
    model.graph.node.insert(1, helper.make_node("Sub", ["pixels", "mean_of_pixels"], ["less"]))
    for node in model.graph.node[2:]:
        node.input[:] = ["less" if name == "pixels" else name for name in node.input]
    onnx.save(model, path)
    return path


def test_scaling_inside_the_graph_is_known(tmp_path: Path) -> None:
    boxes, scores, labels = separate(BOX, label=2)
    path = write(tmp_path / "net.onnx", {"boxes": boxes, "labels": labels, "scores": scores})
    assert refused(path).id == "pixels-unknown"
    candidate = opened(normalizing(path))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 2) and layout_of(candidate).pixels == UNIT_RANGE


def of_any_length(path: Path) -> Path:
    """The file with only those rows of its outputs whose score is not 0."""
    model = onnx.load(path)
    for node in model.graph.node:
        node.output[:] = [f"all_{name}" if name in ("boxes", "scores", "labels") else name for name in node.output]
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1], np.int64), "flat"))
    model.graph.node.append(helper.make_node("NonZero", ["all_scores"], ["places"]))
    model.graph.node.append(helper.make_node("Reshape", ["places", "flat"], ["kept"]))
    for name in ("boxes", "scores", "labels"):
        model.graph.node.append(helper.make_node("Gather", [f"all_{name}", "kept"], [name]))
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("coco", [False, True])
@pytest.mark.parametrize("shape", [(1, 3, SIDE, SIDE), (3, SIDE, SIDE)])
def test_labels_of_torchvision_count_from_1(tmp_path: Path, shape: tuple[int, ...], coco: bool) -> None:
    """Its graph normalizes, and returns any number of detections of one image. Of 91 classes, they are COCO's ids."""
    outputs = {name: part[0] for name, part in zip(("boxes", "scores", "labels"), separate(BOX, label=13), strict=True)}
    path = of_any_length(normalizing(write(tmp_path / "tv.onnx", outputs, open_length=True, shape=shape)))
    if coco:
        model = onnx.load(path)
        for size in (91, 364):
            model.graph.initializer.append(numpy_helper.from_array(np.zeros((size, 2), np.float32), f"of_{size}"))
        onnx.save(model, path)
    candidate = opened(path)
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 12)
    assert candidate.labels == (COCO_90 if coco else ()) and COCO_90[12] == "stop sign"
    assert layout_of(candidate).family == "torchvision"


def test_a_triple_of_a_fixed_length_does_not_count_as_torchvision(tmp_path: Path) -> None:
    outputs = {name: part[0] for name, part in zip(("boxes", "scores", "labels"), separate(BOX, label=2), strict=True)}
    assert best(opened(normalizing(write(tmp_path / "net.onnx", outputs))))[2] == 2


@pytest.mark.parametrize(("classes", "names"), [(91, COCO_91), (80, ())])
def test_a_detr_of_91_classes_has_the_ids_of_coco(tmp_path: Path, classes: int, names: tuple[str | None, ...]) -> None:
    logits, boxes = np.full((1, 100, classes), -6, np.float32), np.full((1, 100, 4), 0.5, np.float32)
    logits[0, 0, 18], boxes[0, 0] = 2, center(scale=1 / SIDE)
    candidate = opened(write(tmp_path / "rf.onnx", {"dets": boxes, "labels": logits}))
    assert best(candidate)[2] == 18 and candidate.labels == names
    assert COCO_91[18] == "dog"


@pytest.mark.parametrize(("count", "fits"), [(1, False), (2, True), (3, False)])
def test_names_of_another_number_than_the_columns_are_refused(tmp_path: Path, count: int, fits: bool) -> None:
    path = write(tmp_path / "v8.onnx", {"output0": rows([*center(), 0.1, 0.9]).transpose(0, 2, 1).copy()})
    names = ("cat", "dog", "cow")[:count]
    if fits:
        assert opened(path, labels=names).labels == names
    else:
        error = refused(path, labels=names)
        assert error.id == "option-value" and error.message.startswith(f"labels: got {count} names")
