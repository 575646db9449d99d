"""Detectors in int8 in the runtimes for phones: what executes, what is found, and their bundles."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runtime_subject import LABELS, narrow_weights, opened
from torch import Tensor, nn

from paretodet.bench.synthetic_images import draw_images
from paretodet.export import parity
from paretodet.export.calibration import CalibrationFeeds
from paretodet.export.executorch import write_pt2
from paretodet.export.litert import write_tflite
from paretodet.export.parts import Part
from paretodet.export.programs_int8 import WHOLE, Assembly, ProgramQuantizer, quantize_programs
from paretodet.export.proof import MIN_AGREEMENT, MIN_COMPARED
from paretodet.export.steps import BuildSteps
from paretodet.export.unselected import OUTPUTS, PIXELS, Layout
from paretodet.exporting import write_bundle
from paretodet.extras import MissingExtra
from paretodet.images import read_image
from paretodet.layers.fold import fold_norms
from paretodet.opening import open_candidate
from paretodet.runtimes.executorch import ExecuTorch, PteProgram
from paretodet.runtimes.litert import LiteRt, LiteRtArtifact, LiteRtProgram
from paretodet.sources.darknet import darknet_network
from paretodet.transforms.resize_policy import to_batch
from paretodet.types import Detections, Images

NANO = "darknet/mobilenetv2_yolov3_nano_coco"
CALIBRATED_ON = 24  # photographs of 44
QUANTIZERS = {"litert": "ai_edge_quantizer", "executorch": "torchao"}
RUNTIMES = {"litert": LiteRt, "executorch": ExecuTorch}
DETECTORS = {  # how many layers stay in float at least: the last one of each map
    "yolo_v3_tiny-96": 2,
    "ssd-mobilenet_v1-96": 12,
    "faster_rcnn-mobilenet_v1-96-s16-p8": 4,
}
SCANNED = 2  # more of them stay in float at most, by the scan, which depends on the kernels of a processor


def skip_without(runtime: str) -> None:
    reason = f"{runtime} is not installed: pip install 'paretodet[{runtime}]'"
    for library in (*RUNTIMES[runtime].libraries, *RUNTIMES[runtime].exporters, QUANTIZERS[runtime]):
        pytest.importorskip(library, reason=reason)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images to calibrate on."""
    folder = tmp_path_factory.mktemp("drawn")
    for number, image in enumerate(draw_images(seed=0, count=4)):
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def scores(candidate: Any) -> Mapping[int, np.ndarray]:
    """Of other images."""
    return {seed: parity.detected(candidate, draw_images(seed=seed, count=1)).scores.numpy() for seed in (1, 2)}


def assert_layers(layers: Mapping[str, int] | None, name: str) -> None:
    assert layers is not None and layers.keys() == {"int8", "fp32"} and layers["int8"] > layers["fp32"]
    assert DETECTORS[name] <= layers["fp32"] <= DETECTORS[name] + SCANNED


@pytest.mark.full
@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_int8_executes_and_scores_as_eager_does(runtime: str, name: str, drawn: Path, tmp_path: Path) -> None:
    skip_without(runtime)
    path = narrow_weights(name, tmp_path)
    int8, eager = opened(path, runtime, precision="int8", calibration=drawn), opened(path, "eager")
    facts = int8.facts()
    assert (facts.runtime, facts.precision) == (runtime, "int8")
    assert_layers(facts.precision_layers, name)
    assert dict(facts.runtime_settings)[QUANTIZERS[runtime].replace("_", "-")] and facts.export_ms
    assert facts.artefact != eager.facts().artefact
    for found, wanted in zip(scores(int8).values(), scores(eager).values(), strict=True):
        assert wanted.max() > 0.1 and np.abs(found - wanted).mean() < 0.05


