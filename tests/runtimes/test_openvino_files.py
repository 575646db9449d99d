"""Models of OpenVINO as files: read by the same conventions as the ONNX files that they were made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from made_onnx import ANSWER, BOX, CELLS, SIDE, center, rows, separate, write
from opened_files import best, layout_of, opened
from paretodet.config import CandidateConfig
from paretodet.diagnosis import means_data
from paretodet.errors import InputError
from paretodet.inspecting import inspect
from paretodet.layouts.layout import BGR_BYTES, FileLayout, Normalization, OutputLayout
from paretodet.onnx_references import model_hash
from paretodet.opening import job
from paretodet.readings.openvino_graph import read_graph

openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")

YOLO = rows([*center(), 0.9]).transpose(0, 2, 1).copy()  # [1, 5, cells]: one class
NAMES = "names:\n  0: cup\ntask: detect\nstride: 32\nimgsz:\n- 192\n- 192\ndescription: Ultralytics YOLO11n model\n"


def converted(path: Path, info: dict[str, Any] | None = None, *, half: bool = False) -> Path:
    """The model beside an ONNX file, with `model_info`."""
    model = openvino.Core().read_model(path)
    for key, value in (info or {}).items():
        model.set_rt_info(value, ["model_info", key])
    openvino.save_model(model, path.with_suffix(".xml"), compress_to_fp16=half)
    return path.with_suffix(".xml")


@pytest.mark.parametrize("half", [False, True])
def test_a_model_is_read_as_the_onnx_file_that_it_was_made_of(tmp_path: Path, half: bool) -> None:
    path = write(tmp_path / "yolo.onnx", {"output0": YOLO}, metadata={"names": "{0: 'cup'}", "stride": "32"})
    onnx = opened(path, runtime="openvino")
    (tmp_path / "metadata.yaml").write_text(NAMES)
    model = opened(converted(path, half=half))
    assert model.labels == ("cup",) and best(model)[0] == best(onnx)[0] == ANSWER
    assert str(layout_of(model)) == str(layout_of(onnx)).replace("YOLO,", "YOLO11n,")
    assert model.session.fit == onnx.session.fit
    facts = model.facts()
    assert (facts.runtime, facts.height, facts.precision_layers) == ("openvino", SIDE, None)


def test_ultralytics_states_its_classes_in_the_model_too(tmp_path: Path) -> None:
    path = write(tmp_path / "yolo.onnx", {"output0": YOLO})
    info = {"model_type": "YOLO", "labels": ["traffic_light"], "reverse_input_channels": True, "scale_values": [255.0]}
    model = opened(converted(path, info | {"resize_type": "fit_to_window_letterbox", "pad_value": 114}))
    assert model.labels == ("traffic_light",) and best(model)[0] == ANSWER
    assert layout_of(model).pixels == Normalization() and layout_of(model).fit == "letterbox"


@pytest.mark.parametrize(("shape", "words"), [((1, 1000), "classification"), ((1, 21, SIDE, SIDE), "segmentation")])
def test_a_model_of_another_task_is_named_as_such(tmp_path: Path, shape: tuple[int, ...], words: str) -> None:
    outputs = {"out": np.random.default_rng(0).uniform(size=shape).astype(np.float32)}
    path = converted(write(tmp_path / "task.onnx", outputs))
    with pytest.raises(InputError, match=rf"task\.xml: is of another task, {words}.*onnx-task"):
        opened(path)


@pytest.mark.parametrize(("task", "words"), [("pose", "pose estimation"), ("obb", "oriented boxes")])
def test_the_task_beside_a_model_is_named(tmp_path: Path, task: str, words: str) -> None:
    path = converted(write(tmp_path / "yolo.onnx", {"output0": YOLO}))
    (tmp_path / "metadata.yaml").write_text(NAMES.replace("detect", task))
    with pytest.raises(InputError, match=rf"yolo\.xml: .*{words}.*onnx-task"):
        opened(path)


def test_model_info_says_how_pixels_are_scaled_and_how_images_are_fitted(tmp_path: Path) -> None:
    found = np.zeros((1, 1, 100, 7), np.float32)
    found[..., 0] = -1
    found[0, 0, 0] = (0, 1, 0.9, *(side / SIDE for side in BOX))
    path = write(tmp_path / "ssd.onnx", {"detections": found})
    with pytest.raises(InputError, match="pixels-unknown"):
        opened(converted(path))
    info = {"mean_values": "1 2 3", "scale_values": "4", "reverse_input_channels": "NO", "labels": "cat dog"}
    model = opened(converted(path, info | {"resize_type": "fit_to_window", "pad_value": "7"}))
    layout = layout_of(model)
    assert layout.pixels == Normalization(channels="bgr", mean=(1, 2, 3), std=(4, 4, 4))
    assert (layout.fit, layout.fill, model.labels) == ("letterbox-corner", 7, ("cat", "dog"))
    assert best(model)[0] == ANSWER and best(model)[2] == 0
    embedded = opened(converted(path, {"embedded_processing": "True", "reverse_input_channels": "True"}))
    assert layout_of(embedded).pixels == BGR_BYTES
    with pytest.raises(InputError, match=r"ssd\.xml: .*mean_values: got 1 2,.*--layout"):
        opened(converted(path, {"mean_values": "1 2"}))


def test_the_operators_before_an_output_are_known(tmp_path: Path) -> None:
    """By ONNX's names; they separate a decoded box from a code."""
    path = write(tmp_path / "net.onnx", {"rows": rows([*center(), 0.9, 0.8])}, operators=("Exp", "Sigmoid"))
    graph = read_graph(converted(path))
    assert graph.has_layers and "Conv" in graph.operators and {"Exp", "Sigmoid"} <= graph.tail("rows")
    assert "Conv" not in graph.tail("rows") and graph.sizes == {1}
    assert any(node.operator == "Conv" for node in graph.nodes) and graph.producer.startswith("OpenVINO")


