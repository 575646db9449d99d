"""The same tests for every entry of the catalogue, narrow and on a small canvas.

Entries that differ in size and number of proposals only are one. The short tier takes a set that covers every family,
backbone, output stride and fit, and exports one of each mix of heads and neck, with one of each row of like blocks: to
export the others takes long and shows little new. The full tier does all to all, whole.
"""

import math
from importlib.util import find_spec

import pytest
import torch
from battery_cover import distinct, exported, short
from battery_subject import Subject, built, fell_together, only

from paretodet.detectors.spec import from_json, to_json
from paretodet.export.onnx import to_onnx
from paretodet.runtimes.onnxruntime import OnnxProgram
from paretodet.runtimes.openvino import OpenVinoProgram
from paretodet.types import Detections
from paretodet.weights import safe

NEAR = 0.97  # of the detections: rounding may change a close decision of the suppression


def over(entries):
    """All distinct entries; those not in `entries` are in the full tier."""
    marks = {True: (), False: (pytest.mark.full,)}
    params = [pytest.param(e.name, marks=marks[e in entries], id=e.name) for e in distinct()]
    return pytest.mark.parametrize("subject", params, indirect=True, scope="module")


EACH, EACH_EXPORTED = over(short()), over(())
LONG = ("mask_rcnn_zoo", "ssdlite")  # architectures whose exports take more than 5 s, even if shallow
EACH_SHALLOW = pytest.mark.parametrize(
    "shallow",
    [pytest.param(e.name, marks=pytest.mark.full) if e.name.startswith(LONG) else e.name for e in exported()],
    indirect=True,
    scope="module",
)


@pytest.fixture(scope="module")
def subject(request):
    return Subject(request.param)


@pytest.fixture(scope="module")
def shallow(request):
    """Without repeats of like blocks."""
    return Subject(request.param, repeats=False)


@EACH
def test_detections_are_sorted_inside_and_of_fixed_capacity(subject):
    found, keep = subject.found, subject.spec.stages[-1].select.keep
    assert found.boxes.shape == (2, keep, 4)
    assert found.scores.shape == found.labels.shape == (2, keep)
    assert (found.masks is None) == (subject.spec.masks is None)
    assert (found.scores[:, :-1] >= found.scores[:, 1:]).all()
    assert found.scores.min() >= 0 and found.scores.max() <= 1
    assert found.scores.max() > 0, "nothing was found, so nothing is proved"
    assert found.labels.min() >= 0 and found.labels.max() < subject.spec.classes
    limits = subject.images.sizes.flip(1).repeat(1, 2)[:, None]
    assert (found.boxes >= 0).all() and (found.boxes <= limits).all()


@EACH
def test_a_batch_of_two_is_two_of_one(subject):
    first = Detections(*(None if part is None else part[:1] for part in subject.found))
    assert fell_together(subject.found_first, first) >= NEAR


@EACH
def test_loss_is_finite_and_reaches_every_parameter(subject):
    for truths in (0, 3):
        subject.detector.zero_grad()
        terms = subject.detector.loss(subject.images, subject.targets(truths), noise=subject.noise)
        assert all(term.dim() == 0 and math.isfinite(term.item()) for term in terms.values())
        sum(terms.values()).backward()
        asking = {name: p.grad for name, p in subject.detector.named_parameters() if p.requires_grad}
        assert asking and not [name for name, grad in asking.items() if grad is None or not grad.isfinite().all()]
    assert any(grad.abs().max() > 0 for grad in asking.values())


@EACH
def test_a_spec_and_its_weights_read_back(subject, tmp_path):
    again = from_json(to_json(subject.spec))
    assert again == subject.spec and hash(again) == hash(subject.spec)
    safe.save(subject.detector.state_dict(), tmp_path / "weights.safetensors")
    other = built(again, seed=1)
    safe.load(other, tmp_path / "weights.safetensors")
    with torch.no_grad():
        found = other(subject.first)
    assert all(a is b is None or torch.equal(a, b) for a, b in zip(found, subject.found_first, strict=True))


@EACH
@torch.no_grad()
def test_bf16_stays_close(subject):
    lower = built(subject.spec, seed=0)
    lower.load_state_dict(subject.detector.state_dict())
    for part in (lower.backbone, lower.neck, lower.heads, lower.mask_head):
        if part is not None:
            part.bfloat16()
    maps = zip(lower.features(subject.first), subject.detector.features(subject.first), strict=True)
    for found, wanted in maps:
        assert found.dtype == torch.bfloat16
        assert (found.float() - wanted).norm() <= 0.1 * wanted.norm()
    assert lower(subject.first).boxes.dtype == torch.float32


@EACH
def test_the_loss_has_no_graph_break(subject, monkeypatch):
    """On given maps: the strict export traces the backbone."""
    maps = tuple(m.detach() for m in subject.detector.features(subject.images))
    monkeypatch.setattr(subject.detector, "features", lambda images: maps)
    compiled = torch.compile(subject.detector.loss, backend="eager", fullgraph=True)
    given = subject.images, subject.targets(3)
    found, wanted = (loss(*given, noise=subject.noise) for loss in (compiled, subject.detector.loss))
    torch.compiler.reset()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, msg=lambda text, name=name: f"{name}: {text}")


@EACH_SHALLOW
def test_strict_export_of_each_block_equals_eager(shallow):
    check_export(shallow)


@EACH_EXPORTED
def test_strict_export_equals_eager(subject):
    check_export(subject)


@EACH_SHALLOW
def test_onnx_export_of_each_block_equals_eager(shallow, tmp_path):
    check_onnx(shallow, tmp_path / "detector.onnx")


@EACH_EXPORTED
def test_onnx_export_equals_eager(subject, tmp_path):
    check_onnx(subject, tmp_path / "detector.onnx")


@torch.no_grad()
def check_export(subject):
    found = subject.program.module()(*subject.first)
    wanted = [part for part in subject.found_first if part is not None]
    assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@torch.no_grad()
def check_onnx(subject, path):
    """Under ONNX Runtime, and under OpenVINO where it is installed, for an image smaller than its canvas."""
    to_onnx(subject.detector, path, program=subject.program)
    second = only(subject.images, 1)
    feed, wanted = {name: part.numpy() for name, part in second._asdict().items()}, subject.detector(second)
    programs = [OnnxProgram(path, "cpu", 1)]
    if find_spec("openvino"):
        programs.append(OpenVinoProgram(path, "fp32", 1))
    for program in programs:
        found = Detections(*map(torch.from_numpy, program(feed)))
        assert fell_together(found, wanted) >= NEAR, type(program).__name__
