"""Artifacts of graphs that end before suppression: proved, opened by their name, and refused where they cannot be."""

import json
import sys
from copy import deepcopy
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from narrow_weights import write_narrow
from paretodet.candidate import NetworkCandidate
from paretodet.errors import InputError
from paretodet.export import parity
from paretodet.export.bundle import Bundle, write_manifest
from paretodet.export.onnx_target import OnnxTarget, UnselectedOnnxTarget
from paretodet.export.openvino_target import OpenVinoTarget, UnselectedOpenVinoTarget
from paretodet.export.proof import ParityError
from paretodet.export.table import TARGETS, target_of
from paretodet.exporting import write_bundle
from paretodet.opening import open_candidate
from target_subject import IMAGES, TINY, TWO_STAGES, assert_proved_bundle, write_photos

pytestmark = pytest.mark.usefixtures("exports_here")

FORMS = {"onnx": "onnxruntime", "openvino": "openvino"}  # and what runs them
OTHERS = (
    "ssd-mobilenet_v1-96", "ssd_tv-vgg16-300", "ssd_liu-vgg16-300", "yolo_v2-darknet19-96", "yolo_v3-darknet53-96",
    "retinanet-resnet50-128", "retinanet_tv-resnet50-128", "fcos-resnet50-128",
)  # fmt: skip
LACKS = "option-unsupported"
forms = pytest.mark.parametrize("to", FORMS)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_narrow(TINY, tmp_path_factory.mktemp("weights") / "tiny.safetensors", fit="letterbox")


def exported(weights: Path, out: Path, photos: Path, to: str = "onnx", **options: Any) -> Bundle:
    """Without suppression."""
    need(to)
    return write_bundle(str(weights), out=out, images=photos, to=to, suppression="out", **options)


def need(to: str) -> None:
    pytest.importorskip(FORMS[to], reason=f"{to} is not installed: pip install 'paretodet[{FORMS[to]}]'")


@forms
@pytest.mark.parametrize("name", [TINY, *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS)])
def test_a_bundle_passes_its_proof_and_is_a_name(name: str, to: str, photos: Path, tmp_path: Path) -> None:
    need(to)
    assert_proved_bundle(name, tmp_path, photos=photos, to=to, runtime=FORMS[to], suppression="out")


def test_a_graph_runs_in_openvino_too_and_says_so_if_its_bundle_was_changed(
    weights: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = exported(weights, tmp_path / "bundle", photos)
    if find_spec("openvino"):
        first, other = (open_candidate(str(bundle.folder), runtime=runtime) for runtime in FORMS.values())
        found, wanted = (parity.detected(each, IMAGES) for each in (other, first))
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
    write_manifest(bundle.folder, replace(bundle.manifest, suppression="in"))
    with pytest.raises(InputError) as refused:
        open_candidate(str(bundle.folder))
    assert refused.value.id == "bundle-altered"


@forms
def test_any_number_of_images_is_computed_at_once(to: str, weights: Path, photos: Path, tmp_path: Path) -> None:
    bundle = exported(weights, tmp_path / "any", photos, to, batch=None)
    assert (bundle.manifest.batch, bundle.proof.verdict) == (None, "passed")
    candidate, eager = open_candidate(str(bundle.folder)), open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate)
    session: Any = candidate.session
    program, calls = session.program, list[int]()

    def counted(feed: dict[str, np.ndarray]) -> Any:
        calls.append(len(feed["pixels"]))
        return program(feed)

    session.program = counted
    for count in (1, 3):
        found, wanted = (parity.detected(each, IMAGES[:count]) for each in (candidate, eager))
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
    assert calls == [1, 3]


@pytest.mark.full
@pytest.mark.parametrize(("to", "precision"), [("onnx", "int8"), ("openvino", "int8"), ("openvino", "bf16")])
def test_a_bundle_in_a_reduced_precision_states_it(
    to: str, precision: str, weights: Path, photos: Path, tmp_path: Path
) -> None:
    need(to)
    if (to, precision) == ("openvino", "int8"):
        pytest.importorskip("nncf", reason="nncf is not installed: pip install 'paretodet[nncf]'")
    if precision == "bf16":
        import openvino

        if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            pytest.skip("OpenVINO has no bf16 on this processor")
    calibrated = {"calibration": photos} if precision == "int8" else {}
    bundle = exported(weights, tmp_path / "bundle", photos, to, precision=precision, **calibrated)
    assert bundle.manifest.precision == precision and bundle.proof.verdict != "failed"
    candidate = open_candidate(str(bundle.folder))
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().precision == precision


def test_an_untrained_detector_is_exported_at_the_worst_case(photos: Path, tmp_path: Path) -> None:
    bundle = write_bundle(TINY, out=tmp_path / "bundle", images=photos, suppression="out")
    assert bundle.manifest.load == "capacity" and bundle.proof.verdict != "failed"


@forms
def test_a_failed_proof_names_the_first_layer(
    to: str, weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = {"onnx": OnnxTarget, "openvino": OpenVinoTarget}[to]
    plain: Any = target.write

    def write(self: Any, detector: Any, *others: Any) -> Any:
        changed = deepcopy(detector)
        with torch.no_grad():
            changed.backbone.convs[4].conv.weight.mul_(1.5)
        return plain(self, changed, *others)

    monkeypatch.setattr(target, "write", write)
    with pytest.raises(ParityError, match=r"The first layer that differs is backbone\.convs\.4\.conv, by "):
        exported(weights, tmp_path / "new", photos, to, batch=2)
    assert list(tmp_path.iterdir()) == []


def test_a_form_is_found_by_where_it_suppresses() -> None:
    for target in TARGETS:
        assert target_of(target.name) is target_of(target.name, target.suppression) is target
    assert isinstance(target_of("onnx", "out"), UnselectedOnnxTarget)
    assert isinstance(target_of("openvino", "out"), UnselectedOpenVinoTarget)


@pytest.mark.parametrize(
    ("options", "error", "way_out"),
    [
        *(({"to": to, "suppression": "in"}, LACKS, "onnx, ") for to in ("torch", "litert", "executorch", "ncnn")),
        ({"to": "aotinductor", "suppression": "out"}, LACKS, "openvino"),
        ({"suppression": "outside"}, "option-value", "in or out"),
        ({"suppression": "out", "size": "dynamic"}, "option-value", "--size HxW, or no --suppression"),
        ({"name": TWO_STAGES, "fit": "letterbox", "suppression": "out"}, LACKS, "--to onnx or openvino without "),
    ],
    ids=str,
)
def test_what_has_no_other_place_for_suppression_is_refused_before_the_export(
    options: dict[str, Any], error: str, way_out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OnnxTarget, "write", lambda *_: pytest.fail("exported"))
    with pytest.raises(InputError) as refused:
        write_bundle(**{"name": TINY, "out": tmp_path / "new"} | options)
    prefix = "size: " if "size" in options else "suppression: "
    assert refused.value.id == error and refused.value.message.startswith(prefix) and way_out in refused.value.message


def test_the_command_takes_it(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from paretodet.cli import main

    line = ["export", weights, "--out", tmp_path / "open", "--images", photos, "--suppression", "out", "--json"]
    monkeypatch.setattr(sys, "argv", ["paretodet", *map(str, line)])
    with pytest.raises(SystemExit) as left:
        main()
        raise SystemExit(0)
    out, err = capsys.readouterr()
    assert not left.value.code, err
    document = json.loads(out)
    assert document["suppression"] == "out" and [each["name"] for each in document["outputs"]] == ["boxes", "scores"]