def test_the_normalization_in_a_model_is_seen(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", {"rows": rows([*center(), 0.9, 0.8])}, of_bytes=True)
    for half in (False, True):
        constants = read_graph(converted(path, half=half)).constants
        assert (10.0,) in constants.values() or any(
            value == pytest.approx((0.1,), 1e-3) for value in constants.values()
        )


def test_the_hash_covers_graph_and_weights(tmp_path: Path) -> None:
    layout = FileLayout(family="a test", outputs=OutputLayout(columns=(("rows", ("box", "score", "label")),)))
    path = converted(write(tmp_path / "net.onnx", {"rows": rows([*BOX, 0.9, 0.0], count=100)}))
    facts, recipe = opened(path, layout=layout).facts(), job(CandidateConfig(name=str(path))).recipe
    assert facts.weights == model_hash(path) == recipe["weights"] and recipe["name"] == "net.xml"
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert model_hash(path) != facts.weights
    weights.unlink()
    with pytest.raises(InputError, match=r"net\.xml: needs the file 'net\.bin'.*file-missing"):
        opened(path)


def test_other_runtimes_and_options_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = converted(write(tmp_path / "net.onnx", dict(zip(("boxes", "scores", "labels"), separate(BOX), strict=True))))
    with pytest.raises(InputError, match="onnxruntime cannot run .*net.xml: it is a model of OpenVINO"):
        opened(path, runtime="onnxruntime")
    with pytest.raises(InputError, match="precision: .* has none to set"):
        opened(path, precision="bf16")


def test_what_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.xml"
    path.write_text("<annotation/>")
    path.with_suffix(".bin").touch()
    with pytest.raises(InputError, match=r"labels\.xml.*graph-failed"):
        opened(path)
    with pytest.raises(InputError, match=r"labels\.xml: not a model of OpenVINO .*<annotation>"):
        read_graph(path)
    assert means_data(str(path)) and not means_data(str(converted(write(tmp_path / "n.onnx", {"output0": YOLO}))))


def test_inspect_shows_a_model(tmp_path: Path) -> None:
    path = converted(write(tmp_path / "yolo.onnx", {"output0": YOLO}), {"model_type": "YOLO", "labels": ["cup"]})
    found = inspect(CandidateConfig(name=str(path), threads=1))
    assert found.reading and found.reading.labels == ("cup",)
    assert "model_info.labels" in found.to_toml()


def test_bytes_are_given_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx", {"output0": YOLO}, kind=TensorProto.UINT8, metadata={"names": "['cup']"})
    (tmp_path / "metadata.yaml").write_text(NAMES)
    model = opened(converted(path))
    assert best(model)[0] == ANSWER and layout_of(model).pixels.std == (1, 1, 1) and len(YOLO[0, 0]) == CELLS
