"""Detectors in ncnn: what eager PyTorch finds, their facts, and what is refused."""

import sys
from pathlib import Path

import pytest
from runtime_subject import (
    FAMILIES,
    IMAGES,
    assert_finds_what_eager_finds,
    assert_same_boxes,
    assert_stages_are_the_call,
    narrow_weights,
    opened,
    run,
)

from paretodet.config import CandidateConfig
from paretodet.extras import MissingExtra
from paretodet.opening import job
from paretodet.runtimes.ncnn import Ncnn

ONE_STAGE = "yolo_v3_tiny-96"


def test_it_finds_what_eager_finds(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    path = narrow_weights(ONE_STAGE, tmp_path)
    candidate, eager = opened(path, "ncnn", batch=2, threads=1), opened(path, "eager")
    assert_same_boxes(run(candidate, IMAGES), run(eager, IMAGES))
    facts = candidate.facts()
    assert (facts.runtime, facts.precision, facts.precision_layers) == ("ncnn", "fp32", {"fp32": 13})
    assert facts.export_ms and facts.compile_ms and dict(facts.runtime_settings).keys() >= {"version", "pnnx"}
    assert facts.artefact != eager.facts().artefact
    assert_stages_are_the_call(candidate)


@pytest.mark.full
@pytest.mark.parametrize("name", [*FAMILIES, "ssd_liu-vgg16-300", "ssd-inception_v2-128"])
def test_families_find_what_they_find_in_eager(tmp_path: Path, name: str) -> None:
    pytest.importorskip("ncnn")
    assert_finds_what_eager_finds(narrow_weights(name, tmp_path), "ncnn")


def test_a_missing_library_is_one_sentence_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ncnn", None)
    for use in (lambda: job(CandidateConfig(name=ONE_STAGE, runtime="ncnn")), lambda: Ncnn.require("torch")):
        with pytest.raises(MissingExtra, match=r"ncnn: pip install 'paretodet\[ncnn\]'"):
            use()
