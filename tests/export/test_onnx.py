"""Our operators, and whole detectors, as ONNX under ONNX Runtime."""

import math
import sys
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from paretodet.detectors.detector import Detector, build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.spec import from_json
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.export import lowerings
from paretodet.export.onnx import to_onnx
from paretodet.layers.fold import fold_norms
from paretodet.layers.norms import L2Norm
from paretodet.opening import open_candidate
from paretodet.ops.nms import nms
from paretodet.ops.roi import crop_and_resize, position_sensitive_crop, roi_align, roi_pool
from paretodet.rules.coders import spread_boxes
from paretodet.types import Images


class Calls(nn.Module):
    def __init__(self, functions):
        super().__init__()
        self.functions = functions
        self.parts = nn.ModuleList(each for each in functions if isinstance(each, nn.Module))

    def forward(self, *inputs):
        return tuple(function(*inputs) for function in self.functions)


@pytest.mark.full
def test_nodes_are_called_by_their_modules():
    """Of the exported nodes, convolutions and what is fused into them have the name of the convolution."""
    made = to_onnx(fold_norms(build(spec("ssd-mobilenet_v1-300", Override(height=96)))))
    nodes = list(made.model.graph)
    convolutions = {node.name.partition("/")[0] for node in nodes if node.op_type == "Conv"}
    assert {"backbone.stem.conv", "heads.0.scores.0"} <= convolutions
    activations = [node for node in nodes if node.op_type == "Clip" and node.name.startswith("backbone.")]
    assert activations and {node.name.partition("/")[0] for node in activations} <= convolutions
    assert {node.outputs[0].name.partition("/")[0] for node in activations} <= convolutions
    assert len({node.name for node in nodes}) == len(nodes)
    assert [value.name for value in made.model.graph.outputs] == ["boxes", "scores", "labels"]


def under_onnx(functions, *inputs):
    """What each of the functions gives after all went through one ONNX file."""
    program = torch.export.export(Calls(functions), inputs, strict=True)
    made = torch.onnx.export(program, dynamo=True, custom_translation_table=lowerings.TABLE, verbose=False)
    session = onnxruntime.InferenceSession(made.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_inputs()]
    feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    return [torch.from_numpy(out) for out in session.run(None, feed)]


def scored(batch, count, classes, seed=0, levels=50):
    """Boxes that overlap much, one set an image, and scores with many ties."""
    torch.manual_seed(seed)
    boxes = torch.stack([spread_boxes(count, 40, 60, seed + i) for i in range(batch)])
    boxes[:, 0] = boxes[:, 0, [2, 3, 0, 1]]  # inside out: overlaps nothing
    return boxes, torch.randint(0, levels, (batch, count, classes)) / levels


def assert_equal_under_onnx(functions, *inputs):
    for number, (function, found) in enumerate(zip(functions, under_onnx(functions, *inputs), strict=True)):
        assert torch.equal(found, function(*inputs)), number


DENSE = (
    {"overlap": 0.5, "keep": 20},
    {"overlap": 0.3, "keep": 300, "threshold": 0.3},  # a score of 0.3 in float32 is above it, and slots stay empty
    {"overlap": 0.5, "keep": 30, "keep_per_class": 2},
    {"overlap": 0.5, "keep": 40, "candidates_per_class": 9},
    {"overlap": 0.5, "keep": 25, "class_aware": False},
    {"overlap": 0.0, "keep": 7, "threshold": 2.0},
)
CUT = (  # limits that only matter to boxes outside of their image
    {"overlap": 0.5, "keep": 5},
    {"overlap": 0.5, "keep": 12, "keep_per_class": 12},
    {"overlap": 0.5, "keep": 12, "keep_per_class": 14},
)
LISTED = (
    {},
    {"keep_per_class": 3},
    {"candidates_per_class": 5},
    {"class_aware": False},
)


@pytest.mark.parametrize("one_a_class", [False, True])
def test_suppression_of_dense_boxes_keeps_the_same(one_a_class):
    boxes, scores = scored(2, 60, 3)
    scores[1, ::3] = -math.inf
    if one_a_class:
        boxes = boxes[:, :, None] + torch.arange(3.0)[:, None]
    calls = [partial(nms, **limits) for limits in DENSE]
    inside = [partial(nms, sizes=torch.tensor([[30.0, 25.0], [12.0, 60.0]]), **limits) for limits in (*DENSE, *CUT)]
    found = [call(boxes, scores) for call in calls + inside]
    assert sum(not torch.equal(a, b) for a, b in zip(found, found[len(calls) :], strict=False)) >= 4
    assert_equal_under_onnx(calls + inside, boxes, scores)


def test_suppression_of_a_labeled_list_keeps_the_same():
    boxes, scores = scored(2, 80, 1)
    labels = torch.randint(0, 5, (2, 80))
    sizes = torch.tensor([[30.0, 25.0], [12.0, 60.0]])
    calls = [partial(nms, overlap=0.4, keep=100, **limits) for limits in LISTED]
    calls += [partial(nms, overlap=0.4, keep=12, sizes=sizes, **limits) for limits in LISTED]
    assert_equal_under_onnx(calls, boxes, scores[..., 0], labels)


