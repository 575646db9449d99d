"""Detectors in int8 in the runtimes for phones: what executes, what is found, and their bundles."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runtime_subject import LABELS, narrow_weights, opened

from paretodet.bench.synthetic_images import draw_images
from paretodet.export import parity
from paretodet.exporting import write_bundle
from paretodet.extras import MissingExtra
from paretodet.opening import open_candidate
from paretodet.runtimes.executorch import ExecuTorch
from paretodet.runtimes.litert import LiteRt

QUANTIZERS = {"litert": "ai_edge_quantizer", "executorch": "torchao"}
RUNTIMES = {"litert": LiteRt, "executorch": ExecuTorch}
DETECTORS = {  # layers by precision: the last one of each map stays in float
    "yolo_v3_tiny-96": {"int8": 11, "fp32": 2},
    "ssd-mobilenet_v1-96": {"int8": 35, "fp32": 12},
    "faster_rcnn-mobilenet_v1-96-s16-p8": {"int8": 26, "fp32": 4},
}


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


@pytest.mark.full
@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_int8_executes_and_scores_as_eager_does(runtime: str, name: str, drawn: Path, tmp_path: Path) -> None:
    skip_without(runtime)
    path = narrow_weights(name, tmp_path)
    int8, eager = opened(path, runtime, precision="int8", calibration=drawn), opened(path, "eager")
    facts = int8.facts()
    assert (facts.runtime, facts.precision) == (runtime, "int8") and facts.precision_layers == DETECTORS[name]
    assert dict(facts.runtime_settings)[QUANTIZERS[runtime].replace("_", "-")] and facts.export_ms
    assert facts.artefact != eager.facts().artefact
    for found, wanted in zip(scores(int8).values(), scores(eager).values(), strict=True):
        assert wanted.max() > 0.1 and np.abs(found - wanted).mean() < 0.05


@pytest.mark.full
@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_bundle_in_int8_executes_it(runtime: str, drawn: Path, tmp_path: Path) -> None:
    skip_without(runtime)
    weights = narrow_weights("ssd-mobilenet_v1-96", tmp_path)
    options: dict[str, Any] = {"to": runtime, "precision": "int8", "calibration": drawn}
    bundle = write_bundle(str(weights), out=tmp_path / "bundle", images=drawn, **options)
    manifest = bundle.manifest
    assert (manifest.target, manifest.precision) == (runtime, "int8") and bundle.proof.verdict != "failed"
    assert manifest.precision_layers == DETECTORS["ssd-mobilenet_v1-96"]
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
