"""Artifacts that take several sizes of canvas: what they state, compute and refuse."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from narrow_weights import write_narrow
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import spec
from paretodet.errors import InputError
from paretodet.export import parity
from paretodet.export.bundle import Bundle, write_manifest
from paretodet.export.onnx_target import OnnxTarget
from paretodet.export.open_size import SizeRange, size_range
from paretodet.export.proof import ParityError
from paretodet.exporting import write_bundle
from paretodet.opening import open_candidate
from target_subject import IMAGES, TINY, write_photos

pytestmark = pytest.mark.usefixtures("exports_here")

RANGE = SizeRange(multiple=32, least=64, most=16384)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_narrow(TINY, tmp_path_factory.mktemp("weights") / "tiny.safetensors", fit="letterbox")


@pytest.fixture(scope="module")
def any_size(tmp_path_factory: pytest.TempPathFactory, weights: Path, photos: Path) -> Bundle:
    """Of any number of images too."""
    folder = tmp_path_factory.mktemp("any") / "any"
    return write_bundle(str(weights), out=folder, images=photos, size="dynamic", batch=None)


def assert_equal(folder: Path, weights: Path, size: tuple[int, int], count: int = 1) -> None:
    """The bundle and the detector detect the same in images on canvases of this size."""
    sides = {"height": size[0], "width": size[1]}
    candidates = [open_candidate(str(name), **sides) for name in (weights, folder)]
    wanted, found = (parity.detected(each, IMAGES[:count]) for each in candidates)
    comparison = parity.Comparison()
    for index, image in enumerate(IMAGES[:count]):
        pair = (parity.boxes_of(each, index) for each in (wanted, found))
        parity.add_image(comparison, *pair, image=image, name=str(index), tolerance=parity.Tolerance())
    assert comparison.is_equal(parity.Tolerance()) and comparison.detections > 5, comparison


def test_a_bundle_of_any_size_states_what_it_takes_and_where_it_was_proved(any_size: Bundle) -> None:
    manifest, proof = any_size.manifest, any_size.proof
    assert (manifest.height, manifest.width, manifest.sizes) == (96, 96, RANGE)
    assert (manifest.fit["height"], manifest.fit["width"]) == (96, 96)
    assert {tensor.name: tensor.shape for tensor in manifest.inputs}["pixels"] == ("batch", 3, "height", "width")
    assert (proof.verdict, proof.sizes) == ("passed", ("96x96", "64x96"))
    assert (proof.images, proof.missing, proof.extra) == (10, 0, 0)


def test_it_detects_at_every_size_what_the_detector_detects(any_size: Bundle, weights: Path) -> None:
    for count, size in ((1, (96, 96)), (2, (64, 96)), (3, (160, 128)), (2, (64, 64))):
        assert_equal(any_size.folder, weights, size, count)


def test_another_size_is_another_candidate(any_size: Bundle, weights: Path) -> None:
    name = str(any_size.folder)
    own, other = open_candidate(name), open_candidate(name, height=160, width=128)
    assert isinstance(own, NetworkCandidate) and isinstance(other, NetworkCandidate)
    facts, detector = other.facts(), open_candidate(str(weights), height=160, width=128)
    assert isinstance(detector, NetworkCandidate)
    assert (facts.height, facts.width, facts.macs) == (160, 128, detector.facts().macs)
    assert other.name == f"{own.name} at 160x128" and facts.artefact != own.facts().artefact
    assert open_candidate(name, height=96).name == own.name


@pytest.mark.parametrize("size", [(100, 96), (32, 64), (96, 16416)])
def test_a_size_that_it_does_not_take_is_refused(any_size: Bundle, size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"^size: .* 64 to 16384 px in steps of 32 \[size-unsupported\]$"):
        open_candidate(str(any_size.folder), height=size[0], width=size[1])


def test_a_model_of_openvino_takes_any_size(weights: Path, photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    bundle = write_bundle(str(weights), out=tmp_path / "any", images=photos, to="openvino", size="dynamic", batch=None)
    assert (bundle.manifest.batch, bundle.manifest.sizes, bundle.proof.verdict) == (None, RANGE, "passed")
    assert_equal(bundle.folder, weights, (64, 160), count=3)


@pytest.mark.full
@pytest.mark.parametrize("to", ["onnx", "openvino"])
@pytest.mark.parametrize(
    "name",
    [
        "yolo_v2-darknet19-96",
        "yolo_v3-darknet53-96",
        "retinanet-resnet50-160",
        "retinanet_d2-resnet50-160",
        "fcos-resnet50-160",
    ],
)
def test_every_family_that_takes_any_size_passes_its_proof(name: str, to: str, photos: Path, tmp_path: Path) -> None:
    if to == "openvino":
        pytest.importorskip("openvino", reason="openvino is not installed: pip install 'paretodet[openvino]'")
    weights = write_narrow(name, tmp_path / "narrow.safetensors", fit="letterbox")
    bundle = write_bundle(str(weights), out=tmp_path / "any", images=photos, to=to, size="dynamic")
    assert (bundle.proof.verdict, len(bundle.proof.sizes)) == ("passed", 2)
    assert_equal(bundle.folder, weights, (224, 352))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("yolo_v2-darknet19-416", RANGE),
        ("yolo_v3-darknet53-416", RANGE),
        ("retinanet-resnet50-800", replace(RANGE, least=160)),
        ("retinanet_d2-resnet50-800", replace(RANGE, least=160)),
        ("fcos-resnet50-800", replace(RANGE, least=160)),
    ],
)
def test_the_sizes_of_a_family_follow_from_its_maps(name: str, found: SizeRange) -> None:
    with torch.device("meta"):
        assert size_range(Detector(spec(name))) == found


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("ssd-mobilenet_v1-320", "anchors"),
        ("ssd_liu-vgg16-320", "anchors"),
        ("retinanet_tv-resnet50-800", "anchors"),
        ("faster_rcnn-mobilenet_v1-96-s16-p8", "2 stages"),
        ("fcos-resnet50-810", "810x810"),
    ],
)
def test_a_detector_of_one_size_is_refused(name: str, why: str) -> None:
    with torch.device("meta"):
        detector = Detector(spec(name))
    with pytest.raises(InputError, match=rf"^size: .*{why}.* \[option-value\]$"):
        size_range(detector)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"to": "torch"}, "--to onnx or openvino"),
        ({"precision": "int8"}, "int8"),
        ({"untrained": True}, "weights"),
    ],
)
def test_what_has_one_size_is_refused(
    options: dict[str, Any], why: str, weights: Path, photos: Path, tmp_path: Path
) -> None:
    name = TINY if options.pop("untrained", False) else str(weights)
    calibrated = {"calibration": photos} if "precision" in options else {}
    with pytest.raises(InputError, match=rf"^size: .*{why}.* \[option-value\]$"):
        write_bundle(name, out=tmp_path / "any", images=photos, size="dynamic", **options, **calibrated)
    assert not (tmp_path / "any").exists()


def test_an_artifact_that_differs_at_another_size_alone_fails(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The boxes of every canvas but the detector's own are moved by 8 px."""
    plain = OnnxTarget.write_any_size

    def write(self: OnnxTarget, detector: Any, folder: Path, *rest: Any) -> Any:
        written = plain(self, detector, folder, *rest)
        move_boxes(folder / written.artifact, height=detector.spec.height)
        return written

    monkeypatch.setattr(OnnxTarget, "write_any_size", write)
    with pytest.raises(ParityError) as failed:
        write_bundle(str(weights), out=tmp_path / "any", images=photos, size="dynamic")
    assert failed.value.proof.verdict == "failed" and failed.value.proof.max_box > 0.05
    assert list(tmp_path.iterdir()) == []