@pytest.mark.parametrize("form", ["dense", "one a class", "labeled", "one class"])
def test_suppression_keeps_the_same_for_any_number_of_images(form):
    boxes, scores = scored(3, 60, 1 if form in ("labeled", "one class") else 3)
    inputs = [boxes, scores, torch.tensor([[30.0, 25.0], [12.0, 60.0], [60.0, 60.0]])]
    if form == "one a class":
        inputs[0] = boxes[:, :, None] + torch.arange(3.0)[:, None]
    if form == "labeled":
        inputs[1:2] = [scores[..., 0], torch.randint(0, 5, (3, 60))]
    names = ("boxes", "scores", "labels", "sizes") if form == "labeled" else ("boxes", "scores", "sizes")

    def call(*values, **limits):
        return nms(**dict(zip(names, values, strict=True)), **limits)

    calls = [partial(call, **limits) for limits in (DENSE[0], DENSE[2], DENSE[4], CUT[1])]
    side = {0: torch.export.Dim("batch")}
    made = torch.export.export(Calls(calls), tuple(each[:2] for each in inputs), dynamic_shapes=((side,) * len(names),))
    program = torch.onnx.export(made, dynamo=True, custom_translation_table=lowerings.TABLE, verbose=False)
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        some = [each[:count] for each in inputs]
        feed = {item.name: value.numpy() for item, value in zip(session.get_inputs(), some, strict=True)}
        for number, (function, found) in enumerate(zip(calls, session.run(None, feed), strict=True)):
            assert torch.equal(torch.from_numpy(found), function(*some)), (count, number)


@pytest.mark.parametrize("form", ["dense", "labeled", "one class"])
def test_suppression_keeps_the_same_for_any_number_of_boxes(form):
    """Of any number of images; fewer boxes than are kept, and more."""
    boxes, scores = scored(3, 60, 1 if form != "dense" else 3)
    inputs = [boxes, scores, torch.tensor([[30.0, 25.0], [12.0, 60.0], [60.0, 60.0]])]
    if form == "labeled":
        inputs[1:2] = [scores[..., 0], torch.randint(0, 5, (3, 60))]
    names = ("boxes", "scores", "labels", "sizes") if form == "labeled" else ("boxes", "scores", "sizes")

    def call(*values, **limits):
        return nms(**dict(zip(names, values, strict=True)), **limits)

    calls = [partial(call, **limits) for limits in (DENSE[0], DENSE[2], DENSE[4], CUT[1])]
    images, count = torch.export.Dim("images"), torch.export.Dim("count")
    sides = ({0: images, 1: count},) * (len(names) - 1) + ({0: images},)
    session = opened(calls, tuple(each[:2] for each in inputs), sides)
    for images, count in ((1, 60), (3, 41), (2, 4)):
        some = [*(each[:images, :count] for each in inputs[:-1]), inputs[-1][:images]]
        assert_same(session, calls, some)


def test_limits_of_candidates_need_a_fixed_number_of_boxes():
    boxes, scores = scored(2, 60, 3)
    count = {1: torch.export.Dim("count")}
    with pytest.raises(torch.onnx.errors.OnnxExporterError, match="need a fixed number of boxes"):
        opened([partial(nms, overlap=0.5, keep=5, candidates_per_class=9)], (boxes, scores), (count, count))


def opened(functions, inputs, open_sides):
    """A session of an ONNX file that all of the functions went through, some sides of whose inputs are open."""
    made = torch.export.export(Calls(functions), inputs, dynamic_shapes=(open_sides,))
    program = torch.onnx.export(made, dynamo=True, custom_translation_table=lowerings.TABLE, verbose=False)
    return onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])


def assert_same(session, functions, inputs, **tolerance):
    """What each of the functions gives, up to a tolerance, as `atol`; without one exactly."""
    feed = {item.name: value.numpy() for item, value in zip(session.get_inputs(), inputs, strict=True)}
    for function, found in zip(functions, session.run(None, feed), strict=True):
        torch.testing.assert_close(torch.from_numpy(found), function(*inputs), **tolerance or {"atol": 0, "rtol": 0})


def test_suppression_of_one_class_keeps_the_same():
    boxes, scores = scored(1, 80, 1)
    limited = partial(nms, overlap=0.4, keep=10, candidates_per_class=20)
    inside = partial(nms, overlap=0.4, keep=10, keep_per_class=10, sizes=torch.tensor([[30.0, 25.0]]))
    calls = [limited, lambda boxes, scores: limited(boxes, scores[..., 0]), inside]
    assert_equal_under_onnx(calls, boxes, scores)


def test_limits_per_class_without_classes_are_refused():
    boxes, scores = scored(1, 10, 2)
    with pytest.raises(torch.onnx.errors.OnnxExporterError, match="candidates_per_class: needs class_aware"):
        under_onnx([partial(nms, overlap=0.5, keep=5, candidates_per_class=3, class_aware=False)], boxes, scores)


def maps(channels=18, height=12, width=15):
    torch.manual_seed(0)
    return torch.randn(2, channels, height, width)


