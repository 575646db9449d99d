"""Detectors and ONNX files under OpenVINO: what eager and ONNX Runtime find, and the precision that executes."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from runtime_subject import IMAGES, assert_same_boxes, narrow_weights, opened, run
from torch import Tensor, nn

from paretodet.bench.candidate import Stated
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.export.lowerings import TABLE
from paretodet.extras import MissingExtra
from paretodet.layouts.layout import FileLayout, OutputLayout
from paretodet.opening import job, open_candidate
from paretodet.ops.geometry import iou
from paretodet.rules.select import PostProcess
from paretodet.runtimes import openvino as module
from paretodet.runtimes.onnxruntime import OnnxProgram
from paretodet.runtimes.openvino import OpenVinoProgram, cause

pytestmark = pytest.mark.usefixtures("exports_here")

openvino = pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")

NAMES = ("ssd-mobilenet_v1-96", "yolo_v3_tiny-96", "faster_rcnn-mobilenet_v1-96-s16-p8")
HAS_BF16 = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
needs_bf16 = pytest.mark.skipif(not HAS_BF16, reason="OpenVINO has no bf16 on this processor")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("narrow")
    return {name: narrow_weights(name, folder) for name in NAMES}


def test_it_finds_what_eager_finds_in_fp32(narrow: dict[str, Path]) -> None:
    """Of two images in a graph of one; its facts are read from what it compiled."""
    candidate, eager = opened(narrow[NAMES[1]], "openvino", threads=1), opened(narrow[NAMES[1]], "eager")
    assert_same_boxes(run(candidate, IMAGES[:2]), run(eager, IMAGES[:2]))
    facts = candidate.facts()
    assert (facts.runtime, facts.precision, facts.device) == ("openvino", "fp32", "cpu")
    assert facts.precision_layers == {"fp32": 13} and facts.export_ms and facts.compile_ms
    settings = dict(facts.runtime_settings)
    assert settings["version"] and settings["INFERENCE_PRECISION_HINT"] == "f32"
    assert facts.artefact != eager.facts().artefact and facts.weights == eager.facts().weights
    compiled = candidate.session.program.compiled  # type: ignore[attr-defined]
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert not compiled.get_property("ENABLE_CPU_PINNING")
    assert isinstance(candidate, Stated) and candidate.stages() == ()


def test_its_layers_are_those_of_the_detector(narrow: dict[str, Path]) -> None:
    candidate = opened(narrow[NAMES[1]], "openvino", threads=1)
    layers = candidate.profile(candidate.prepare(IMAGES[:1]), 2)
    times = {layer.name: layer.ms for layer in layers}
    assert len(times) == len(layers)
    works = {work.name for work in candidate.facts().layers}
    assert len(works) == 13 and all(times[name] > 0 for name in works)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_every_family_finds_what_eager_finds_in_fp32(narrow: dict[str, Path], name: str) -> None:
    candidate, eager = opened(narrow[name], "openvino", batch=2), opened(narrow[name], "eager")
    assert_same_boxes(run(candidate, IMAGES), run(eager, IMAGES))


@needs_bf16
@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_bf16_executes_in_the_layers_and_finds_nearly_the_same(narrow: dict[str, Path], name: str) -> None:
    candidate, fp32 = opened(narrow[name], "openvino", precision="bf16"), opened(narrow[name], "openvino")
    facts = candidate.facts()
    assert facts.precision == "bf16" and facts.precision_layers == {"bf16": sum(fp32.facts().precision_layers.values())}
    found, wanted = run(candidate, IMAGES), run(fp32, IMAGES)
    for image in range(len(IMAGES)):
        best = iou(found.boxes[image], wanted.boxes[image]) * (found.labels[image][:, None] == wanted.labels[image])
        assert (best.amax(0)[wanted.scores[image] > 0.1] > 0.75).float().mean() > 0.8


def node(operator: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(), [output], name=output, **attributes)


def write(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, np.ndarray], **constants: Any) -> Path:
    """A graph whose results are the outputs of the last node."""
    ports = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    results = [onnx.ValueInfoProto(name=name) for name in nodes[-1].output]
    graph = helper.make_graph(nodes, "g", ports, results, stored)
    domains = [helper.make_opsetid(domain, 20) for domain in {node.domain for node in nodes} | {""}]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def both(path: Path, feed: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The last output under OpenVINO and under ONNX Runtime."""
    programs = OpenVinoProgram(path, "fp32", 1), OnnxProgram(path, "cpu", 1)
    first, other = (np.asarray(program(feed)[-1]) for program in programs)
    return first, other


