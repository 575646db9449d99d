"""Programs of torch.export as artifacts: proved, opened by their name, and compared layer by layer."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from narrow_weights import write_narrow
from paretodet.bench.job import Job, Plan
from paretodet.bench.synthetic_images import draw_images
from paretodet.bench.worker import MeasuredCandidate
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.export import pt2
from paretodet.export.proof import ParityError
from paretodet.export.torch_target import TorchTarget
from paretodet.exporting import write_bundle
from paretodet.opening import open_candidate
from paretodet.profiling import profile
from target_subject import TINY, assert_proved_bundle, assert_two_stages_refused, write_photos

pytestmark = pytest.mark.usefixtures("exports_here")

OTHERS = (
    "ssd-mobilenet_v1-96", "ssd_liu-vgg16-300", "ssd-inception_v2-128", "ssd-inception_v3-128",
    "ssd-inception_resnet_v2-128", "ssd-resnet101-128-s16", "ssd-vgg16-96", "yolo_v2-darknet19-96",
    "yolo_v3-darknet53-96", "retinanet-resnet50-128", "retinanet_tv-resnet50-128", "fcos-resnet50-128",
)  # fmt: skip


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_narrow(TINY, tmp_path_factory.mktemp("weights") / "tiny.safetensors", fit="letterbox")


@pytest.mark.parametrize("name", [TINY, *(pytest.param(name, marks=pytest.mark.full) for name in OTHERS)])
def test_a_bundle_passes_its_proof_and_is_a_name(name: str, photos: Path, tmp_path: Path) -> None:
    bundle = assert_proved_bundle(name, tmp_path, photos=photos, to="torch", runtime="eager")
    assert bundle.artifact.name == "detector.pt2"
    with pytest.raises(InputError, match="it is a bundle with a program of torch"):
        open_candidate(str(bundle.folder), runtime="winograd")


def test_an_untrained_detector_is_exported_at_the_worst_case(photos: Path, tmp_path: Path) -> None:
    bundle = write_bundle(TINY, out=tmp_path / "bundle", images=photos, to="torch")
    assert bundle.manifest.load == "capacity" and bundle.proof.verdict != "failed"
    facts = open_candidate(str(bundle.folder)).facts()  # type: ignore[attr-defined] # a candidate may lack them
    assert facts.weights == "random" and facts.load == "capacity"


@pytest.mark.full
def test_a_bundle_in_bf16_states_that_precision(weights: Path, photos: Path, tmp_path: Path) -> None:
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="torch", precision="bf16")
    assert bundle.manifest.precision_layers == {"bf16": 13} and bundle.proof.verdict != "failed"
    candidate = open_candidate(str(bundle.folder))
    assert isinstance(candidate, NetworkCandidate) and candidate.facts().precision == "bf16"


@pytest.mark.full
def test_a_failed_proof_names_the_first_layer(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer = "backbone.convs.4.conv"
    monkeypatch.setattr(TorchTarget, "write", changed_weights(f"detector.{layer}.weight"))
    with pytest.raises(ParityError, match=rf"The first layer that differs is {layer}, by "):
        write_bundle(str(weights), out=tmp_path / "new", images=photos, to="torch", batch=2)
    assert list(tmp_path.iterdir()) == []


def changed_weights(name: str) -> Callable[..., Any]:
    """`TorchTarget.write` with another weight."""
    write = TorchTarget.write

    def changed(self: TorchTarget, detector: Detector, folder: Path, config: CandidateConfig, batch: int) -> Any:
        written = write(self, detector, folder, config, batch)
        program = pt2.load(folder / written.artifact)
        program.state_dict[name].mul_(1.5)
        pt2.save(program, folder / written.artifact)
        return written

    return changed


def test_a_detector_of_two_stages_is_refused(tmp_path: Path) -> None:
    assert_two_stages_refused(TorchTarget(), tmp_path, "torch.export")


def test_a_bundle_of_more_images_than_are_measured_has_the_times_of_its_stages(
    weights: Path, photos: Path, tmp_path: Path
) -> None:
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="torch", batch=2)
    plan = Plan(burst=0.01, long_burst=0.02, warm=0.01, warm_calls=2, warm_limit=0.05)
    measured = MeasuredCandidate(Job(name="it", make=partial(open_candidate, str(bundle.folder))), plan)
    measured.load(draw_images(0, 2))
    assert (measured._stages() or {}).keys() == {"network", "select", "finish"}


def test_its_layers_are_not_timed_and_nothing_is_measured_before_that_is_said(
    weights: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=photos, to="torch", batch=2)
    monkeypatch.setattr("paretodet.profiling.profiling.profile", lambda *_: pytest.fail("measured"))
    with pytest.raises(InputError) as refused:
        profile(CandidateConfig(name=str(bundle.folder)))
    assert refused.value.id == "profile-failed" and "--runtime" not in refused.value.message
    candidate = open_candidate(str(bundle.folder))
    assert isinstance(candidate, NetworkCandidate)
    with pytest.raises(InputError) as refused:
        candidate.profile(candidate.prepare(draw_images(0, 1)), 2)
    assert refused.value.id == "profile-failed"
