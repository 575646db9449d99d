"""Masks of a bundle are drawn into images by the rule of the detector that it was made of."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from narrow_weights import write_narrow
from paretodet import exporting
from paretodet.candidate import NetworkCandidate
from paretodet.detectors.families import spec
from paretodet.evaluation.masks import Pasting
from paretodet.export.proof import Pair, prove
from paretodet.opening import open_candidate
from target_subject import write_photos

pytestmark = pytest.mark.usefixtures("exports_here")

NAMES = ("mask_rcnn_d2-resnet50-128", "mask_rcnn_zoo-inception_v2-96-s16-p8")


def pasting(name: Path) -> Pasting:
    candidate = open_candidate(str(name))
    assert isinstance(candidate, NetworkCandidate)
    return candidate.pasting


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_a_proof_and_an_opened_bundle_draw_as_the_detector_does(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = list[Any]()

    def noted(pair: Pair, *rest: Any, **more: Any) -> Any:
        """Passes: of narrow weights, rounding decides which of nearly equal boxes are kept in a blank image."""
        pairs.append(pair)
        proof, comparison = prove(pair, *rest, **more)
        return replace(proof, verdict="passed"), comparison

    monkeypatch.setattr(exporting, "prove", noted)
    weights = write_narrow(name, tmp_path / "weights.safetensors")
    (photos := tmp_path / "photos").mkdir()
    bundle = exporting.write_bundle(str(weights), out=tmp_path / "bundle", images=write_photos(photos))
    masks = spec(name).masks
    assert masks and masks.pasting != "detectron" and pasting(weights) == masks.pasting
    assert {each.pasting for each in (pairs[0].reference, pairs[0].artifact)} == {masks.pasting}
    assert pasting(bundle.folder) == masks.pasting