class Boxes(nn.Module):
    """The Nano up to its suppression, of pixels in the layout of a runtime."""

    def __init__(self, network: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.network: Any = network
        self.layout = layout

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        planes = pixels if self.layout == "NCHW" else pixels.permute(0, 3, 1, 2)
        return self.network.boxes(self.network.features(Images(planes, planes)), (320, 320))


@dataclass(frozen=True, kw_only=True)
class NanoAssembly(Assembly):
    network: Any
    layout: Layout
    input = PIXELS
    names = (WHOLE,)

    def detector(self, runs: Mapping[str, Part]) -> Callable[[Images], Detections]:
        def detect(images: Images) -> Detections:
            pixels = images.pixels if self.layout == "NCHW" else images.pixels.permute(0, 2, 3, 1)
            boxes, scores = runs[WHOLE](pixels.contiguous())
            return self.network.selector(boxes, scores, (boxes.shape[1],), images.sizes)

        return detect


@pytest.mark.full
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_trained_weights_detect_what_they_detect_in_float(runtime: str, data_folder: Path, tmp_path: Path) -> None:
    """The Nano with its COCO weights, on other photographs than those that it was calibrated on."""
    skip_without(runtime)
    (cfg,), (weights,) = ((data_folder / NANO).glob(f"*.{ending}") for ending in ("cfg", "weights"))
    network = darknet_network(cfg, weights=weights, score=0.05)
    module, quantizer = fold_norms(network.module), RUNTIMES[runtime].quantizer
    assert isinstance(quantizer, ProgramQuantizer)
    (tmp_path / "float").mkdir()
    path, batch = tmp_path / "float" / f"{WHOLE}{quantizer.suffix}", torch.zeros(1, 3, 320, 320, dtype=torch.uint8)
    example = batch if quantizer.layout == "NCHW" else batch.permute(0, 2, 3, 1).contiguous()
    with torch.no_grad():
        program = torch.export.export(Boxes(module, quantizer.layout), (example,), strict=True)
    write_pt2(program, path) if runtime == "executorch" else write_tflite(program, PIXELS, OUTPUTS, path)
    photographs = sorted((data_folder / "coco_val2017_44/images").glob("*.jpg"))
    feeds = CalibrationFeeds(paths=tuple(photographs[:CALIBRATED_ON]), fit=network.fit)
    assembly = NanoAssembly(spec=None, network=module, layout=quantizer.layout)  # type: ignore[arg-type]
    quantize_programs(quantizer, assembly, path.parent, tmp_path, feeds, steps=BuildSteps())
    artifact = tmp_path / quantizer.artifact
    run: Any = PteProgram(artifact, 1) if runtime == "executorch" else LiteRtArtifact(LiteRtProgram(artifact, 1))
    assert run.precisions().keys() == {"int8", "fp32"} and run.precisions()["int8"] > 50
    comparison, int8 = parity.Comparison(), assembly.detector({WHOLE: run})
    for photograph in photographs[CALIBRATED_ON:]:
        images = to_batch([read_image(photograph)], network.fit)
        with torch.inference_mode():
            pair = [parity.boxes_of(each(images), 0) for each in (module, int8)]
        parity.add_agreement(comparison, *pair)
    assert comparison.compared >= MIN_COMPARED and comparison.agreement >= MIN_AGREEMENT, comparison.agreement


@pytest.mark.full
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_bundle_in_int8_executes_it(runtime: str, drawn: Path, tmp_path: Path) -> None:
    skip_without(runtime)
    weights = narrow_weights("ssd-mobilenet_v1-96", tmp_path)
    options: dict[str, Any] = {"to": runtime, "precision": "int8", "calibration": drawn}
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=drawn, **options)
    manifest = bundle.manifest
    assert (manifest.target, manifest.precision) == (runtime, "int8") and bundle.proof.verdict != "failed"
    assert_layers(manifest.precision_layers, "ssd-mobilenet_v1-96")
    assert (manifest.calibration or {})["images"] == 4 and QUANTIZERS[runtime] in manifest.versions
    assert {each.name: each.type for each in manifest.outputs} == {"boxes": "float32", "scores": "float32"}
    candidate: Any = open_candidate(str(bundle.folder))
    assert candidate.labels == LABELS and candidate.facts().precision == "int8"


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_int8_needs_its_quantizer(runtime: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = RUNTIMES[runtime]
    monkeypatch.setattr(kind.quantizer, "libraries", ("no_such_library",), raising=False)
    assert kind.usable("cpu") == ("fp32",)
    with pytest.raises(MissingExtra, match=rf"^int8 of runtime {runtime} needs .*paretodet\[{runtime}\]"):
        kind(precision="int8").require_quantizer(kind.extras)
