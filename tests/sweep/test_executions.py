"""Runtimes and precisions become configs of every combination that can run; what is left out is one sentence each."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from made_bundles import ARTIFACT, manifest
from paretodet.config import CandidateConfig
from paretodet.detectors.families import spec
from paretodet.errors import InputError
from paretodet.export.bundle import entries, write_manifest
from paretodet.extras import MissingExtra
from paretodet.runtimes.compiled import Compiled
from paretodet.runtimes.eager import Eager
from paretodet.runtimes.ncnn import Ncnn
from paretodet.runtimes.onnxruntime import OnnxRuntime
from paretodet.runtimes.opencv import OpenCv
from paretodet.runtimes.runtime import Runtime
from paretodet.sources.catalogue import Catalogue
from paretodet.sweep import executions as module
from paretodet.sweep.executions import executions

ORT = "onnxruntime"
SSD, FASTER, HUB = "ssd-mobilenet_v1-300", "faster_rcnn-mobilenet_v1-96-s16-p8", "hf:d_fine-n"


class Absent(OnnxRuntime):
    """A runtime whose library is not installed."""

    name = "absent"
    precisions = ("fp32", "int8")

    @classmethod
    def require(cls, form: str) -> None:
        raise MissingExtra("runtime absent needs absent: pip install 'paretodet[absent]'")


class Present(Absent):
    name = "present"

    @classmethod
    def require(cls, form: str) -> None:
        return None


@pytest.fixture(autouse=True)
def runtimes(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Eager, ONNX Runtime, one that is installed and has int8, and one that is not installed; an image at hand."""
    image = tmp_path_factory.mktemp("hand") / "1.png"
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(image)
    monkeypatch.setattr("paretodet.media.calibration.files_at_hand", lambda: {"here": [image]})
    kinds: tuple[type[Runtime], ...] = (Eager, OnnxRuntime, Present, Absent)
    monkeypatch.setattr(module, "RUNTIMES", kinds)
    monkeypatch.setattr("paretodet.runtimes.table.RUNTIMES", kinds)


def expanded(*names: str, device: str | None = None, **asked: Any) -> tuple[list[tuple[Any, ...]], tuple[str, ...]]:
    """(runtime, precision) of the configs, with the name if there are several, and the sentences."""
    made = executions([CandidateConfig(name=name, device=device) for name in names], **asked)
    several = len(names) > 1
    return [(*([each.name] * several), each.runtime, each.precision) for each in made.configs], made.left_out


def test_all_is_what_can_run_a_candidate_here() -> None:
    configs, left_out = expanded(SSD, runtimes=("all",), precisions=("all",))
    assert configs == [
        ("eager", None), ("eager", "bf16"), ("onnxruntime", None), ("onnxruntime", "int8"), ("present", None),
        ("present", "int8"),
    ]  # fmt: skip
    assert left_out == ("runtime absent needs absent: pip install 'paretodet[absent]'",)


def test_a_runtime_that_is_not_installed_is_refused_for_every_candidate_and_named_once() -> None:
    made = executions([CandidateConfig(name=name) for name in (SSD, FASTER)], runtimes=("all",), precisions=("all",))
    assert [(each.config.name, each.config.runtime) for each in made.refused] == [(SSD, "absent"), (FASTER, "absent")]
    assert {each.error.id for each in made.refused} == {"extra-missing"} and len(made.left_out) == 1


def test_a_named_runtime_that_is_not_installed_can_be_refused_like_one_of_all() -> None:
    for runtimes in (("absent",), ("absent", "eager")):
        with pytest.raises(MissingExtra):
            executions([CandidateConfig(name=SSD)], runtimes=runtimes, precisions=("fp32", "bf16"))
    made = executions([CandidateConfig(name=SSD)], runtimes=("absent", "eager"), refuse_absent=True)
    assert [each.runtime for each in made.configs] == ["eager"] and len(made.refused) == len(made.left_out) == 1
    with pytest.raises(InputError, match="runtime absent needs absent") as caught:
        executions([CandidateConfig(name=SSD)], runtimes=("absent",), precisions=("fp32",), refuse_absent=True)
    assert caught.value.id == "option-value"


@pytest.mark.parametrize("kind", [Compiled, OpenCv, Ncnn])
def test_networks_of_others_are_refused_by_runtimes_of_our_detectors(
    monkeypatch: pytest.MonkeyPatch, kind: type[Runtime]
) -> None:
    """Also if the library is not installed: installing it would not help."""
    monkeypatch.setattr(module, "RUNTIMES", (Eager, kind))
    monkeypatch.setattr(Compiled, "require", classmethod(lambda cls, form: None))
    made = executions([CandidateConfig(name=HUB)], runtimes=("all",))
    assert [each.runtime for each in made.configs] == ["eager", *(["compiled"] if kind is Compiled else [])]
    assert [each.error.id for each in made.refused] == ([] if kind is Compiled else ["option-unsupported"])


