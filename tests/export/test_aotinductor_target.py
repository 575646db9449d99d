"""Packages of AOTInductor as artifacts: proved, and opened only if they are trusted and as they were exported."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch

from made_packages import ARTIFACT, write_package_bundle
from narrow_weights import write_narrow
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.export import parity
from paretodet.export.program import blank
from paretodet.exporting import write_bundle
from paretodet.extras import MissingExtra
from paretodet.opening import job, open_candidate
from paretodet.runtimes import aotinductor
from paretodet.sources.bundle import BundleFolder
from target_subject import IMAGES, TWO_STAGES, write_photos

PAGE = Path(__file__).parents[2] / "docs" / "deploy.md"


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test in which loading a package fails."""
    monkeypatch.setattr(aotinductor, "AOTIModelPackageLoader", lambda *_: pytest.fail("loaded"))


def test_a_bundle_is_opened_only_if_it_is_trusted(tmp_path: Path, unloaded: None) -> None:
    name = write_package_bundle(tmp_path / "bundle")
    config = CandidateConfig(name=name)
    for use in (lambda: open_candidate(name), lambda: job(config), lambda: BundleFolder().load(config)):
        with pytest.raises(InputError, match=r"bundle: opening it runs native code .*--trust .*trust-needed"):
            use()


def test_a_trusted_bundle_that_was_altered_is_refused(tmp_path: Path, unloaded: None) -> None:
    name = write_package_bundle(tmp_path / "bundle")
    path, content = Path(name) / ARTIFACT, (Path(name) / ARTIFACT).read_bytes()
    for changed in (content[:-1], content.replace(b"no code", b"no cod3")):
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"detector\.pt2: it .*bundle-altered"):
            open_candidate(name, trust=True)


def test_code_that_torch_cannot_load_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"detector\.pt2: torch cannot load this package .*graph-failed"):
        open_candidate(write_package_bundle(tmp_path / "bundle"), trust=True)


def test_trust_does_not_change_the_accuracy(tmp_path: Path) -> None:
    name = write_package_bundle(tmp_path / "bundle", name="ssd-mobilenet_v1-300", published=True)
    assert job(CandidateConfig(name=name, trust=True)).about["ap"] == 18.8


def test_a_missing_compiler_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingExtra, match="export --to aotinductor needs a C.. compiler.* no-such-compiler"):
        write_bundle("ssd-mobilenet_v1-96", out=tmp_path / "bundle", to="aotinductor")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.full
@pytest.mark.parametrize("name", ["ssd-mobilenet_v1-96", TWO_STAGES, "mask_rcnn-resnet50-128"])
def test_a_whole_detector_passes_its_proof_and_is_a_name(name: str, own_cache: Path, tmp_path: Path) -> None:
    weights = write_narrow(name, tmp_path / "weights.safetensors", fit="letterbox")
    out = tmp_path / "bundle"
    bundle = write_bundle(str(weights), out=out, images=write_photos(tmp_path), to="aotinductor", batch=2)
    assert (bundle.proof.verdict, bundle.proof.criterion) == ("passed", "equal") and bundle.proof.detections > 10
    assert bundle.manifest.precision_layers == open_compiled(weights).facts().precision_layers
    candidate, eager = open_candidate(str(out), trust=True), open_candidate(str(weights))
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().runtime == "aotinductor"
    for images in (IMAGES[:1], IMAGES):
        found, wanted = parity.detected(candidate, images), parity.detected(eager, images)
        torch.testing.assert_close(found.scores, wanted.scores, atol=1e-4, rtol=0)
    with ZipFile(bundle.artifact) as archive:
        texts = b"".join(map(archive.read, archive.namelist()))
    assert str(own_cache).encode() not in texts and str(Path(torch.__file__).parent).encode() not in texts


def open_compiled(weights: Path) -> NetworkCandidate:
    candidate = open_candidate(str(weights), runtime="compiled", batch=2)
    assert isinstance(candidate, NetworkCandidate)
    return candidate


@pytest.mark.full
def test_a_bundle_in_bf16_states_that_precision(own_cache: Path, tmp_path: Path) -> None:
    weights = write_narrow("yolo_v3_tiny-96", tmp_path / "weights.safetensors", fit="letterbox")
    options = {"images": write_photos(tmp_path), "to": "aotinductor", "precision": "bf16"}
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", **options)
    assert bundle.manifest.precision_layers == {"bf16": 13} and bundle.proof.verdict != "failed"
    candidate = open_candidate(str(bundle.folder), trust=True)
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().precision == "bf16"
    wanted = candidate.infer(blank(1, (96, 96))).scores.sum().item()
    assert float(run_page(bundle.folder, "print(float(scores.sum()))")) == pytest.approx(wanted, rel=1e-5)


def run_page(folder: Path, end: str) -> str:
    """What the Python of the page, and a last line, print for a bundle of 96 x 96."""
    blocks = (block for block in PAGE.read_text("utf-8").split("```") if block.startswith("python\n"))
    (code,) = (block for block in blocks if "aoti_load_package" in block)
    code = code.removeprefix("python\n").replace("ssd-native", folder.as_posix()).replace("300", "96")
    command = [sys.executable, "-c", f"{code}{end}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
