"""Detectors in ExecuTorch: what eager PyTorch finds, which kernels execute, and what is refused."""

import sys
from pathlib import Path

import pytest
import torch
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
from paretodet.runtimes.executorch import ExecuTorch
from paretodet.types import Images

ONE_STAGE = "yolo_v3_tiny-96"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("executorch")
    return narrow_weights(ONE_STAGE, tmp_path_factory.mktemp("weights"))


@pytest.mark.full
def test_it_finds_what_eager_finds_in_parts_too(path: Path) -> None:
    """In batches of two, and in one that is not full."""
    candidate, eager = opened(path, "executorch", batch=2, threads=1), opened(path, "eager")
    for count in (1, 2, 3):
        assert_same_boxes(run(candidate, IMAGES[:count]), run(eager, IMAGES[:count]))
    facts, beside = candidate.facts(), eager.facts()
    assert (facts.runtime, facts.device, facts.precision) == ("executorch", "cpu", "fp32")
    assert facts.precision_layers == {"fp32": 13} and facts.export_ms and facts.compile_ms
    assert dict(facts.runtime_settings).keys() >= {"version", "backend"}
    assert facts.artefact != beside.artefact and facts.weights == beside.weights
    state = batch = candidate.prepare(IMAGES[:2])
    for _, stage in candidate.stages():
        state = stage(state)
    assert_same_boxes(state, candidate.infer(batch))
    assert_stages_are_the_call(candidate)


@pytest.mark.full
def test_batches_in_channels_last_give_the_same(path: Path) -> None:
    candidate = opened(path, "executorch", batch=2, threads=1)
    pixels, sizes = candidate.prepare(IMAGES[:2])
    turned = pixels.contiguous(memory_format=torch.channels_last)
    assert not turned.is_contiguous()
    for wanted, found in zip(
        candidate.infer(Images(pixels, sizes)), candidate.infer(Images(turned, sizes)), strict=True
    ):
        assert wanted is found is None or torch.equal(wanted, found)


@pytest.mark.full
def test_an_open_detector_keeps_its_threads(path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The library has one pool, and frees the one that a loaded program still points to."""
    candidate = opened(path, "executorch", threads=1)
    capfd.readouterr()
    with pytest.raises(ValueError, match=r"^threads: got 2, .* uses 1;.*\[option-unsupported\]"):
        opened(path, "executorch", threads=2)
    before = run(candidate, IMAGES[:1])
    del candidate
    after = opened(path, "executorch", threads=2)
    assert capfd.readouterr().err == ""
    assert_same_boxes(run(after, IMAGES[:1]), before)


@pytest.mark.full
@pytest.mark.parametrize("name", [*FAMILIES, "ssd_liu-vgg16-300", "ssd-inception_v2-128"])
def test_families_find_what_they_find_in_eager_by_xnnpack_alone(tmp_path: Path, name: str) -> None:
    pytest.importorskip("executorch")
    path = narrow_weights(name, tmp_path)
    assert_finds_what_eager_finds(path, "executorch")
    assert opened(path, "executorch", fit="stretch").facts().precision_layers.keys() == {"fp32"}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hf:deimv2-atto", {}, r"^runtime: executorch runs detectors of the catalogue \(hf:deimv2-atto\)"),
        (ONE_STAGE, {"precision": "bf16"}, "^precision: got 'bf16', executorch runs fp32"),
        (ONE_STAGE, {"device": "cuda"}, "^device: got 'cuda', executorch runs on cpu"),
    ],
)
def test_what_it_cannot_run_is_one_sentence(name: str, options: dict[str, str], message: str) -> None:
    pytest.importorskip("executorch")
    with pytest.raises(ValueError, match=message):
        open_candidate(name, runtime="executorch", **options)


def test_a_missing_library_is_one_sentence_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "executorch", None)
    for use in (
        lambda: job(CandidateConfig(name=ONE_STAGE, runtime="executorch")),
        lambda: ExecuTorch.require("torch"),
    ):
        with pytest.raises(MissingExtra, match=r"executorch: pip install 'paretodet\[executorch\]'"):
            use()