def test_every_runtime_states_the_precisions_that_it_executes() -> None:
    assert {kind.name: kind.usable("cpu") for kind in (Eager, Compiled, OnnxRuntime, OpenCv, Ncnn)} == {
        "eager": ("fp32", "bf16"), "compiled": ("fp32", "bf16"), "onnxruntime": ("fp32", "int8"),
        "opencv": ("fp32",), "ncnn": ("fp32",),
    }  # fmt: skip


def test_lists_multiply_and_leave_out_what_a_runtime_lacks() -> None:
    configs, left_out = expanded(SSD, runtimes=("eager", "present"), precisions=("fp32", "bf16"))
    assert configs == [("eager", None), ("eager", "bf16"), ("present", None)]
    assert left_out == ("precision: present has no bf16 on cpu here",)


def test_a_list_of_precisions_is_of_the_default_runtime() -> None:
    assert expanded(SSD, precisions=("bf16", "fp32"))[0] == [("eager", "bf16"), ("eager", None)]


def test_one_of_each_is_set_as_it_is() -> None:
    """So that what cannot run stays an error of its own."""
    assert expanded(HUB, runtimes=("absent",), precisions=("fp32",)) == ([("absent", "fp32")], ())
    assert expanded(SSD) == ([(None, None)], ())


def test_networks_that_a_runtime_cannot_take_are_named_once_for_each_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    """The canvas of a detector with weights may follow each image; without, it is of a fixed size."""
    monkeypatch.setattr(Catalogue, "spec", lambda self, config: spec(config.name))
    configs, left_out = expanded(HUB, FASTER, "hf:d_fine-s", "a.onnx", runtimes=("eager", "onnxruntime"))
    assert configs == [
        (HUB, "eager", None), (FASTER, "eager", None), ("hf:d_fine-s", "eager", None), ("a.onnx", "onnxruntime", None),
    ]  # fmt: skip
    starts = ("runtime: onnxruntime runs", "fit: the canvas follows", "runtime: eager cannot run an ONNX file")
    ends = ("(hf:d_fine-n, hf:d_fine-s)", f"({FASTER})", "(a.onnx)")
    assert len(left_out) == 3
    for sentence, start, end in zip(left_out, starts, ends, strict=True):
        assert sentence.startswith(start) and sentence.endswith(end)


def test_a_canvas_of_a_fixed_size_can_be_exported() -> None:
    assert [each.runtime for each in executions([CandidateConfig(name=FASTER)], runtimes=("all",)).configs] == [
        "eager", "onnxruntime", "present",
    ]  # fmt: skip


def test_a_file_runs_as_it_is_stored_and_in_what_a_runtime_makes_of_it() -> None:
    configs, _ = expanded("a.onnx", runtimes=("all",), precisions=("all",))
    assert configs == [("onnxruntime", None), ("onnxruntime", "int8"), ("present", None), ("present", "int8")]


def test_a_folder_of_images_is_for_what_is_in_int8() -> None:
    folder = Path("images")
    made = executions([CandidateConfig(name=SSD)], precisions=("fp32", "int8"), runtimes=(ORT,), calibration=folder)
    assert [(each.precision, each.calibration) for each in made.configs] == [(None, None), ("int8", folder)]
    one = executions([CandidateConfig(name=SSD)], precisions=("int8",), runtimes=(ORT,), calibration=folder)
    assert [each.calibration for each in one.configs] == [folder]
    with pytest.raises(InputError, match=r"calibration: needs precision int8.*\[option-conflict\]"):
        executions([CandidateConfig(name=SSD)], precisions=("fp32",), calibration=folder)


def test_without_images_there_is_no_int8(tmp_path: Path) -> None:
    made = executions([CandidateConfig(name=SSD)], precisions=("all",), runtimes=(ORT, "eager"), calibration=None)
    assert ("onnxruntime", "int8") in [(each.runtime, each.precision) for each in made.configs]
    with pytest.raises(InputError, match="calibration: "):  # none is left that the folder is for
        executions([CandidateConfig(name=SSD)], precisions=("all",), runtimes=(ORT,), calibration=tmp_path)


def test_what_runs_itself_has_no_runtime() -> None:
    assert expanded("my:make", runtimes=("all",), precisions=("all",)) == ([(None, None)], ())
    assert expanded("my:make", precisions=("fp32", "bf16")) == ([(None, "fp32"), (None, "bf16")], ())


def test_a_device_that_a_runtime_cannot_use_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Eager, "usable", classmethod(lambda cls, device: ("fp32",)))
    configs, left_out = expanded(SSD, device="cuda", runtimes=("eager", "onnxruntime"))
    assert configs == [("eager", None)] and left_out == ("device: onnxruntime cannot use cuda here",)


