"""Detectors in OpenCV's DNN module: what eager PyTorch finds, their facts, and what is refused."""

import sys
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from runtime_subject import (
    FAMILIES,
    IMAGES,
    LABELS,
    assert_finds_what_eager_finds,
    assert_same_boxes,
    assert_stages_are_the_call,
    narrow_weights,
    opened,
    run,
)
from torch import Tensor

from paretodet.config import CandidateConfig
from paretodet.export import cache
from paretodet.export.cache import Entry
from paretodet.extras import MissingExtra
from paretodet.opening import job, open_candidate
from paretodet.runtimes import opencv as module
from paretodet.runtimes.opencv import OpenCv

ONE_STAGE = "yolo_v3_tiny-96"


@pytest.mark.full
def test_it_finds_what_eager_finds_in_parts_too(tmp_path: Path) -> None:
    """In batches of two, and in one that is not full."""
    path = narrow_weights(ONE_STAGE, tmp_path)
    candidate, eager = opened(path, "opencv", batch=2, threads=1), opened(path, "eager")
    for count in (1, 2, 3):
        assert_same_boxes(run(candidate, IMAGES[:count]), run(eager, IMAGES[:count]))
    facts, beside = candidate.facts(), eager.facts()
    assert (facts.runtime, facts.device, facts.precision) == ("opencv", "cpu", "fp32")
    assert facts.precision_layers == {"fp32": 13} and facts.export_ms and facts.compile_ms
    assert dict(facts.runtime_settings)["version"].startswith("4.")
    assert facts.artefact != beside.artefact and facts.weights == beside.weights
    state: Any = candidate.prepare(IMAGES[:2])
    batch = state
    for _, step in candidate.stages():
        state = step(state)
    assert_same_boxes(state, candidate.infer(batch))
    assert_stages_are_the_call(candidate)


@pytest.mark.full
def test_its_layers_are_those_of_the_detector(tmp_path: Path) -> None:
    """A convolution with what OpenCV fuses into it is one layer; torch's parts follow."""
    candidate = opened(narrow_weights(ONE_STAGE, tmp_path), "opencv", threads=1)
    layers = candidate.profile(candidate.prepare(IMAGES[:1]), 2)
    names = [layer.name for layer in layers]
    assert len({*names}) == len(names) and "(select)" in names
    works = {work.name for work in candidate.facts().layers}
    assert works == {layer.name for layer in layers if layer.operator == "Convolution"}
    assert all(layer.ms > 0 for layer in layers if layer.name in works)


@pytest.mark.full
@pytest.mark.parametrize("name", FAMILIES)
def test_families_find_what_they_find_in_eager(tmp_path: Path, name: str) -> None:
    assert_finds_what_eager_finds(narrow_weights(name, tmp_path), "opencv")


@pytest.mark.parametrize("wrong", ["other numbers", "an error"])
def test_a_program_that_computes_something_else_or_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    program, message = {
        "other numbers": (Wrong(), "computes other codes of trunk"),
        "an error": (Failing(), r"cannot run the trunk of this detector \(.*findCommonShape.*\[graph-failed\]"),
    }[wrong]
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(OpenCv, "export", lambda self, detector: Entry(tmp_path, 0.0))
    monkeypatch.setattr(OpenCv, "compile", lambda self, folder, part: program)
    with pytest.raises(ValueError, match=f"^runtime: opencv {message}"):
        open_candidate(ONE_STAGE, runtime="opencv", labels=LABELS)


class Failing:
    """As OpenCV does if the shapes of a sum do not fit."""

    def __call__(self, values: Tensor) -> list[Tensor]:
        raise cv2.error("findCommonShape")

    def precisions(self) -> dict[str, int]:
        return {}


class Wrong:
    """Predicts nothing but ones."""

    def __call__(self, values: Tensor) -> list[Tensor]:
        return [torch.ones(1, 135, 4), torch.ones(1, 135, 1 + len(LABELS))]

    def precisions(self) -> dict[str, int]:
        return {"fp32": 1}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hf:deimv2-atto", {}, r"^runtime: opencv runs detectors of the catalogue \(hf:deimv2-atto\)"),
        (ONE_STAGE, {"precision": "bf16"}, "^precision: got 'bf16', opencv runs fp32"),
        (ONE_STAGE, {"device": "cuda"}, "^device: got 'cuda', opencv runs on cpu"),
        ("a.onnx", {}, "^runtime: opencv cannot run a.onnx"),
    ],
)
def test_what_it_cannot_run_is_one_sentence(name: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_candidate(name, runtime="opencv", **options)


@pytest.mark.parametrize("version", ["5.0.0.93", "6.1.0"])
def test_a_version_that_computes_other_shapes_is_refused(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    config = CandidateConfig(name=ONE_STAGE, runtime="opencv", labels=LABELS)
    monkeypatch.setattr(module, "version_of", lambda library: version)
    for use in (lambda: job(config), lambda: OpenCv.require("torch")):
        with pytest.raises(MissingExtra, match=rf"OpenCV 4, .*{version}.*paretodet\[onnx,video\].*\[extra-missing\]"):
            use()


@pytest.mark.parametrize("version", ["4.10.0.84", "4.14.0.94", "unknown"])
def test_versions_of_4_are_taken(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr(module, "version_of", lambda library: version)
    OpenCv.require("torch")


def test_a_missing_library_is_one_sentence_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    config = CandidateConfig(name=ONE_STAGE, runtime="opencv", labels=LABELS)
    for use in (lambda: job(config), lambda: OpenCv.require("torch")):
        with pytest.raises(MissingExtra, match=r"cv2: pip install 'paretodet\[onnx,video\]'"):
            use()
