"""Detectors in onnxruntime-web: what eager PyTorch finds, their facts, what is refused, and how the browser ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from runtime_subject import IMAGES, LABELS, assert_same_boxes, narrow_weights, opened, run

from paretodet.config import CandidateConfig
from paretodet.errors import InputError
from paretodet.extras import MissingExtra
from paretodet.opening import job, open_candidate
from paretodet.runtimes import chromium, web
from paretodet.runtimes.web import Web, WebProgram

ONE_STAGE, TWO_STAGES = "yolo_v3_tiny-96", "faster_rcnn-mobilenet_v1-96-s16-p8"
INSTALLED = Path(__file__).parents[2] / "examples" / "deploy" / "web" / "node_modules" / web.LIBRARY
if INSTALLED.is_dir():
    os.environ.setdefault(web.FOLDER, str(INSTALLED))
HOLD = """
import sys, time
from paretodet.runtimes.chromium import Chromium
browser = Chromium("about:blank")
print(browser._process.pid, flush=True)
time.sleep(600)
"""


def missing() -> str:
    """Why no page can run here; empty if one can."""
    try:
        web.library()
        chromium.program()
    except MissingExtra as error:
        return error.message
    return ""


needs_page = pytest.mark.skipif(bool(missing()), reason=missing())


@needs_page
@pytest.mark.full
def test_a_one_stage_detector_finds_what_eager_finds(tmp_path: Path) -> None:
    """In one image and in three, under a graph of two; its facts are the page's."""
    path = narrow_weights(ONE_STAGE, tmp_path)
    candidate, eager = opened(path, "web", batch=2, threads=2), opened(path, "eager")
    for count in (1, 3):
        assert_same_boxes(run(candidate, IMAGES[:count]), run(eager, IMAGES[:count]))
    facts = candidate.facts()
    assert (facts.runtime, facts.device, facts.precision) == ("web", "cpu", "fp32")
    assert facts.precision_layers == {"fp32": 13}
    settings = dict(facts.runtime_settings)
    assert settings.keys() >= {"version", "transfer", "transfer_ms"} and settings["browser"].startswith("Chromium 1")
    assert (settings["threads"], settings["simd"], settings["cross_origin_isolated"]) == ("2", "fixed", "true")
    assert facts.export_ms and facts.compile_ms and facts.artefact != eager.facts().artefact


@needs_page
@pytest.mark.full
def test_a_two_stage_detector_finds_what_eager_finds(tmp_path: Path) -> None:
    path = narrow_weights(TWO_STAGES, tmp_path)
    options = {"fit": "stretch"}
    candidate, eager = opened(path, "web", threads=1, **options), opened(path, "eager", **options)
    assert_same_boxes(run(candidate, IMAGES[:2]), run(eager, IMAGES[:2]))
    assert dict(candidate.facts().runtime_settings)["threads"] == "1"


@needs_page
@pytest.mark.full
def test_its_layers_are_timed_in_a_page_of_their_own(tmp_path: Path) -> None:
    candidate = opened(narrow_weights(ONE_STAGE, tmp_path), "web", threads=1)
    times = {each.name: each.ms for each in candidate.profile(candidate.prepare(IMAGES[:1]), 2)}
    layers = {each.name for each in candidate.facts().layers}
    assert len(layers) == 13 and layers <= times.keys() and all(times[name] > 0 for name in layers)


@needs_page
@pytest.mark.full
def test_an_error_of_the_page_is_one_sentence_with_an_id(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    shape = {"elem_type": onnx.TensorProto.FLOAT, "shape": ["n", 4]}
    ports = [onnx.helper.make_tensor_value_info(name, **shape) for name in ("a", "b", "sum")]
    for operator in ("Add", "Addition"):
        graph = onnx.helper.make_graph(
            [onnx.helper.make_node(operator, ["a", "b"], ["sum"])], "g", ports[:2], ports[2:]
        )
        made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
        onnx.save(made, tmp_path / operator)
    with pytest.raises(InputError, match=r"Addition: onnxruntime-web lacks operator Addition \[operator-missing\]"):
        WebProgram(tmp_path / "Addition", threads=1)
    program = WebProgram(tmp_path / "Add", threads=1)
    assert [(port.name, list(port.shape), port.type) for port in program.inputs] == [
        ("a", ["n", 4], "tensor(float)"),
        ("b", ["n", 4], "tensor(float)"),
    ]
    assert "transfer_ms" not in program.settings  # the size is open
    one = np.arange(8, dtype=np.float32).reshape(2, 4)
    with pytest.raises(InputError, match=r"Add: onnxruntime-web cannot run it \(.+\)") as failed:
        program({"a": one, "b": np.zeros((3, 4), np.float32)})
    assert failed.value.id == "graph-failed"
    (total,) = program({"a": one, "b": one})  # the page goes on
    assert np.array_equal(total, 2 * one) and program({"a": one[:0], "b": one[:0]})[0].shape == (0, 4)
    program._browser.end()
    with pytest.raises(InputError, match="its process ended"):
        program({"a": one, "b": one})


@needs_page
@pytest.mark.full
def test_the_precision_is_the_one_that_executes_and_not_the_one_of_the_file(tmp_path: Path) -> None:
    """WebAssembly has no kernels of fp16: a file with such weights computes in float32, and sizes may be open."""
    onnx = pytest.importorskip("onnx")
    half, path = onnx.TensorProto.FLOAT16, tmp_path / "half.onnx"
    ports = [onnx.helper.make_tensor_value_info(name, half, ["n", 2, 4, 4]) for name in ("values", "maps")]
    weight = onnx.numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float16), "weight")
    node = onnx.helper.make_node("Conv", ["values", "weight"], ["maps"])
    graph = onnx.helper.make_graph([node], "g", ports[:1], ports[1:], [weight])
    onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9), path)
    program = WebProgram(path, threads=1)
    assert program.precisions() == {}
    (maps,) = program({"values": np.ones((1, 2, 4, 4), np.float16)})
    assert maps.dtype == np.float16 and (maps == 2).all() and program.precisions() == {"fp32": 1}