@pytest.mark.parametrize(
    ("asked", "error", "message"),
    [
        ({"runtimes": ("eager", "absent")}, MissingExtra, "runtime absent needs"),
        ({"runtimes": ("eager", "tvm")}, ValueError, "runtime: got 'tvm', it must be one of"),
        ({"precisions": ("fp8", "int4")}, InputError, r"nothing is left to measure; precision: eager has no fp8"),
        ({"device": "tpu", "runtimes": ("all",)}, InputError, "device: eager cannot use tpu here; "),
    ],
)
def test_bad_input_is_an_error(asked: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        expanded(SSD, **asked)


def test_a_config_with_images_of_its_own_keeps_them_in_int8(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "1.png")
    mine = CandidateConfig(name=SSD, precision="int8", calibration=tmp_path)
    made = executions([mine, CandidateConfig(name=FASTER)], runtimes=("eager", ORT), precisions=("all",)).configs
    found = {(each.name, each.runtime, each.precision): each.calibration for each in made}
    assert found[SSD, ORT, "int8"] == tmp_path and found[FASTER, ORT, "int8"] is None
    assert {found[SSD, "eager", None], found[SSD, "eager", "bf16"], found[SSD, ORT, None]} == {None}
    other = Path("other")
    assert [each.calibration for each in executions([mine], runtimes=(ORT,), calibration=other).configs] == [other]
    assert [each.calibration for each in executions([mine], precisions=("fp32",)).configs] == [None]


def test_images_of_its_own_that_are_gone_leave_int8_out(tmp_path: Path) -> None:
    mine = CandidateConfig(name=SSD, precision="int8", calibration=tmp_path)
    made = executions([mine], runtimes=(ORT,), precisions=("all",))
    assert [each.precision for each in made.configs] == [None]
    assert [sentence.startswith("calibration: ") for sentence in made.left_out] == [True]


def test_a_source_whose_library_is_not_installed_is_refused_and_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    names = (SSD, HUB, "hf:d_fine-s")
    made = executions([CandidateConfig(name=name) for name in names], runtimes=("all",), refuse_absent=True)
    assert {each.name for each in made.configs} == {SSD}
    assert [each.config.name for each in made.refused if "transformers" in each.error.message] == [HUB, "hf:d_fine-s"]
    (sentence,) = [each for each in made.left_out if "transformers" in each]
    assert sentence == "hf:NAME needs transformers: pip install 'paretodet[transformers]'"
    with pytest.raises(InputError, match="hf:NAME needs transformers"):
        executions([CandidateConfig(name=HUB)], runtimes=("all",), refuse_absent=True)


def bundle_in(folder: Path, precision: str) -> str:
    """A bundle that is only looked at."""
    folder.mkdir()
    (folder / ARTIFACT).write_bytes(b"a")
    write_manifest(folder, manifest(folder, files=entries(folder, (ARTIFACT,)), precision=precision))
    return str(folder)


def test_a_bundle_is_measured_only_as_a_precision_that_it_has(tmp_path: Path) -> None:
    plain, quantized = (bundle_in(tmp_path / each, each) for each in ("fp32", "int8"))
    for precisions in (("all",), ("fp32", "int8"), ()):
        configs, left_out = expanded(plain, quantized, runtimes=("present", ORT), precisions=precisions)
        wanted = [(name, runtime, None) for name in (plain, quantized) for runtime in ("present", ORT)]
        assert (configs, left_out) == (wanted, ())
    configs, (sentence,) = expanded(plain, quantized, runtimes=("present", ORT), precisions=("int8", "bf16"))
    assert configs == [(quantized, "present", None), (quantized, ORT, None)]
    assert sentence.startswith("precision: ") and sentence.endswith(f"({plain})")
    with pytest.raises(InputError, match=r"nothing is left to measure; precision: .*\(.*fp32\)"):
        expanded(plain, runtimes=("present", ORT), precisions=("bf16",))


def test_a_file_is_in_the_precision_that_is_named() -> None:
    assert expanded("a.onnx", runtimes=("all",), precisions=("fp32",))[0] == [(ORT, "fp32"), ("present", "fp32")]


def test_images_calibrate_no_bundle(tmp_path: Path) -> None:
    name = bundle_in(tmp_path / "int8", "int8")
    one: dict[str, Any] = {"runtimes": (ORT,), "precisions": ("int8",), "calibration": tmp_path}
    configs = executions([CandidateConfig(name=name), CandidateConfig(name=SSD)], **one).configs
    assert [each.calibration for each in configs] == [None, tmp_path]
    with pytest.raises(InputError, match=r"calibration: needs precision int8.*\[option-conflict\]"):
        executions([CandidateConfig(name=name)], **one)