def move_boxes(path: Path, height: int) -> None:
    """Of canvases of another height."""
    import onnx
    from onnx import helper

    model = onnx.load(path)
    graph = model.graph
    last = next(node for node in graph.node if "boxes" in node.output)
    last.output[list(last.output).index("boxes")] = "unmoved"
    for name, value, kind in (("own", [height], 7), ("by", [8.0], 1), ("zero", [0.0], 1)):
        graph.initializer.append(helper.make_tensor(name, kind, [1], value))
    graph.node.extend(
        [
            helper.make_node("Shape", ["pixels"], ["actual"], start=2, end=3),
            helper.make_node("Equal", ["actual", "own"], ["is_own"]),
            helper.make_node("Where", ["is_own", "zero", "by"], ["moved"]),
            helper.make_node("Add", ["unmoved", "moved"], ["boxes"]),
        ]
    )
    onnx.save(model, path)


def test_a_bundle_that_states_any_size_has_an_artifact_that_takes_it(
    weights: Path, photos: Path, tmp_path: Path
) -> None:
    fixed = write_bundle(str(weights), out=tmp_path / "fixed", images=photos)
    folder = Path(shutil.copytree(fixed.folder, tmp_path / "changed"))
    write_manifest(folder, replace(fixed.manifest, sizes=RANGE))
    with pytest.raises(InputError, match=r"takes .*\[bundle-altered\]$"):
        open_candidate(str(folder))
