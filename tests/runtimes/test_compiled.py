"""Networks compiled by Inductor: what eager PyTorch finds, their facts, and what is refused."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from runtime_subject import IMAGES, assert_same_boxes, narrow_weights, opened, run
from torch import nn
from torch.fx import GraphModule

from paretodet.bench.candidate import ModelInfo
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.export.inductor import CACHE_VARIABLE
from paretodet.extras import MissingExtra
from paretodet.network import TorchNetwork
from paretodet.opening import job, open_candidate
from paretodet.runtimes.compiled import Compiled
from paretodet.runtimes.eager import Eager
from paretodet.transforms.resize_policy import ResizePolicy, ShortSide, Stretch
from paretodet.types import Detections, Images

CANVAS = Stretch(height=32, width=48)
TWO_STAGES = "faster_rcnn-mobilenet_v1-96-s16-p8"


class Bright(nn.Module):
    """Two boxes an image, scored by how bright it is where two convolutions look."""

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(3, 8, 3, stride=4), nn.ReLU(), nn.Conv2d(8, 2, 1))

    def forward(self, images: Images) -> Detections:
        values = images.pixels.to(next(self.parameters()).dtype) / 255
        scores = self.network(values).float().mean((2, 3)).sigmoid().sort(1, descending=True).values
        boxes = images.sizes.flip(1).repeat(1, 2)[:, None] * torch.tensor([[0.0, 0, 0.5, 0.5], [0.5, 0.5, 1, 1]])
        return Detections(boxes, scores, torch.zeros_like(scores, dtype=torch.int64))

    def stages(self) -> tuple[tuple[str, Callable[[Any], Any]], ...]:
        return (("all", self),)


class Branching(Bright):
    """Depends on a value, which a graph cannot."""

    def forward(self, images: Images) -> Detections:
        return super().forward(images._replace(pixels=images.pixels + 1) if images.pixels.sum() > 9 else images)


def network(kind: type[nn.Module] = Bright, fit: ResizePolicy = CANVAS) -> TorchNetwork:
    torch.manual_seed(0)
    return TorchNetwork(
        name=kind.__name__,
        labels=("bright",),
        fit=fit,
        module=kind().eval(),
        describe=partial(ModelInfo, height=32, width=48),
        identity={"kind": kind.__name__},
    )


def assert_equal(found: Detections, wanted: Detections, tolerance: float = 1e-5) -> None:
    for one, other in zip(found, wanted, strict=True):
        assert one is other is None or torch.allclose(one, other, atol=tolerance)


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The frozen graph is run node by node, because compiling its code takes long."""

    def run_graph(graph: GraphModule, *_: Any, **__: Any) -> Callable[[list[Any]], Any]:
        def call(inputs: list[Any]) -> Any:
            return graph(*inputs)

        call._boxed_call = True  # type: ignore[attr-defined]
        return call

    monkeypatch.setattr("torch._inductor.compile_fx.compile_fx_inner", run_graph)


def test_it_finds_what_eager_finds(own_cache: Path, interpreted: None) -> None:
    """Also in a batch that is not full."""
    candidate, eager = NetworkCandidate(network(), Compiled(batch=2)), NetworkCandidate(network(), Eager())
    for count in (1, 2, 3):
        assert_equal(run(candidate, IMAGES[:count]), run(eager, IMAGES[:count]))
    facts = candidate.facts()
    assert (facts.runtime, facts.device, facts.precision) == ("compiled", "cpu", "fp32")
    assert facts.precision_layers == {"fp32": 2}
    assert facts.compile_ms and facts.export_ms is None and candidate.stages() == ()
    assert dict(facts.runtime_settings) == {"version": torch.__version__, "freezing": "True"}
    assert facts.artefact != eager.facts().artefact


def test_bf16_is_read_from_the_frozen_graph(own_cache: Path, interpreted: None) -> None:
    candidate = NetworkCandidate(network(), Compiled(precision="bf16"))
    assert candidate.facts().precision_layers == {"bf16": 2}
    found, wanted = (run(each, IMAGES[:1]) for each in (candidate, NetworkCandidate(network(), Eager())))
    assert found.boxes.dtype == torch.float32
    assert_equal(found, wanted, 2e-2)


@pytest.mark.full
def test_its_files_are_in_the_cache(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, "elsewhere")
    candidate = NetworkCandidate(network(), Compiled())
    assert os.environ[CACHE_VARIABLE] == "elsewhere" and not Path("elsewhere").exists()
    (entry,) = (path for path in own_cache.iterdir() if path.is_dir())
    assert len(list(entry.rglob("*.cpp"))) > 0
    assert_equal(run(candidate, IMAGES[:1]), run(NetworkCandidate(network(), Eager()), IMAGES[:1]))


def test_a_network_that_is_no_single_graph_is_refused(own_cache: Path) -> None:
    with pytest.raises(ValueError, match="^runtime: Branching cannot be compiled as one graph"):
        NetworkCandidate(network(Branching), Compiled())


def test_a_canvas_that_follows_each_image_is_refused() -> None:
    with pytest.raises(ValueError, match="^fit: the canvas follows .* and compiled needs one of a fixed size"):
        NetworkCandidate(network(fit=ShortSide(short=32, long=48)), Compiled())


def test_a_missing_compiler_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    config = CandidateConfig(name=TWO_STAGES, runtime="compiled")
    for use in (lambda: job(config), lambda: NetworkCandidate(network(), Compiled())):
        with pytest.raises(MissingExtra, match="runtime compiled needs a C.. compiler.* no-such-compiler"):
            use()


@pytest.mark.parametrize(("option", "value"), [("precision", "int8"), ("device", "tpu")])
def test_an_option_that_it_lacks_is_named(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{option}: got '{value}'"):
        Compiled(**{option: value})


@pytest.mark.full
@pytest.mark.parametrize("name", ["ssd-mobilenet_v1-96", "yolo_v3_tiny-96", "retinanet-resnet50-128", TWO_STAGES])
def test_detectors_find_what_they_find_in_eager(own_cache: Path, tmp_path: Path, name: str) -> None:
    path = narrow_weights(name, tmp_path)
    candidate, eager = opened(path, "compiled"), opened(path, "eager")
    assert candidate.facts().precision_layers.keys() == {"fp32"}
    assert_same_boxes(run(candidate, IMAGES[:2]), run(eager, IMAGES[:2]))


@pytest.mark.full
def test_a_detector_of_the_hub_finds_what_it_finds_in_eager(own_cache: Path) -> None:
    found, wanted = (run(open_candidate("hf:deimv2-atto", runtime=each), IMAGES[:1]) for each in ("compiled", "eager"))
    assert torch.allclose(found.scores, wanted.scores, atol=1e-4)


@pytest.mark.full
def test_a_darknet_cfg_finds_what_it_finds_in_eager(own_cache: Path, data_folder: Path) -> None:
    cfg = data_folder / "darknet" / "cfg" / "yolov3-tiny.cfg"
    found, wanted = (run(open_candidate(str(cfg), runtime=each), IMAGES[:1]) for each in ("compiled", "eager"))
    assert torch.allclose(found.scores, wanted.scores, atol=1e-4)