@pytest.mark.skipif(bool(missing()) or os.name != "posix", reason=missing() or "processes have no groups here")
@pytest.mark.full
def test_the_browser_ends_with_the_process_that_started_it() -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    browser = psutil.Process(int(holder.stdout.readline()))
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    _, living = psutil.wait_procs([browser], timeout=60)
    assert living == [] or living[0].status() == psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        (web.FOLDER, "nowhere", r"^runtime web needs onnxruntime-web, .*: npm install .*onnxruntime-web@\d"),
        (web.FOLDER, None, r"^runtime web needs onnxruntime-web, .*: npm install .*onnxruntime-web@\d"),
        (chromium.PATH, "nowhere", "^runtime web needs Chromium or Chrome, PARETODET_CHROMIUM=nowhere"),
    ],
)
def test_what_is_missing_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str | None, message: str
) -> None:
    (tmp_path / "web" / "dist").mkdir(parents=True)
    (tmp_path / "web" / web.ENTRY).touch()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setenv(web.FOLDER, str(tmp_path / "web"))
    if value is None:
        monkeypatch.delenv(variable)
    else:
        monkeypatch.setenv(variable, value)
    for use in (
        lambda: job(CandidateConfig(name=ONE_STAGE, runtime="web")),
        lambda: open_candidate(ONE_STAGE, runtime="web"),
    ):
        with pytest.raises(MissingExtra, match=message) as refused:
            use()
        assert refused.value.id == "extra-missing"


@pytest.mark.skipif(os.name != "posix", reason="the program is a script of the shell")
def test_a_browser_that_does_not_start_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program, profiles = tmp_path / "chromium", tmp_path / "profiles"
    program.write_text("#!/bin/sh\necho no memory >&2\nexit 1\n")
    program.chmod(0o755)
    profiles.mkdir()
    (tmp_path / web.ENTRY).parent.mkdir()
    (tmp_path / web.ENTRY).touch()
    (tmp_path / "a.onnx").write_bytes(b"\x08\x09")  # a version, and nothing else
    monkeypatch.setenv(web.FOLDER, str(tmp_path))
    monkeypatch.setenv(chromium.PATH, str(program))
    monkeypatch.setattr("tempfile.tempdir", str(profiles))
    with pytest.raises(InputError, match=r"^runtime: Chromium does not open a page \(no memory\)") as refused:
        WebProgram(tmp_path / "a.onnx", threads=1)
    assert refused.value.id == "graph-failed" and list(profiles.iterdir()) == []


def test_the_library_is_found_where_npm_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(web.FOLDER, raising=False)
    installed = tmp_path / "node_modules" / web.LIBRARY
    (installed / web.ENTRY).parent.mkdir(parents=True)
    (installed / web.ENTRY).touch()
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    assert web.library() == installed


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "bf16"}, "^precision: got 'bf16', web runs fp32"),
        ({"device": "cuda"}, "^device: got 'cuda', web"),
    ],
)
def test_what_it_cannot_run_is_refused_in_one_sentence(options: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        open_candidate(ONE_STAGE, runtime="web", labels=LABELS, **options)


def test_messages_hold_arrays_of_every_type() -> None:
    arrays = [
        np.arange(5, dtype=np.uint8),
        np.array([[True], [False]]),
        np.array([-(2**60)]),
        np.array(1.5, np.float16),
        np.zeros((0, 4), np.float32),
        np.arange(12, dtype=np.float32).reshape(3, 4)[:, ::2],
    ]
    parts = web._packed("run", {str(index): array for index, array in enumerate(arrays)})
    header, unpacked = web._unpacked(b"".join(parts))
    assert header["kind"] == "run" and [name for name, _, _ in header["tensors"]] == list("012345")
    for one, other in zip(arrays, unpacked, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape and np.array_equal(one, other)


def test_files_with_weights_outside_of_the_folder_are_not_served(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    (tmp_path / "secret").touch()
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "weights.bin").touch()
    tensors = []
    for name in ("../secret", "weights.bin", "absent.bin"):
        tensor = onnx.TensorProto(name=name, dims=[1], data_type=1, data_location=onnx.TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value=name)
        tensors.append(tensor)
    graph = onnx.helper.make_graph([], "g", [], [], initializer=tensors)
    path = tmp_path / "inside" / "a.onnx"
    path.write_bytes(onnx.helper.make_model(graph).SerializeToString())
    assert web._weights_beside(path) == {"weights.bin": (tmp_path / "inside" / "weights.bin").resolve()}
    path.write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="a.onnx: onnxruntime-web cannot load it") as refused:
        web._weights_beside(path)
    assert refused.value.id == "graph-failed"


def test_nothing_but_the_exporter_is_imported() -> None:
    assert Web.imports("torch") == ()
