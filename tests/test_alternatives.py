"""What `profile` advises to try next: the name, its form and the command accept all of it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_bundles import ARTIFACT, manifest
from paretodet import profiling
from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.export.bundle import entries, write_manifest
from paretodet.records.profile import Profile, ProfiledLayer
from paretodet.report.profiled import advice
from paretodet.runtimes.eager import Eager
from paretodet.runtimes.onnxruntime import OnnxRuntime
from paretodet.runtimes.runtime import Runtime
from paretodet.runtimes.table import RUNTIMES, no_profiler
from paretodet.sweep import executions

TINY = "yolo_v3_tiny-96"
LAYER: dict[str, Any] = {"name": "conv", "operator": "Conv", "ms": 1.0}


class Second(OnnxRuntime):
    """Another runtime of ONNX files that is installed."""

    name = "second"
    precisions = ("fp32", "bf16", "int8")


class Exact(OnnxRuntime):
    name = "exact"
    precisions = ("fp32",)
    quantizer = None


@pytest.fixture(autouse=True)
def runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: tuple[type[Runtime], ...] = (Eager, OnnxRuntime, Second, Exact)
    monkeypatch.setattr(executions, "RUNTIMES", kinds)
    monkeypatch.setattr("paretodet.runtimes.table.RUNTIMES", kinds)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "1.png")
    return folder


def profile(runtime: str, precision: str) -> Profile:
    about: dict[str, Any] = {"name": "it", "device": "cpu", "batch": 1, "threads": 1, "calls": 3, "latency_ms": 1.0}
    return Profile(**about, runtime=runtime, precision=precision, layers=(ProfiledLayer(**LAYER),))


def bundle(folder: Path, precision: str) -> str:
    folder.mkdir()
    (folder / ARTIFACT).write_bytes(b"a")
    write_manifest(folder, manifest(folder, files=entries(folder, (ARTIFACT,)), precision=precision))
    return str(folder)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("asked", [False, True])
def test_a_bundle_runs_in_its_own_precision_alone(tmp_path: Path, precision: str, asked: bool) -> None:
    name = bundle(tmp_path / "bundle", precision)
    found = profile("onnxruntime", precision)
    config = CandidateConfig(name=name, precision=precision if asked else None)
    others = profiling.alternatives(config, found)
    able = ["second", *(["exact"] if precision == "fp32" else [])]
    assert others == tuple((runtime, precision) for runtime in able)
    assert "--precision" not in advice(found, others) and "--runtime second" in advice(found, others)


def test_a_runtime_without_the_precision_of_a_bundle_is_left_out(tmp_path: Path) -> None:
    config = CandidateConfig(name=bundle(tmp_path / "bundle", "int8"))
    made = executions.executions([config], runtimes=("onnxruntime", "exact"))
    assert [(each.runtime, each.precision) for each in made.configs] == [("onnxruntime", None)]
    assert made.left_out == ("precision: exact has no int8 on cpu here",)


def test_a_file_in_int8_runs_as_it_is_stored_in_other_runtimes(tmp_path: Path) -> None:
    config = CandidateConfig(name=str(tmp_path / "a.onnx"))
    assert profiling.alternatives(config, profile("onnxruntime", "int8")) == (("second", "int8"), ("exact", "int8"))
    stored = profiling.alternatives(config, profile("onnxruntime", "fp32"))
    assert {("second", "fp32"), ("second", "bf16"), ("exact", "fp32")} <= {*stored}


def test_a_file_that_was_quantized_here_does_not_tell_its_own_precision(tmp_path: Path, images: Path) -> None:
    config = CandidateConfig(name=str(tmp_path / "a.onnx"), precision="int8", calibration=images)
    others = profiling.alternatives(config, profile("onnxruntime", "int8"))
    assert ("second", "bf16") in others and "fp32" not in {precision for _, precision in others}


def test_a_detector_that_was_quantized_here_may_run_in_float(images: Path) -> None:
    config = CandidateConfig(name=TINY, runtime="onnxruntime", precision="int8", calibration=images)
    others = profiling.alternatives(config, profile("onnxruntime", "int8"))
    assert {("eager", "fp32"), ("onnxruntime", "fp32"), ("second", "int8")} <= {*others}


def test_what_runs_itself_and_what_nothing_else_runs_has_no_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    assert profiling.alternatives(CandidateConfig(name="my:make", precision="bf16"), profile("mine", "fp32")) == ()
    monkeypatch.setattr(executions, "RUNTIMES", ())
    assert profiling.alternatives(CandidateConfig(name=TINY), profile("eager", "fp32")) == ()


@pytest.mark.parametrize("form", sorted({form for kind in RUNTIMES for form in kind.forms}))
def test_only_runtimes_that_time_a_form_are_named_for_it(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretodet.runtimes.table.RUNTIMES", RUNTIMES)
    for kind in RUNTIMES:
        assert {*kind.timed_forms} <= {*kind.forms}
        message = no_profiler(kind, form, None).message
        named = {other.name for other in RUNTIMES if f" {other.name} " in message.partition(";")[2]}
        able = {o.name for o in RUNTIMES if form in o.timed_forms and o.refusal(form, None) is None}
        assert named == able and ("--runtime" in message) == bool(able)


@pytest.mark.parametrize("target", ["litert", "executorch", "ncnn", "torch", "aotinductor"])
def test_a_bundle_whose_layers_nothing_times_is_refused_before_it_is_measured(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paretodet.runtimes.table.RUNTIMES", RUNTIMES)
    monkeypatch.setattr(profiling, "check", lambda name: name)
    monkeypatch.setattr(profiling.profiling, "profile", lambda *_: pytest.fail("measured"))
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / ARTIFACT).write_bytes(b"a")
    write_manifest(folder, manifest(folder, files=entries(folder, (ARTIFACT,)), target=target, precision="fp32"))
    with pytest.raises(InputError) as refused:
        profiling.profile(CandidateConfig(name=str(folder)))
    assert refused.value.id == "profile-failed" and "--runtime" not in refused.value.message
