"""`measure` over runtimes and precisions, and `profile`: what they print, and that a failed build stops nothing."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from paretodet.bench import runner
from paretodet.bench.job import Job, Plan
from paretodet.bench.selftest import SelfTestResult
from paretodet.detectors.families import spec
from paretodet.errors import InputError
from paretodet.network import operations
from paretodet.records.measurement import Measurement
from paretodet.records.profile import Profile, ProfiledLayer
from paretodet.records.row_id import with_id
from paretodet.runtimes import table
from paretodet.sweep import executions, measuring

Run = Callable[..., tuple[int, str, str]]
TINY = "yolo_v3_tiny-96"
QUICK = Plan(
    processes=2, slow_processes=2, max_processes=2, patience=1.0, sampled=0.05, burst=0.02, warm=0.02, warm_calls=2,
    warm_limit=0.1,
)  # fmt: skip
RUNTIME = '''
"""A runtime that executes bf16 whatever it is asked for, one whose builds fail, and one whose exports do."""
import os
from dataclasses import dataclass
from paretodet.runtimes import table
from paretodet.runtimes.eager import Eager
from paretodet.runtimes.onnxruntime import OnnxRuntime

@dataclass(frozen=True, kw_only=True)
class Rounded(Eager):
    name = "rounded"

    @classmethod
    def imports(cls, form):
        return (__name__,)

    def build(self, network):
        session = super().build(network)
        facts = session.facts() | {"precision": "bf16", "precision_layers": {"bf16": 13}}
        session.facts = lambda: facts
        return session

@dataclass(frozen=True, kw_only=True)
class Broken(Rounded):
    name = "broken"

    def build(self, network):
        raise ValueError("runtime: broken has no operator Conv of layer backbone.stem")

@dataclass(frozen=True, kw_only=True)
class Uncached(OnnxRuntime):
    name = "uncached"

    @classmethod
    def imports(cls, form):
        return (__name__,)

    def build(self, network):
        os.environ["PARETODET_CACHE"] = "/dev/null/cache"
        return super().build(network)

table.RUNTIMES = (*table.RUNTIMES, Rounded, Broken, Uncached)
'''


def bench(jobs: list[Job], *, plan: Plan, run: str = "single", **more: Any) -> Iterator[Measurement]:
    """In place of the real one: a row of each job in what it was asked for, or with why it cannot run."""
    for place, job in enumerate(jobs, start=1):
        about = {"latency_ms_p50": 10.0 * place, "processes": 3, "raw": ({"bursts": []},), "artefact": str(place)}
        about = {"error": job.refused, "validity": "error"} if job.refused else about
        row = Measurement(
            id="", run=run, at="2030-01-01", name=job.name, job=job.recipe, **job.asked, **job.about, **about
        )
        yield with_id(row)


def test_every_runtime_and_precision_is_a_row(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "measure", bench)
    code, out, err = run("measure", TINY, "hf:d_fine-n", "--runtime", "all", "--precision", "all", "--json")
    assert code == 0, err
    rows = {(row["name"], row["runtime"], row["precision"]): row for row in json.loads(out)}
    assert {(TINY, "eager", "fp32"), (TINY, "eager", "bf16"), (TINY, "onnxruntime", "fp32")} <= {*rows}
    assert len(rows) == len(json.loads(out))
    refused = rows["hf:d_fine-n", "onnxruntime", "fp32"]
    assert refused["latency_ms_p50"] is None and refused["error"].endswith("[option-unsupported]")
    assert "Not measured: runtime: onnxruntime runs ONNX files and detectors of the catalogue (hf:d_fine-n)." in err


def test_tables_and_lines_name_what_differs(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "measure", bench)
    code, out, _ = run("measure", TINY, "--runtime", "eager", "--precision", "fp32, bf16")
    head, first, second, *_ = out.splitlines()
    assert code == 0 and "Precision" in head and "Runtime" not in head
    assert (first.split()[:2], second.split()[:2]) == ([TINY, "fp32"], [TINY, "bf16"])


def test_a_runtime_that_is_named_and_missing_is_an_error(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for runtimes in ("onnxruntime", "eager,onnxruntime"):
        code, out, err = run("measure", TINY, "--runtime", runtimes)
        assert code == 2 and out == "" and "pip install 'paretodet[onnx,onnxruntime]'" in err
    monkeypatch.setattr(measuring, "measure", bench)
    code, out, err = run("measure", TINY, "ssd-mobilenet_v1-96", "--runtime", "all", "--json")
    assert (
        code == 0 and err.count("runtime onnxruntime needs onnxruntime: pip install 'paretodet[onnx,onnxruntime]'") == 1
    )
    errors = [row["error"] for row in json.loads(out) if row["runtime"] == "onnxruntime"]
    assert len(errors) == 2 and all(error.endswith("[extra-missing]") for error in errors)


@pytest.fixture
def rounded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """The runtimes `rounded` and `broken`, also in the processes of the bench, which does not test its clock."""
    (tmp_path / "rounded_runtime.py").write_text(RUNTIME)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ":".join([str(tmp_path), *sys.path]))
    monkeypatch.setattr(table, "RUNTIMES", table.RUNTIMES)
    importlib.import_module("rounded_runtime")
    monkeypatch.setattr(executions, "RUNTIMES", table.RUNTIMES)
    result = SelfTestResult(clock_ms=0.0, wait_ms=20.0, twice=2.0, resolution_pct=2.0)
    monkeypatch.setattr(runner, "selftest", lambda *_: result)
    monkeypatch.setattr(runner, "ceilings_of", lambda *_: {"fp32_gflops": 100.0, "copy_gb_s": 10.0})
    monkeypatch.setattr("paretodet.sweep.plans.make_plan", lambda *_, **more: QUICK)
    yield
    del sys.modules["rounded_runtime"]


@pytest.mark.full
def test_another_precision_and_a_failed_build_are_error_rows_and_the_run_goes_on(run: Run, rounded: None) -> None:
    code, out, err = run("measure", TINY, "--runtime", "rounded,broken,eager", "--json")
    assert code == 0, err
    rows = {row["runtime"]: row for row in json.loads(out)}
    assert list(rows) == ["rounded", "broken", "eager"]
    assert rows["rounded"]["validity"] == rows["broken"]["validity"] == "error"
    assert rows["rounded"]["error"].endswith("[precision-fallback]") and rows["rounded"]["precision"] == "fp32"
    assert "no operator Conv" in rows["broken"]["error"]
    assert rows["eager"]["latency_ms_p50"] > 0 and rows["eager"]["floor_ms"] > 0
    code, out, err = run("measure", TINY, "--runtime", "rounded", "--allow-fallback", "--json")
    (row,) = json.loads(out)
    assert code == 0 and row["precision"] == "bf16" and row["precision_layers"] == {"bf16": 13}
    assert row["latency_ms_p50"] > 0 and row["error"] is None and row["floor_ms"] is None


@pytest.mark.full
def test_an_export_that_fails_is_an_error_row(run: Run, rounded: None) -> None:
    code, out, err = run("measure", TINY, "--runtime", "uncached,eager", "--json")
    rows = {row["runtime"]: row for row in json.loads(out)}
    assert code == 0 and rows["eager"]["error"] is None, err
    assert rows["uncached"]["validity"] == "error" and "[output-unwritable]" in rows["uncached"]["error"]


@pytest.mark.full
@pytest.mark.parametrize("runtime", ["eager", "onnxruntime", "opencv"])
def test_profile_times_every_layer(run: Run, runtime: str) -> None:
    code, out, err = run("profile", TINY, "--runtime", runtime, "--threads", 1, "--json", "--plot", "p.svg")
    assert code == 0, err
    found = json.loads(out)
    layers = {layer["name"]: layer for layer in found["layers"]}
    assert len(layers) == len(found["layers"])
    assert sum(layer["macs"] or 0 for layer in layers.values()) == operations(spec(TINY)).macs
    assert all(layer["ms"] > 0 and layer["floor_ms"] > 0 for layer in layers.values() if layer["macs"])
    assert found["runtime"] == runtime and found["threads"] == 1 and found["ceilings"]["fp32_gflops"] > 0
    assert ["eager", "bf16"] in found["alternatives"]
    assert Path("p.svg").read_text().startswith("<svg")
    assert err.splitlines()[-1].startswith(f"Next: paretodet measure {TINY} --runtime ")


@pytest.mark.parametrize("runtime", ["compiled", "ncnn"])
def test_profile_in_a_runtime_that_does_not_time_layers_is_refused_at_once(run: Run, runtime: str) -> None:
    code, out, err = run("profile", TINY, "--runtime", runtime)
    assert code == 2 and out == "" and err.strip().endswith("[profile-failed]")


@pytest.mark.full
def test_profile_of_what_cannot_time_its_layers_is_one_sentence(run: Run, tmp_path: Path) -> None:
    (tmp_path / "plain_maker.py").write_text(
        "import torch\nfrom paretodet.sources.function import FunctionAdapter\n"
        "from paretodet.transforms.resize_policy import Stretch\n"
        "def find(batch):\n    return torch.zeros(1, 1, 4), torch.zeros(1, 1), torch.zeros(1, 1)\n"
        "def make():\n    return FunctionAdapter('plain', find, fit=Stretch(height=32, width=32))\n"
    )
    code, out, err = run("profile", "plain_maker:make", "--trust")
    assert code == 2 and out == "" and "its layers cannot be timed" in err and "Traceback" not in err


def profiled(monkeypatch: pytest.MonkeyPatch, others: Any, *, precision: str = "int8") -> None:
    """In place of the real one: a profile, and what else could run it."""
    layers = (ProfiledLayer(name="backbone.conv", operator="Convolution", ms=3.0),)
    about: dict[str, Any] = {"name": TINY, "device": "cpu", "batch": 1, "threads": 1, "calls": 3, "latency_ms": 3.0}
    found = Profile(**about, runtime="openvino", precision=precision, layers=layers)
    monkeypatch.setattr("paretodet.profiling.profile", lambda *_, **more: found)
    monkeypatch.setattr("paretodet.profiling.alternatives", others)


def test_profile_shows_what_was_measured_before_it_looks_for_others(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise InputError("images: gone", "images-none")

    profiled(monkeypatch, fail)
    code, out, err = run("profile", TINY)
    assert code == 2 and "backbone.conv" in out and err.strip().endswith("[images-none]")


@pytest.mark.parametrize(
    ("given", "others", "words"),
    [
        (("--precision", "int8", "--calibrate", "images"), [("eager", "fp32")], "--runtime eager --precision fp32"),
        (
            ("--precision", "int8", "--calibrate", "images"),
            [("openvino", "fp32"), ("onnxruntime", "int8")],
            "--runtime openvino,onnxruntime --precision fp32,int8 --calibrate images",
        ),
        (("--precision", "int8"), [("onnxruntime", "int8")], "--runtime onnxruntime --precision int8"),
        ((), [("onnxruntime", "int8")], "--runtime onnxruntime"),
        (
            ("--batch", "2", "--threads", "1", "--images", "photos"),
            [("onnxruntime", "int8")],
            "--runtime onnxruntime --batch 2 --threads 1 --images photos",
        ),
    ],
)
def test_the_command_after_a_profile_is_one_that_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], others: list[tuple[str, str]], words: str
) -> None:
    profiled(monkeypatch, lambda *_: others)
    code, _, err = run("profile", TINY, *given)
    assert code == 0 and err.splitlines()[-1] == f"Next: paretodet measure {TINY} {words}"