def regions(count=9):
    """Within a canvas of 96 x 120 and beyond it."""
    return torch.stack([spread_boxes(count, 110, 140, seed) - 8 for seed in (0, 1)])


CROPS = {
    "crop_and_resize": lambda x, b: crop_and_resize(x, b, 6, (96, 120)),
    "position_sensitive": lambda x, b: position_sensitive_crop(x, b, 3, (96, 120), samples=2),
    "roi_align": lambda x, b: roi_align([x], b, strides=[8], bins=5, samples=2, aligned=True),
    "roi_align_of_a_pyramid": lambda x, b: roi_align(
        [x, x[:, :, ::2, ::2]], b, strides=[8, 16], bins=4, samples=2, aligned=False, levels=(b[..., 0] > 30).long()
    ),
    "roi_align_adaptive": lambda x, b: roi_align([x], b, strides=[8], bins=3, samples=0, aligned=True),
    "roi_align_adaptive_of_a_pyramid": lambda x, b: roi_align(
        [x, x[:, :, ::2, ::2]], b, strides=[8, 16], bins=4, samples=0, aligned=False, levels=(b[..., 0] > 30).long()
    ),
    "roi_pool": lambda x, b: roi_pool(x, b, stride=8, bins=7),
}


@pytest.mark.parametrize("chunk", [lowerings.CHUNK, 20_000])  # the second: each bag in at least two pieces
@pytest.mark.parametrize("name", CROPS)
def test_crops_are_the_same(name, chunk, monkeypatch):
    monkeypatch.setattr(lowerings, "CHUNK", chunk)
    (found,) = under_onnx([CROPS[name]], maps(), regions())
    torch.testing.assert_close(found, CROPS[name](maps(), regions()), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", CROPS)
def test_crops_are_the_same_for_any_number_of_images(name, monkeypatch):
    monkeypatch.setattr(lowerings, "CHUNK", 20_000)  # each bag in at least two pieces
    x, b = (torch.cat((each, each.flip(0) * 0.9)) for each in (maps(), regions()))
    side = {0: torch.export.Dim("images")}
    session = opened([CROPS[name]], (x[:2], b[:2]), (side, side))
    for count in (1, 4):
        assert_same(session, [CROPS[name]], (x[:count], b[:count]), atol=1e-5, rtol=1e-4)


def test_a_zero_vector_stays_zero_when_it_is_normalized():
    """The exporter must not remove the epsilon under the root."""
    x = torch.randn(1, 4, 2, 2)
    x[..., 0] = 0
    norm = L2Norm(4).requires_grad_(False)
    (found,) = under_onnx([norm], x)
    assert (found[..., 0] == 0).all()
    torch.testing.assert_close(found, norm(x))


def test_bags_of_several_sizes_are_refused():
    def bags(table, at):
        weights = torch.ones(7)
        return nn.functional.embedding_bag(at, table, torch.tensor([0, 3]), mode="sum", per_sample_weights=weights)

    with pytest.raises(torch.onnx.errors.OnnxExporterError, match="bags of one size"):
        under_onnx([bags], torch.randn(5, 4), torch.arange(7) % 5)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    torch.manual_seed(0)
    made = spec("yolo_v3_tiny-416", Override(height=96, labels=tuple("abc")))
    detector = Detector(fill_every_slot(made)).eval()
    path = tmp_path_factory.mktemp("onnx") / "tiny.onnx"
    to_onnx(detector, path)
    return detector, path


def test_a_file_has_named_inputs_outputs_and_the_spec(written):
    detector, path = written
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    session = onnxruntime.InferenceSession(path)
    assert [(i.name, i.type, i.shape) for i in session.get_inputs()] == [
        ("pixels", "tensor(uint8)", [1, 3, 96, 96]),
        ("sizes", "tensor(float)", [1, 2]),
    ]
    assert [o.name for o in session.get_outputs()] == ["boxes", "scores", "labels"]
    stored = session.get_modelmeta().custom_metadata_map["paretodet.spec"]
    assert from_json(stored) == detector.spec


def test_a_file_is_measured_like_any_candidate(written):
    """True sizes reach the file: boxes end where the image ends, not where its canvas does."""
    detector, path = written
    candidate = open_candidate(str(path), threads=1, fit="letterbox")
    image = np.random.default_rng(0).integers(0, 256, (48, 96, 3), np.uint8)
    batch = candidate.prepare([image])
    boxes, scores, labels, _ = found = candidate.infer(batch)
    with torch.no_grad():
        wanted = detector(Images(batch.pixels, batch.sizes.float()))
    torch.testing.assert_close(boxes, wanted.boxes, atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(scores, wanted.scores, atol=1e-5, rtol=1e-4)
    assert torch.equal(labels, wanted.labels)
    found = candidate.finish(found, torch.tensor([[48, 96]]))
    assert found.boxes[..., 3].max() <= 48


def test_missing_libraries_are_refused_with_what_to_install(monkeypatch):
    for name in ("paretodet.export.onnx", "paretodet.export.lowerings"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(ImportError, match=r"pip install 'paretodet\[onnx\]'"):
        import paretodet.export.onnx  # noqa: F401
