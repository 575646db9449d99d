"""What metadata of others state: pixels by ONNX's own keys, OTX's model_info, names of classes, and files beside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_onnx import ANSWER, BOX, SIDE, center, fractions, rows, separate, write
from opened_files import best, layout_of, opened
from paretodet.errors import InputError
from paretodet.layouts.layout import BGR_BYTES, IMAGENET, UNIT_RANGE, Normalization
from paretodet.onnx_references import model_hash
from paretodet.readings.class_names import parsed, stated_names

V8 = rows([*center(), 0.1, 0.9]).transpose(0, 2, 1).copy()
FORMAT, RANGE = "Image.BitmapPixelFormat", "Image.NominalPixelRange"


def refused(path: Path, **options: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        opened(path, **options)
    assert str(path) in caught.value.message
    return caught.value


def custom_vision(path: Path, **metadata: str) -> Path:
    boxes, scores, labels = (part[0] for part in separate(fractions(), label=1))
    outputs = {"detected_boxes": boxes, "detected_classes": labels, "detected_scores": scores}
    keys = {"order": FORMAT, "range": RANGE}
    return write(path, outputs, metadata={keys.get(key, key): value for key, value in metadata.items()})


@pytest.mark.parametrize(
    ("metadata", "pixels"),
    [
        ({"order": "Bgr8", "range": "NominalRange_0_255"}, BGR_BYTES),
        ({"order": "Rgb8", "range": "Normalized_0_1"}, UNIT_RANGE),
        ({"range": "Normalized_1_1"}, Normalization(mean=(127.5,) * 3, std=(127.5,) * 3)),
    ],
)
def test_onnx_has_keys_for_the_pixels_of_an_image(
    tmp_path: Path, metadata: dict[str, str], pixels: Normalization
) -> None:
    candidate = opened(custom_vision(tmp_path / "cv.onnx", **metadata))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 1) and layout_of(candidate).pixels == pixels


@pytest.mark.parametrize("metadata", [{}, {"order": "Bgr8"}])
def test_a_range_that_is_not_stated_is_asked_for(tmp_path: Path, metadata: dict[str, str]) -> None:
    assert refused(custom_vision(tmp_path / "cv.onnx", **metadata)).id == "pixels-unknown"


@pytest.mark.parametrize(("key", "value"), [("order", "Gray8"), ("range", "NominalRange_16_235")])
def test_pixels_that_are_stated_and_not_known_are_refused(tmp_path: Path, key: str, value: str) -> None:
    error = refused(custom_vision(tmp_path / "cv.onnx", **{"range": "Normalized_0_1", key: value}))
    assert error.id == "onnx-layout" and value in error.message and "--layout" in error.message


def test_the_order_of_channels_that_a_yolo_states(tmp_path: Path) -> None:
    path = write(tmp_path / "v8.onnx", {"output0": V8}, metadata={FORMAT: "Bgr8"})
    assert layout_of(opened(path)).pixels == Normalization(channels="bgr")


def otx(path: Path, **info: str) -> Path:
    boxes, scores, labels = separate(BOX, label=1)
    outputs = {"boxes": np.concatenate((boxes, scores[..., None]), axis=2), "labels": labels}
    return write(path, outputs, metadata={f"model_info {key}": value for key, value in info.items()})


OTX = {"labels": "cat dog", "mean_values": "0.0 0.0 0.0", "scale_values": "255.0 255.0 255.0"}
OTX |= {"reverse_input_channels": "True", "resize_type": "fit_to_window", "pad_value": "7"}


def test_otx_writes_model_info_with_a_space(tmp_path: Path) -> None:
    assert refused(otx(tmp_path / "bare.onnx")).id == "pixels-unknown"
    candidate = opened(otx(tmp_path / "otx.onnx", **OTX))
    layout = layout_of(candidate)
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 1) and candidate.labels == ("cat", "dog")
    assert (layout.pixels, layout.fit, layout.fill) == (UNIT_RANGE, "letterbox-corner", 7)
    assert "assumed" not in candidate.doubt


def test_a_resizing_that_is_not_known_is_refused(tmp_path: Path) -> None:
    error = refused(otx(tmp_path / "otx.onnx", **OTX | {"resize_type": "crop"}))
    assert error.id == "onnx-layout" and "resize_type" in error.message and "crop" in error.message


# Names of classes.


def test_names_alone_are_not_ultralytics(tmp_path: Path) -> None:
    """A YOLOX whose user wrote its names into it."""
    path = write(
        tmp_path / "yolox.onnx",
        {"output": rows([*center(), 0.95, 0.1, 0.99])},
        metadata={"names": "['cat', 'dog']"},
        of_bytes=True,
    )
    candidate = opened(path)
    assert best(candidate) == (ANSWER, pytest.approx(0.95 * 0.99), 1) and candidate.labels == ("cat", "dog")
    layout = layout_of(candidate)
    assert (layout.family, layout.pixels, layout.fit) == ("YOLOX", BGR_BYTES, "letterbox-corner")


@pytest.mark.parametrize("task", ["detect", "detection", "object-detection", "Object_Detection"])
def test_the_task_of_detection_has_several_names(tmp_path: Path, task: str) -> None:
    metadata = {"names": "['cat', 'dog']", "stride": "32", "task": task}
    candidate = opened(write(tmp_path / "v8.onnx", {"output0": V8}, metadata=metadata))
    assert layout_of(candidate).family.startswith("Ultralytics") and candidate.labels == ("cat", "dog")


@pytest.mark.parametrize(
    ("key", "value", "labels"),
    [
        ("names", "cat,dog", ("cat", "dog")),
        ("classes", "cat\ndog", ("cat", "dog")),
        ("labels", '{"0": "cat", "1": "dog"}', ("cat", "dog")),
        ("class_names", "['cat', 'dog']", ("cat", "dog")),
        ("id2label", "{1: 'dog'}", (None, "dog")),
        ("classes", "['cat', 'dog', 'cow']", ()),
        ("classes", "2", ()),
    ],
)
def test_names_under_other_keys(tmp_path: Path, key: str, value: str, labels: tuple[str | None, ...]) -> None:
    assert opened(write(tmp_path / "v8.onnx", {"output0": V8}, metadata={key: value})).labels == labels


def test_names_that_count_from_1_belong_to_labels_that_do(tmp_path: Path) -> None:
    boxes, scores, labels = separate(fractions(), label=2)
    outputs = {"bboxes": boxes, "labels": labels, "scores": scores}
    candidate = opened(write(tmp_path / "ssd.onnx", outputs, metadata={"classes": "{1: 'cat', 2: 'dog'}"}))
    assert best(candidate)[2] == 1 and candidate.labels == ("cat", "dog")


@pytest.mark.parametrize(
    "text", ["", "80", "cat", "[1, 2]", "{'a': 'b'}", "{0: 'cat', 200000: 'dog'}", "[[]]", "a,,b", "[a, b"]
)
def test_what_holds_no_names(text: str) -> None:
    assert parsed(text) == () and stated_names({"classes": text}) == ()


# Files beside.


def detr(path: Path) -> Path:
    logits, boxes = np.full((1, 100, 2), -6, np.float32), np.full((1, 100, 4), 0.5, np.float32)
    logits[0, 0, 1], boxes[0, 0] = 2, center(scale=1 / SIDE)
    return write(path, {"pred_boxes": boxes, "logits": logits})


PROCESSOR = {"image_processor_type": "RTDetrImageProcessor", "size": {"height": SIDE, "width": SIDE}}


@pytest.mark.parametrize(
    ("fields", "pixels"),
    [
        ({}, IMAGENET),
        ({"do_normalize": False}, UNIT_RANGE),
        ({"image_mean": [0.5] * 3, "image_std": [0.5] * 3}, Normalization(mean=(127.5,) * 3, std=(127.5,) * 3)),
    ],
)
def test_an_image_processor_beside_it_states_pixels_and_size(
    tmp_path: Path, fields: dict[str, Any], pixels: Normalization
) -> None:
    path = detr(tmp_path / "model.onnx")
    assert refused(path).id == "pixels-unknown"
    before = model_hash(path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | fields))
    (tmp_path / "config.json").write_text(json.dumps({"id2label": {"0": "cat", "1": "dog"}}))
    candidate = opened(path)
    assert best(candidate)[2] == 1 and candidate.labels == ("cat", "dog") and model_hash(path) != before
    layout = layout_of(candidate)
    assert layout.pixels == pixels and layout.fit == "stretch" and "assumed" not in candidate.doubt


def test_an_image_processor_of_another_size_leaves_the_fit_open(tmp_path: Path) -> None:
    path = detr(tmp_path / "model.onnx")
    short = {"size": {"shortest_edge": 800, "longest_edge": 1333}}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | short))
    assert "stretch is assumed" in opened(path).doubt


@pytest.mark.parametrize("text", ["{", json.dumps(PROCESSOR | {"do_rescale": False})])
def test_an_image_processor_that_is_not_known_is_named(tmp_path: Path, text: str) -> None:
    path = detr(tmp_path / "model.onnx")
    (tmp_path / "preprocessor_config.json").write_text(text)
    assert "preprocessor_config.json" in refused(path).message


def test_another_json_file_of_that_name_is_not_read(tmp_path: Path) -> None:
    path = detr(tmp_path / "model.onnx")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({"size": 3}))
    assert refused(path).id == "pixels-unknown"


def mmdeploy(folder: Path, **resize: Any) -> Path:
    """A file of RTMDet with its pipeline."""
    boxes, scores, labels = separate(BOX, label=1)
    outputs = {"dets": np.concatenate((boxes, scores[..., None]), axis=2), "labels": labels}
    normalize = {
        "type": "Normalize",
        "mean": [103.53, 116.28, 123.675],
        "std": [57.375, 57.12, 58.395],
        "to_rgb": False,
    }
    transforms = [{"type": "LoadImageFromFile"}, {"type": "Resize", "size": [SIDE, SIDE], **resize}, normalize]
    tasks = [{"name": "Preprocess", "transforms": transforms}, {"name": "rtmdet", "module": "Net"}]
    (folder / "pipeline.json").write_text(json.dumps({"pipeline": {"tasks": tasks}}))
    return write(folder / "end2end.onnx", outputs)


@pytest.mark.parametrize(
    ("resize", "fit", "fill"),
    [({"keep_ratio": False}, "stretch", 114), ({"keep_ratio": True}, "letterbox-corner", 114), ({}, None, None)],
)
def test_mmdeploy_states_pixels_and_fit_in_its_pipeline(
    tmp_path: Path, resize: dict[str, Any], fit: str | None, fill: int | None
) -> None:
    candidate = opened(mmdeploy(tmp_path, **resize))
    layout = layout_of(candidate)
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 1)
    assert layout.pixels == Normalization(channels="bgr", mean=(103.53, 116.28, 123.675), std=(57.375, 57.12, 58.395))
    assert ("assumed" in candidate.doubt) is (fit is None)
    assert fit is None or (layout.fit, layout.fill) == (fit, fill)


def test_a_pipeline_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = mmdeploy(tmp_path)
    document = (tmp_path / "pipeline.json").read_text()
    (tmp_path / "pipeline.json").write_text(document.replace("[103.53, ", "["))
    assert "pipeline.json" in refused(path).message
    (tmp_path / "pipeline.json").write_text('{"pipeline": "other"}')
    assert refused(path).id == "pixels-unknown"