@pytest.mark.parametrize("in_order", [1, 0])
def test_equal_scores_are_ranked_by_index(tmp_path: Path, in_order: int) -> None:
    feed = {"x": np.tile(np.array([0.5, 0.9, 0.1, 0.9], np.float32), 1000)[None]}
    top = helper.make_node("TopK", ["x", "k"], ["values", "places"], axis=-1, sorted=in_order)
    found, wanted = both(write(tmp_path / "top.onnx", [top], feed, k=np.array([10])), feed)
    assert sorted(wanted[0].tolist()) == found[0].tolist() == [*range(1, 20, 2)]


@pytest.mark.parametrize("largest", [1, 0])
@pytest.mark.parametrize(("shape", "axis", "count"), [((2, 3, 700), -1, 9), ((900, 2), 0, 40), ((1, 50), 1, 50)])
@pytest.mark.parametrize("values", ["different", "few", "infinite", "equal"])
def test_the_best_are_those_of_onnx_whatever_the_numbers(
    tmp_path: Path, shape: tuple[int, ...], axis: int, count: int, largest: int, values: str
) -> None:
    x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    x = {"different": x, "few": x // 70, "infinite": np.where(x < 60, x // 9, -np.inf), "equal": 0 * x}[values]
    feed = {"x": x.astype(np.float32)}
    top = helper.make_node("TopK", ["x", "k"], ["values", "places"], axis=axis, largest=largest)
    found, _ = both(write(tmp_path / "top.onnx", [top], feed, k=np.array([count])), feed)
    order = np.argsort(-x if largest else x, axis=axis, kind="stable")
    np.testing.assert_array_equal(found, order.take(range(count), axis))


@pytest.mark.parametrize(("threshold", "kept"), [(0.5, [0, 1, 2, 3]), (0.49, [0, 2, 3]), (1.0, [0, 1, 2, 3])])
def test_a_box_that_overlaps_as_much_as_the_threshold_is_kept(
    tmp_path: Path, threshold: float, kept: list[int]
) -> None:
    """Two boxes of an overlap of a half; at 1, two equal ones too."""
    boxes = np.array([[[0, 0, 8, 8], [0, 0, 8, 4], [20, 20, 30, 30], [40, 40, 50, 50]]], np.float32)
    boxes[0, 3] = boxes[0, 2] if threshold == 1 else boxes[0, 3]
    feed = {"boxes": boxes, "scores": np.array([[[0.9, 0.8, 0.7, 0.6]]], np.float32)}
    limits = {"k": np.array([9]), "overlap": np.float32([threshold]), "score": np.float32([-1])}
    nms = node("NonMaxSuppression", "boxes scores k overlap score", "kept")
    found, wanted = both(write(tmp_path / "nms.onnx", [nms], feed, **limits), feed)
    assert found[:, 2].tolist() == wanted[:, 2].tolist() == kept


@pytest.mark.parametrize("samples", [{}, {"sampling_ratio": 0}, {"sampling_ratio": 2}])
@pytest.mark.parametrize("mode", ["half_pixel", "output_half_pixel"])
def test_crops_have_as_many_samples_as_in_onnx_and_of_empty_boxes_they_are_zeros(
    tmp_path: Path, samples: dict[str, int], mode: str
) -> None:
    random = np.random.default_rng(0)
    boxes = np.array([[1, 2, 14, 12.5], [0, 0, 3, 3], [5, 5, 5, 5], [0, 0, 0, 0], [3, 4, 9, 4]], np.float32)
    feed = {"x": random.random((1, 3, 16, 16), np.float32), "boxes": boxes}
    options = {"output_height": 2, "output_width": 3, "coordinate_transformation_mode": mode, **samples}
    crop = node("RoiAlign", "x boxes image", "y", **options)
    found, wanted = both(write(tmp_path / "crop.onnx", [crop], feed, image=np.zeros(5, np.int64)), feed)
    assert np.isfinite(wanted).all() and wanted[0].any()
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_antialiasing_is_refused_and_not_left_out(tmp_path: Path) -> None:
    feed = {"x": np.zeros((1, 3, 32, 32), np.float32)}
    resize = node("Resize", "x roi scales", "small", mode="linear", antialias=1)
    scales = np.array([1, 1, 0.25, 0.25], np.float32)
    path = write(tmp_path / "resize.onnx", [resize], feed, roi=np.zeros(0, np.float32), scales=scales)
    with pytest.raises(InputError, match=r"antialiasing of Resize small; .*\[graph-failed\]"):
        OpenVinoProgram(path, "fp32", 1)


@pytest.mark.parametrize("operator", ["Div", "Mod"])
def test_whole_numbers_are_divided_exactly(tmp_path: Path, operator: str) -> None:
    """Flat indices over boxes and classes, of 201,600 anchors and 91 classes, are above 2^24."""
    values = np.arange(201_600 * 91 - 5000, 201_600 * 91)
    feed = {"x": np.concatenate((values, -values, np.arange(-300, 300)))}
    found, wanted = both(write(tmp_path / "d.onnx", [node(operator, "x d", "y")], feed, d=np.int64(91)), feed)
    assert found.tolist() == wanted.tolist()


def test_whole_numbers_are_limited_and_selected_exactly(tmp_path: Path) -> None:
    values = np.arange(2**24 - 50, 2**24 + 50)
    nodes = [node("Clip", "x zero", "limited"), node("Less", "x zero", "below"), node("Where", "below x limited", "y")]
    feed = {"x": np.concatenate((values, -values))}
    found, wanted = both(write(tmp_path / "w.onnx", nodes, feed, zero=np.int64(0)), feed)
    assert found.tolist() == wanted.tolist() == feed["x"].tolist()


class Select(nn.Module):
    """Selection from the pyramid of an image of 800x1344 px and 91 classes: 18.3 million pairs of box and class."""

    counts = (151_200, 37_800, 9_450, 2_394, 756)
    process = PostProcess(overlap=0.5, keep=100, candidates_per_level=1000)

    def forward(self, boxes: Tensor, scores: Tensor, sizes: Tensor) -> tuple[Tensor, ...]:
        return self.process(boxes, scores, self.counts, sizes)[:3]


@pytest.mark.full
def test_classes_of_the_last_levels_are_right(tmp_path: Path) -> None:
    """The best pairs are those of the highest indices, above 2^24."""
    torch.manual_seed(0)
    count, inputs = sum(Select.counts), ("boxes", "scores", "sizes")
    corners = torch.rand(1, count, 2) * 700
    scores = torch.rand(1, count, 91) * torch.linspace(0.1, 1, count)[None, :, None]
    tensors = torch.cat((corners, corners + 60), 2), scores, torch.tensor([[800.0, 1344.0]])
    program = torch.export.export(Select(), tensors, strict=True)
    made = torch.onnx.export(program, dynamo=True, custom_translation_table=TABLE, input_names=inputs, verbose=False)
    assert made is not None
    made.save(tmp_path / "select.onnx", external_data=False)
    feed = dict(zip(inputs, (tensor.numpy() for tensor in tensors), strict=True))
    for found, wanted in zip(
        OpenVinoProgram(tmp_path / "select.onnx", "fp32", 1)(feed), Select()(*tensors), strict=True
    ):
        assert torch.equal(torch.from_numpy(found), wanted)
    assert len(set(Select()(*tensors)[2].flatten().tolist())) > 50


@needs_bf16
def test_boxes_between_two_layers_of_bf16_are_not_rounded(tmp_path: Path) -> None:
    """As between two stages, where they give the places of a crop: bf16 has steps of 4 px above 512 px."""
    random = np.random.default_rng(0)
    nodes = [
        node("Conv", "x w", "codes"),
        node("Add", "codes anchors", "boxes"),
        node("Gather", "boxes best", "proposals", axis=3),
        node("Div", "proposals stride", "places"),
        node("Floor", "places", "cells"),
        node("Sub", "places cells", "shares"),
        node("Transpose", "shares", "rows", perm=[0, 2, 3, 1]),
        node("MatMul", "rows table", "crops"),
        node("Conv", "crops v", "vectors"),
        node("Relu", "vectors", "y"),
    ]
    feed = {"x": random.random((1, 4, 8, 8), np.float32), "table": random.random((1, 8, 4, 8), np.float32)}
    constants = {
        "w": random.random((4, 4, 1, 1), np.float32),
        "v": np.eye(8, dtype=np.float32)[:, :, None, None],
        "anchors": random.random((1, 4, 8, 8), np.float32) + 700,
        "best": np.array([5, 3, 1, 7, 0, 2]),
        "stride": np.float32(16),
    }
    path = write(tmp_path / "boxes.onnx", nodes, feed, **constants)
    program, exact = OpenVinoProgram(path, "bf16", 1), OpenVinoProgram(path, "fp32", 1)
    assert program.precisions() == {"bf16": 2} and exact.precisions() == {"fp32": 2}
    assert np.abs(program(feed)[0] - exact(feed)[0]).max() < 0.02


def test_another_precision_than_asked_is_an_error(narrow: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the processor has no bf16."""
    monkeypatch.setattr(module, "in_bf16", lambda model: None)
    with pytest.raises(InputError, match=r"bf16 is requested, but openvino executes fp32 .*\[precision-fallback\]"):
        opened(narrow[NAMES[1]], "openvino", precision="bf16")
    allowed = opened(narrow[NAMES[1]], "openvino", precision="bf16", allow_fallback=True)
    assert allowed.facts().precision == "fp32"


def test_an_onnx_file_runs_in_the_precision_asked_for(tmp_path: Path) -> None:
    """Without one it runs as it is stored."""
    random = np.random.default_rng(0)
    feed = {"x": np.zeros((1, 3, 32, 32), np.float32)}
    nodes = [node("Conv", "x w", "maps"), node("Reshape", "maps to", "rows")]
    nodes += [node("Mul", "rows little", "less"), node("Add", "less row", "y")]
    constants = {"row": np.array([0, 0, 9, 9, 0.5, 1], np.float32), "little": np.float32(1e-9)}
    weights = random.random((6, 3, 1, 1), np.float32)
    path = write(tmp_path / "rows.onnx", nodes, feed, w=weights, to=[1, -1, 6], **constants)
    layout = FileLayout(family="a test", outputs=OutputLayout(columns=(("y", ("box", "score", "label")),)))
    facts = [
        open_candidate(str(path), runtime="openvino", layout=layout, **options).facts()
        for options in ({}, {"precision": "fp32"})
    ]
    assert [each.precision for each in facts] == ["fp32", "fp32"] and facts[0].artefact == facts[1].artefact
    if HAS_BF16:
        other = open_candidate(str(path), runtime="openvino", layout=layout, precision="bf16").facts()
        assert other.precision == "bf16" and other.artefact != facts[0].artefact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "fp16"}, "precision: got 'fp16', openvino runs fp32, bf16, int8"),
        ({"device": "cuda"}, "device: got 'cuda', openvino runs on cpu"),
    ],
)
def test_what_it_cannot_run_is_one_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_candidate(NAMES[0], runtime="openvino", **options)


def test_files_and_operators_that_it_cannot_load_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"no")
    with pytest.raises(ValueError, match=r"bad\.onnx: OpenVINO cannot load it \(Unable to read"):
        open_candidate(str(tmp_path / "bad.onnx"), runtime="openvino")
    feed = {"x": np.zeros((1, 3, 8, 8), np.float32)}
    path = write(tmp_path / "odd.onnx", [node("Odd", "x", "y", domain="of.mine")], feed)
    with pytest.raises(ValueError, match=r"odd\.onnx: OpenVINO lacks operator of\.mine\.Odd"):
        OpenVinoProgram(path, "fp32", 1)
    assert cause("") == ""


@pytest.mark.parametrize(("library", "options"), [("openvino", {}), ("nncf", {"precision": "int8"})])
def test_a_missing_library_is_one_sentence_with_the_install_command(
    monkeypatch: pytest.MonkeyPatch, library: str, options: dict[str, Any]
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=rf"{library}: pip install 'paretodet\[onnx,openvino"):
        open_candidate(NAMES[0], runtime="openvino", **options)


def test_a_job_has_its_runtime() -> None:
    made = job(CandidateConfig(name=NAMES[0], runtime="openvino"))
    assert made.recipe["runtime"] == "openvino" and made.imports == ("openvino",)
