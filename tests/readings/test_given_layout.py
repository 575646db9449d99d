"""The layout that `inspect` writes reads a file as it is read without: the same boxes, names and fit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from made_onnx import ANSWER, BOX, CELLS, SIDE, center, rows, separate, write
from opened_files import best, layout_of, opened
from paretodet.config import CandidateConfig
from paretodet.detectors import families
from paretodet.detectors.labels import COCO_90, COCO_91
from paretodet.detectors.spec import to_json
from paretodet.errors import InputError
from paretodet.inspecting import drawn, inspect
from paretodet.layouts.files import read_layout, to_toml
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.readings.conventions.own import SPEC
from paretodet.transforms.resize_policy import CornerLetterbox, Letterbox, ShortSide, Stretch

NAMES = {"names": "{0: 'dog', 1: 'cat'}", "stride": "32"}
V8 = rows([*center(), 0.1, 0.9]).transpose(0, 2, 1).copy()
SHARE = [side / SIDE for side in center()]


def ultralytics(path: Path) -> Path:
    return write(path, {"output0": V8}, metadata=NAMES)


def own(path: Path, name: str = f"yolo_v3_tiny-{SIDE}") -> Path:
    boxes, scores, labels = separate(BOX, label=1)
    metadata = {SPEC: to_json(families.spec(name))}
    return write(path, {"boxes": boxes, "scores": scores, "labels": labels}, metadata=metadata)


def model_info(path: Path) -> Path:
    metadata = {"model_info.labels": "dog cat", "model_info.resize_type": "fit_to_window"}
    return write(path, {"output0": V8}, metadata=metadata)


def picodet(path: Path) -> Path:
    outputs = {}
    for kind, width in (("cls", 2), ("tmp_", 32)):
        outputs |= {f"{kind}{s}": np.zeros((1, (SIDE // s) ** 2, width), np.float32) for s in (8, 16, 32, 64)}
    outputs["cls16"][0, 5, 1] = 0.9
    return write(path, outputs, metadata={"character": "dog\ncat"})


def yunet(path: Path) -> Path:
    outputs = {}
    for stride in (8, 16, 32):
        for kind, width in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            outputs[f"{kind}_{stride}"] = np.zeros((1, (SIDE // stride) ** 2, width), np.float32)
    outputs["cls_16"][0, 5], outputs["obj_16"][0, 5] = 0.9, 0.4
    outputs["bbox_16"][0, 5] = [0.5, 0.5, np.log(60 / 16), np.log(60 / 16)]
    return write(path, outputs)


def blazeface(path: Path) -> Path:
    codes, logits = np.zeros((1, 896, 16), np.float32), np.full((1, 896, 1), -8, np.float32)
    codes[0, :, 2:4], logits[0, 3] = 10, 2
    return write(path, {"codes": codes, "scores": logits}, shape=(1, 3, 128, 128))


def ultra_light(path: Path) -> Path:
    scores = np.tile(np.array([0.99, 0.01], np.float32), (1, CELLS, 1))
    boxes = np.tile(np.array([0.1, 0.1, 0.2, 0.2], np.float32), (1, CELLS, 1))
    scores[0, 5] = [0.1, 0.9]
    return write(path, {"scores": scores, "boxes": boxes})


def rf_detr(path: Path) -> Path:
    logits, boxes = np.full((1, 300, 91), -6, np.float32), np.full((1, 300, 4), 0.5, np.float32)
    logits[0, 0, 18], boxes[0, 0] = 2, SHARE
    return write(path, {"dets": boxes, "labels": logits})


NAMED: dict[Callable[[Path], Path], tuple[str | None, ...]] = {  # files whose convention has names of classes
    ultralytics: ("dog", "cat"),
    own: families.spec(f"yolo_v3_tiny-{SIDE}").labels,
    model_info: ("dog", "cat"),
    picodet: ("dog", "cat"),
    yunet: ("face",),
    blazeface: ("face",),
    ultra_light: ("face",),
    rf_detr: COCO_91,
}


@pytest.mark.parametrize("made", NAMED, ids=lambda made: made.__name__)
def test_the_layout_that_inspect_writes_changes_nothing(made: Callable[[Path], Path], tmp_path: Path) -> None:
    path, layout = made(tmp_path / "net.onnx"), tmp_path / "layout.toml"
    layout.write_text(inspect(CandidateConfig(name=str(path))).to_toml(), encoding="utf-8")
    plain, repeated = opened(path), opened(path, layout=layout)
    assert plain.labels == repeated.labels == NAMED[made]
    assert plain.session.fit == repeated.session.fit
    assert best(plain) == best(repeated)
    assert layout_of(plain) == read_layout(layout) == layout_of(repeated)


@pytest.mark.parametrize("made", [ultralytics, model_info, picodet, yunet, rf_detr], ids=lambda made: made.__name__)
def test_an_edited_layout_keeps_the_names(made: Callable[[Path], Path], tmp_path: Path) -> None:
    path = made(tmp_path / "net.onnx")
    edited = replace(layout_of(opened(path)), fit="stretch", sampling="torch")
    candidate = opened(path, layout=edited)
    assert candidate.labels == NAMED[made]
    assert isinstance(candidate.session.fit, Stretch) and candidate.session.fit.sampling == "torch"


def test_names_of_ids_are_left_out_where_a_layout_counts_otherwise(tmp_path: Path) -> None:
    path = rf_detr(tmp_path / "net.onnx")
    layout = layout_of(opened(path))
    assert opened(path, layout=replace(layout, outputs=replace(layout.outputs, background="first"))).labels == ()


def test_a_pose_that_a_layout_reads_keeps_the_names_of_its_metadata(tmp_path: Path) -> None:
    head = np.concatenate((rows([*center(), 0.9]), np.zeros((1, CELLS, 6), np.float32)), axis=2)
    metadata = {"names": "{0: 'person'}", "stride": "32", "task": "pose"}
    path = write(tmp_path / "pose.onnx", {"output0": head.transpose(0, 2, 1).copy()}, metadata=metadata)
    with pytest.raises(InputError, match="onnx-task"):
        opened(path)
    columns = (("output0", ("box", "classes*1", "other")),)
    outputs = OutputLayout(columns=columns, transposed=True, box="cxcywh", suppressed=False)
    candidate = opened(path, layout=FileLayout(family="pose", outputs=outputs, fit="letterbox"))
    assert candidate.labels == ("person",) and best(candidate)[0] == ANSWER


@pytest.mark.parametrize("name", ["yolo_v3_tiny-64", "ssd-mobilenet_v1-64"])
def test_the_layout_of_an_own_export_states_its_fit(name: str, tmp_path: Path) -> None:
    spec = families.spec(name)
    path = own(tmp_path / "own.onnx", name)
    layout = layout_of(opened(path))
    assert layout.policy(*spec.fit.canvas((1, 1))) == spec.fit
    assert isinstance(spec.fit, Letterbox if "yolo" in name else Stretch)
    edited = opened(path, layout=replace(layout, fit="letterbox-corner", fill=7))
    assert isinstance(edited.session.fit, CornerLetterbox) and edited.session.fit.fill == 7


def test_a_fit_that_no_layout_can_state_is_not_replaced_by_another(tmp_path: Path) -> None:
    name = "retinanet-resnet101-800"
    assert isinstance(families.spec(name).fit, ShortSide)
    path = own(tmp_path / "own.onnx", name)
    layout = inspect(CandidateConfig(name=str(path))).layout
    for options in ({}, {"layout": layout}):
        with pytest.raises(InputError, match=r"own\.onnx: fit: .*option-unsupported"):
            opened(path, **options)


def test_boxes_are_drawn_as_they_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = ultralytics(tmp_path / "net.onnx"), list[CandidateConfig]()
    config = CandidateConfig(name=str(path))
    monkeypatch.setattr("paretodet.inspecting.open_config", lambda config: seen.append(config) or opened(path))
    drawn(config, inspect(config), np.zeros((SIDE, SIDE, 3), np.uint8))
    assert seen == [config]


def tensorflow(path: Path, label: int, **more: np.ndarray) -> Path:
    x1, y1, x2, y2 = (side / SIDE for side in BOX)
    boxes, scores, labels = separate((y1, x1, y2, x2), label=label)
    outputs = {
        "detection_boxes": boxes,
        "detection_classes": labels.astype(np.float32),
        "detection_scores": scores,
    }
    return write(path, outputs | more, kind=TensorProto.UINT8, shape=(1, SIDE, SIDE, 3))


def with_layers(path: Path, classes: int, boxes: int) -> Path:
    """The file with weights of layers that write so many numbers."""
    model = onnx.load(path)
    for name, size in (("of_classes", classes), ("of_boxes", boxes)):
        model.graph.initializer.append(numpy_helper.from_array(np.zeros((size, 2, 1, 1), np.float32), name))
    onnx.save(model, path)
    return path


def test_tensorflows_ids_have_names_by_raw_scores(tmp_path: Path) -> None:
    raw = np.zeros((1, 1917, 91), np.float32)
    candidate = opened(tensorflow(tmp_path / "tf.onnx", 44, raw_detection_scores=raw))
    assert candidate.labels == COCO_90
    assert best(candidate) == (ANSWER, pytest.approx(0.9), 43) and COCO_90[43] == "bottle"
    assert opened(tensorflow(tmp_path / "tf.onnx", 44)).labels == ()


@pytest.mark.parametrize(
    ("classes", "boxes", "named"),
    [(273, 12, True), (91, 360, True), (810, 36, True), (63, 12, False), (270, 12, False)],
)
def test_tensorflows_ids_have_names_by_the_layers(tmp_path: Path, classes: int, boxes: int, named: bool) -> None:
    path = with_layers(tensorflow(tmp_path / "tf.onnx", 44), classes, boxes)
    assert opened(path).labels == (COCO_90 if named else ())


@pytest.mark.parametrize(("classes", "boxes", "label"), [(91, 364, 43), (91, 4, 43), (80, 4, 44)])
def test_ids_of_coco_count_from_1_without_names_of_tensorflow_too(
    tmp_path: Path, classes: int, boxes: int, label: int
) -> None:
    outputs = dict(zip(("boxes", "scores", "labels"), separate(BOX, label=44), strict=True))
    path = write(tmp_path / "net.onnx", outputs, kind=TensorProto.UINT8, shape=(1, SIDE, SIDE, 3))
    candidate = opened(with_layers(path, classes, boxes))
    assert best(candidate) == (ANSWER, pytest.approx(0.9), label)
    assert candidate.labels == (COCO_90 if classes == 91 else ())


def test_a_layout_reads_maps_with_channels_last(tmp_path: Path) -> None:
    """A file that TensorFlow's converter wrote, and its twin with channels first: one stride, two classes."""
    maps = np.zeros((1, SIDE // 32, SIDE // 32, 7), np.float32)
    maps[0, 0, 0, 2] = -1
    maps[0, 3, 2] = (0.8125, 0.75, np.log(60 / 32), np.log(60 / 32), 0.8, 0.1, 0.9)  # the center is at 90, 120
    first = FileLayout(
        family="maps",
        outputs=OutputLayout(
            columns=(("Identity", ("box", "objectness", "classes")),),
            coding="grid",
            strides=(32,),
            offset=0.0,
            suppressed=False,
        ),
    )
    layout = tmp_path / "layout.toml"
    layout.write_text(to_toml(replace(first, outputs=replace(first.outputs, map_axes="nhwc"))), encoding="utf-8")
    last = opened(write(tmp_path / "last.onnx", {"Identity": maps}), layout=layout)
    twin = write(tmp_path / "first.onnx", {"Identity": maps.transpose(0, 3, 1, 2).copy()})
    assert best(last) == best(opened(twin, layout=first)) == (ANSWER, pytest.approx(0.72), 1)
    assert "channels last" in str(last.reading)
    with pytest.raises(InputError, match="42 rows"):
        opened(tmp_path / "last.onnx", layout=first)
