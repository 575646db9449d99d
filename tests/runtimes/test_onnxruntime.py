"""Our detectors in ONNX Runtime: the detections of eager PyTorch, its facts, and what it refuses."""

import sys
from pathlib import Path
from typing import Any

import pytest
from runtime_subject import IMAGES, LABELS, assert_same_boxes, narrow_weights, opened, run

from paretodet.bench.candidate import Stated
from paretodet.candidate import NetworkCandidate
from paretodet.config import CandidateConfig
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.errors import InputError
from paretodet.extras import MissingExtra
from paretodet.frontier.row_labels import row_labels
from paretodet.network import detector_network
from paretodet.opening import job, open_candidate
from paretodet.records.compare import diff
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import job_key
from paretodet.records.rows import Rows
from paretodet.runtimes.eager import Eager, EagerSession
from paretodet.runtimes.table import RUNTIMES, kind_of
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata

NAMES = ("ssd-mobilenet_v1-96", "yolo_v3_tiny-96", "faster_rcnn-mobilenet_v1-96-s16-p8")
ORT = "onnxruntime"


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("narrow")
    return {name: narrow_weights(name, folder) for name in NAMES}


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
def test_it_finds_what_eager_finds(narrow: dict[str, Path], name: str) -> None:
    """Two images at once under a graph of one."""
    candidate, eager = opened(narrow[name], ORT), opened(narrow[name], "eager")
    assert_same_boxes(run(candidate, IMAGES[:2]), run(eager, IMAGES[:2]))


@pytest.mark.full
def test_a_graph_of_two_on_one_thread_finds_what_eager_finds(narrow: dict[str, Path]) -> None:
    """In one image and in three too; its facts are the detector's and the runtime's."""
    candidate, eager = opened(narrow[NAMES[1]], ORT, batch=2, threads=1), opened(narrow[NAMES[1]], "eager")
    assert isinstance(eager.session, EagerSession) and not isinstance(candidate.session, EagerSession)
    for count in (1, 2, 3):
        assert_same_boxes(run(candidate, IMAGES[:count]), run(eager, IMAGES[:count]))
    options = candidate.session.program.session.get_session_options()  # type: ignore[attr-defined]
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"
    facts, beside = candidate.facts(), eager.facts()
    assert (facts.runtime, facts.precision, facts.device) == ("onnxruntime", "fp32", "cpu")
    assert facts.precision_layers == {"fp32": 13}  # as ONNX Runtime executes them
    assert facts.export_ms and facts.compile_ms and beside.export_ms is beside.compile_ms is None
    settings = dict(facts.runtime_settings)
    assert settings["version"] and settings["session.intra_op.allow_spinning"] == "0"
    assert facts.artefact != beside.artefact and facts.weights == beside.weights
    assert (facts.parameters, facts.macs, facts.spec) == (beside.parameters, beside.macs, beside.spec)
    assert isinstance(candidate, Stated) and candidate.stages() == ()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (NAMES[0], {"runtime": "tvm"}, "runtime: got 'tvm', it must be one of eager"),
        (NAMES[0], {"runtime": "onnxruntime", "precision": "bf16"}, "precision: got 'bf16', onnxruntime runs fp32"),
        (NAMES[0], {"runtime": "onnxruntime", "device": "tpu"}, "device: 'tpu'"),
        (
            NAMES[0],
            {"runtime": "onnxruntime", "device": "cuda", "precision": "int8"},
            "device: got 'cuda', .* int8 on cpu",
        ),
        ("hf:deimv2-atto", {"runtime": "onnxruntime"}, r"runtime: onnxruntime runs .* \(hf:deimv2-atto\)"),
        ("a.onnx", {"runtime": "eager"}, "runtime: eager cannot run a.onnx: it is an ONNX file"),
    ],
)
def test_what_it_cannot_run_is_refused_in_one_sentence(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_candidate(name, **options)


def test_a_canvas_that_follows_each_image_is_refused(tmp_path: Path) -> None:
    name = NAMES[2]
    metadata = WeightsMetadata(name=name, labels=LABELS, width=0.125)
    files.save(
        build(metadata.apply_to(spec(name, Override(labels=LABELS)))).state_dict(), tmp_path / "w.safetensors", metadata
    )
    with pytest.raises(ValueError, match="fit: the canvas follows each image"):
        opened(tmp_path / "w.safetensors", ORT)


def test_a_missing_library_is_one_sentence_with_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    config = CandidateConfig(name=NAMES[0], runtime="onnxruntime")
    for use in (lambda: job(config), lambda: open_candidate(NAMES[0], runtime="onnxruntime")):
        with pytest.raises(MissingExtra, match=r"onnxruntime: pip install 'paretodet\[onnx,onnxruntime\]'"):
            use()


def test_a_job_has_its_runtime_where_it_is_not_the_default() -> None:
    plain = job(CandidateConfig(name=NAMES[0]))
    assert job(CandidateConfig(name=NAMES[0], runtime="eager")).recipe == plain.recipe and "runtime" not in plain.recipe
    other = job(CandidateConfig(name=NAMES[0], runtime="onnxruntime"))
    assert other.recipe["runtime"] == "onnxruntime" and other.imports == ("onnxruntime",)
    assert CandidateConfig.from_json(other.recipe).runtime == "onnxruntime"
    assert job_key(plain.name, plain.recipe) != job_key(other.name, other.recipe)


def test_every_runtime_has_a_name_of_its_own_and_every_form_a_runtime() -> None:
    assert len({kind.name for kind in RUNTIMES}) == len(RUNTIMES)
    assert [kind_of(CandidateConfig(name="a"), form).name for form in ("torch", "onnx")] == ["eager", "onnxruntime"]


def test_rows_of_two_runtimes_are_two_subjects() -> None:
    """The runtime is in everything that distinguishes rows: labels, repetitions, differences."""
    common: dict[str, Any] = {"run": "r", "at": "2026-11-29T00:00:00+00:00", "name": "ssd", "machine": "m"}
    rows = [
        Measurement(id=key, runtime=runtime, artefact=key, latency_ms_p50=9.0, **common)
        for key, runtime in (("a", "eager"), ("b", "onnxruntime"))
    ]
    assert list(row_labels(rows).values()) == ["ssd · eager", "ssd · onnxruntime"]
    assert tuple(Rows.of(rows).newest()) == tuple(rows)
    assert "runtime" in [change.field for change in diff(*rows).changes]


class Rounded(Eager):
    """Executes bf16, whatever is asked."""

    def build(self, network: Any) -> Any:
        session = super().build(network)
        facts = session.facts() | {"precision": "bf16", "precision_layers": {"bf16": 2}}
        session.facts = lambda: facts  # type: ignore[method-assign]
        return session


def test_another_precision_than_requested_is_an_error_unless_it_is_allowed() -> None:
    network = detector_network(build(spec(NAMES[1])))
    with pytest.raises(InputError, match=r"executes bf16 \(2 in bf16\).*precision-fallback"):
        NetworkCandidate(network, Rounded())
    assert NetworkCandidate(network, Rounded(), allow_fallback=True).facts().precision == "bf16"
