"""Networks of ncnn as artifacts: proved, opened by their name, and refused where ncnn cannot take a detector."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from narrow_weights import LABELS, write_narrow
from paretodet import exporting
from paretodet.bench.candidate import Candidate
from paretodet.config import CandidateConfig
from paretodet.detectors.detector import build
from paretodet.detectors.families import spec
from paretodet.errors import InputError
from paretodet.export import ncnn, parity
from paretodet.export.ncnn import NcnnLayer, read_layers
from paretodet.export.ncnn_target import ARTIFACT, WEIGHTS, NcnnTarget, _fused
from paretodet.export.proof import ParityError, prove
from paretodet.export.torchscript import SHAPES
from paretodet.exporting import write_bundle
from paretodet.opening import open_candidate
from paretodet.types import Detections
from target_subject import IMAGES, TINY, write_photos

pytestmark = pytest.mark.usefixtures("exports_here")

OTHERS = ("ssd-mobilenet_v1-96", "ssd-vgg16-96", "yolo_v3-darknet53-96", "retinanet-resnet50-128")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture
def installed() -> None:
    for library in ("ncnn", "pnnx"):
        pytest.importorskip(library, reason="ncnn is not installed: pip install 'paretodet[ncnn]'")


def run(candidate: Candidate, *images: np.ndarray) -> Detections:
    return parity.detected(candidate, images)


@pytest.mark.full
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", [TINY, *OTHERS])
def test_a_bundle_passes_its_proof_and_is_a_name(name: str, photos: Path, tmp_path: Path) -> None:
    weights = write_narrow(name, tmp_path / "weights.safetensors", fit="letterbox")
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="ncnn")
    assert (bundle.proof.verdict, bundle.proof.criterion) == ("passed", "equal") and bundle.proof.detections > 10
    assert {*bundle.manifest.files} == {ARTIFACT, WEIGHTS, SHAPES} and bundle.artifact.name == ARTIFACT
    assert (bundle.manifest.precision_layers or {}).keys() == {"fp32"}
    tensors, side = (*bundle.manifest.inputs, *bundle.manifest.outputs), bundle.manifest.height
    shapes = {each.name: (each.type, each.shape) for each in tensors}
    count = shapes["boxes"][1][1]
    assert shapes == {
        "pixels": ("float32", (1, 3, side, side)),
        "boxes": ("float32", (1, count, 4)),
        "scores": ("float32", (1, count, len(LABELS))),
    }
    candidate, eager = open_candidate(str(bundle.folder), score=0.1), open_candidate(str(weights), score=0.1)
    assert cast(Any, candidate).facts().runtime == "ncnn"
    for images in (IMAGES[:1], IMAGES):
        torch.testing.assert_close(run(candidate, *images).scores, run(eager, *images).scores, atol=1e-3, rtol=0)
    (_, network), (_, select) = cast(Any, candidate).stages()
    batch = candidate.prepare(IMAGES)
    assert torch.equal(select(network(batch)).scores, candidate.infer(batch).scores)


@pytest.mark.full
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", [TINY, *OTHERS])
def test_layers_of_a_good_artifact_are_shown_and_do_not_differ(
    name: str, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if its proof had failed."""

    def failed(*args: Any, **options: Any) -> Any:
        proof, comparison = prove(*args, **options)
        return replace(proof, verdict="failed"), comparison

    monkeypatch.setattr(exporting, "prove", failed)
    weights = write_narrow(name, tmp_path / "weights.safetensors")
    with pytest.raises(ParityError, match="No layer differs while its output is read"):
        write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="ncnn")


@pytest.mark.full
@pytest.mark.usefixtures("installed")
def test_a_failed_proof_names_the_first_layer(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slope of a layer's leaky ReLU is another one: the next layer differs."""
    write = NcnnTarget.write

    def changed(*args: Any) -> Any:
        written = write(*args)
        path = args[2] / written.artifact
        lines = path.read_text().splitlines()
        fifth = [number for number, line in enumerate(lines) if line.startswith("Convolution ")][4]
        lines[fifth], count = re.subn(r"-23310=1,\S+", "-23310=1,9.0", lines[fifth])
        assert count == 1
        path.write_text("\n".join(lines) + "\n")
        return written

    monkeypatch.setattr(NcnnTarget, "write", changed)
    weights = write_narrow(TINY, tmp_path / "weights.safetensors")
    with pytest.raises(ParityError, match=r"The first layer that differs is backbone.convs.5.conv, by "):
        write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="ncnn")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.full
