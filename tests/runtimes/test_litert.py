"""Detectors in LiteRT: what eager PyTorch finds, their facts, and what is refused."""

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
from paretodet.opening import job, open_candidate
from paretodet.runtimes.litert import LiteRt

ONE_STAGE = "yolo_v3_tiny-96"
MISSING = "litert is not installed: pip install 'paretodet[litert]'"


def skip_without_litert() -> None:
    for library in ("ai_edge_litert", "litert_torch"):
        pytest.importorskip(library, reason=MISSING)


@pytest.mark.full
def test_it_finds_what_eager_finds(tmp_path: Path) -> None:
    """In batches of two, and in one that is not full."""
    skip_without_litert()
    path = narrow_weights(ONE_STAGE, tmp_path)
    candidate, eager = opened(path, "litert", batch=2, threads=1), opened(path, "eager")
    for count in (1, 2, 3):
        assert_same_boxes(run(candidate, IMAGES[:count]), run(eager, IMAGES[:count]))
    facts = candidate.facts()
    assert (facts.runtime, facts.device, facts.precision) == ("litert", "cpu", "fp32")
    assert facts.precision_layers == {"fp32": 13} and facts.export_ms and facts.compile_ms
    settings = dict(facts.runtime_settings)
    assert settings["xnnpack"] == "13 of 13 layers" and settings.keys() >= {"version", "litert-torch"}
    assert facts.artefact != eager.facts().artefact
    assert_stages_are_the_call(candidate)


@pytest.mark.full
@pytest.mark.parametrize("name", [*FAMILIES, "ssd_liu-vgg16-300", "ssd-inception_v2-128"])
def test_families_find_what_they_find_in_eager(tmp_path: Path, name: str) -> None:
    skip_without_litert()
    assert_finds_what_eager_finds(narrow_weights(name, tmp_path), "litert")


@pytest.mark.full
@pytest.mark.parametrize("name", ["retinanet-resnet50-128", "fcos-resnet50-128"])
def test_pyramids_are_right_where_a_level_is_not_twice_as_large_as_the_next(tmp_path: Path, name: str) -> None:
    """136x200 has maps of 17x25, 9x13 and 5x7."""
    skip_without_litert()
    path, options = narrow_weights(name, tmp_path), {"fit": "stretch", "height": 136, "width": 200}
    candidate, eager = opened(path, "litert", **options), opened(path, "eager", **options)
    assert_same_boxes(run(candidate, IMAGES[:2]), run(eager, IMAGES[:2]))


@pytest.mark.parametrize(("option", "value"), [("precision", "bf16"), ("precision", "fp16"), ("device", "cuda")])
def test_what_it_cannot_run_is_one_sentence(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"^{option}: got '{value}', litert runs"):
        open_candidate(ONE_STAGE, runtime="litert", **{option: value})


def test_a_missing_library_is_one_sentence_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    for use in (lambda: job(CandidateConfig(name=ONE_STAGE, runtime="litert")), lambda: LiteRt.require("torch")):
        with pytest.raises(MissingExtra, match=r"ai_edge_litert: pip install 'paretodet\[litert\]'"):
            use()