@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("name", ["fcos-resnet50-128", "yolo_v2-darknet19-96"])
def test_what_the_converter_lacks_is_one_sentence(name: str, photos: Path, tmp_path: Path) -> None:
    weights = write_narrow(name, tmp_path / "weights.safetensors", fit="letterbox")
    with pytest.raises(InputError, match=r"^to: ncnn cannot take .* whole \(.*\); give --to .*\[export-failed\]"):
        write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="ncnn")
    assert not (tmp_path / "bundle").exists()


@pytest.mark.usefixtures("installed")
def test_it_takes_one_image_a_call() -> None:
    with pytest.raises(InputError, match="^batch: got 2, --to ncnn writes artifacts for one image a call"):
        NcnnTarget().check(CandidateConfig(name=TINY, batch=2))


def test_a_conversion_that_fails_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def convert(source: Path, folder: Path) -> None:
        raise InputError("runtime: ncnn cannot run operator aten::roll", "graph-failed")

    monkeypatch.setattr(ncnn, "convert", convert)
    detector = build(spec(TINY))
    with pytest.raises(InputError, match=r"^to: ncnn cannot take yolo.* whole \(.*aten::roll.*\[export-failed\]"):
        NcnnTarget().write(detector, tmp_path, CandidateConfig(name=TINY), 1)


GOOD = "7767517\n1 1\nInput in0 0 1 in0\n"
FILES = (ARTIFACT, WEIGHTS, SHAPES)
THREE = '{"detector": [[1, 3, 8, 8], [1, 9, 4], [1, 9, 2]]}'


@pytest.mark.parametrize(
    ("name", "files", "text", "shapes", "message"),
    [
        (ARTIFACT, FILES[:2], GOOD, THREE, "bundle-unsafe"),
        ("other.param", ("other.param", *FILES[1:]), GOOD, THREE, "bundle-unsafe"),
        (ARTIFACT, FILES, GOOD.replace("7767517", "77675170"), THREE, "begin with 7767517.*graph-failed"),
        (ARTIFACT, FILES, GOOD + "Input in0 0 1\n", THREE, "graph-failed"),
        (ARTIFACT, FILES, GOOD + "Input in0 many 1 in0\n", THREE, "graph-failed"),
        (ARTIFACT, FILES, "7767517\n", THREE, "graph-failed"),
        (ARTIFACT, FILES, GOOD, '{"detector": [[1, 3, 8, 8]]}', "shapes of 3 tensors.*bundle-altered"),
        (ARTIFACT, FILES, GOOD, '{"trunk": [[1], [1], [1]]}', "bundle-altered"),
        (ARTIFACT, FILES, GOOD, '{"detector": [[1], [1], [-1]]}', "json-schema"),
    ],
)
def test_another_form_or_missing_files_are_refused(
    name: str, files: tuple[str, ...], text: str, shapes: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / SHAPES).write_text(shapes)
    with pytest.raises(InputError, match=message):
        NcnnTarget().inspect(tmp_path, files, name)


def test_layers_are_read_with_their_activation(tmp_path: Path) -> None:
    (tmp_path / ARTIFACT).write_text(
        "7767517\n3 3\n"
        "Input            in0  0 1 in0\n"
        "Convolution      conv 1 1 in0 1 0=8 1=3 9=3 -23310=2,0.0,6.0\n"
        "Split            s    1 2 1 2 3\n"
    )
    (given, conv, split) = read_layers(tmp_path / ARTIFACT)
    assert (given.output, split.output) == ("in0", "3") and given.numbers == {}
    assert conv == ("Convolution", "1", {0: [8], 1: [3], 9: [3], 10: [0, 6]})
    values = np.array([-1.0, 5.0, 7.0])
    for kind, limits, wanted in (
        (0, (), [-1, 5, 7]),
        (1, (), [0, 5, 7]),
        (2, (0.5,), [-0.5, 5, 7]),
        (3, (0, 6), [0, 5, 6]),
    ):
        activation = _fused(NcnnLayer("Convolution", "1", {9: [kind], 10: limits}))
        assert activation is not None and activation(values).tolist() == wanted
    assert _fused(NcnnLayer("Convolution", "1", {9: [4]})) is None


def test_a_good_one_is_accepted(tmp_path: Path) -> None:
    (tmp_path / ARTIFACT).write_text(GOOD)
    (tmp_path / SHAPES).write_text(THREE)
    NcnnTarget().inspect(tmp_path, FILES, ARTIFACT)


def test_a_cache_that_cannot_be_written_is_not_a_fault_of_the_detector(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise InputError("cache: full", "output-unwritable")

    monkeypatch.setattr("paretodet.export.ncnn_target.converted", fail)
    with pytest.raises(InputError) as refused:
        NcnnTarget().write(build(spec(TINY)), tmp_path, CandidateConfig(name=TINY), 1)
    assert str(refused.value) == "cache: full [output-unwritable]"
