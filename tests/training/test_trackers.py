"""Trackers of other libraries record metrics, in one run after a resume. Each needs its extra."""

import re
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from failing_tracker import FailingTracker
from paretodet.errors import InputError
from paretodet.training import tracking
from paretodet.training.tracking import GuardedTracker, MissingTracker, closing, open_tracker

PIXELS = np.full((8, 8, 3), 100, np.uint8)


def record(tracker, start, step, loss):
    tracker.begin(start)
    tracker.scalars(step, {"loss": loss})
    tracker.image(step, "samples/one", PIXELS)
    tracker.close()


class Stub(ModuleType):
    """A library that records its calls, with their arguments."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = []

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*given, **named):
            self.calls.append((name, *given, *sorted(named.items())))
            return self

        return call


@pytest.fixture
def stub(monkeypatch):
    """`stub(name)` replaces a library."""

    def make(library):
        made = Stub(library)
        monkeypatch.setitem(sys.modules, library, made)
        monkeypatch.setitem(sys.modules, f"paretodet.training.{library}", made)  # undone last: it is gone then
        monkeypatch.delitem(sys.modules, f"paretodet.training.{library}")
        return made

    return make


def test_weights_and_biases_records_updates_after_the_checkpoint_again(stub, tmp_path):
    """wandb's own steps only increase, and it drops earlier ones: updates are a separate axis."""
    library = stub("wandb")
    from paretodet.training.wandb import WandB

    record(WandB(tmp_path), 0, 20, 0.5)
    record(WandB(tmp_path), 10, 20, 0.25)
    logged = [call for call in library.calls if call[0] == "log"]
    assert [call[1]["update"] for call in logged] == [20] * 4 and all(len(call) == 2 for call in logged)
    assert library.calls.count(("define_metric", "*", ("step_metric", "update"))) == 2
    kept = [dict(call[1:]) for call in library.calls if call[0] == "init"]
    assert kept[0]["id"] == kept[1]["id"] and [each["resume"] for each in kept] == [None, "allow"]


def test_mlflow_finds_the_run_by_its_tag(stub, tmp_path):
    library = stub("mlflow")
    library.search_runs = lambda **_: [SimpleNamespace(info=SimpleNamespace(run_id="r7"))]
    from paretodet.training.mlflow import MLflow

    record(MLflow(tmp_path), 0, 10, 0.5)
    record(MLflow(tmp_path), 10, 20, 0.25)
    assert [dict(call[1:])["run_id"] for call in library.calls if call[0] == "start_run"] == [None, "r7"]
    assert ("log_metrics", {"loss": 0.25}, ("step", 20)) in library.calls
    assert [dict(call[2:])["key"] for call in library.calls if call[0] == "log_image"] == ["samples-one"] * 2


def test_mlflow_accepts_an_image_with_any_name(stub, tmp_path):
    """It refuses most characters in a key, and uses the key in a file name that is about 90 longer."""
    library, keys = stub("mlflow"), []

    def log_image(pixels, *, key, step):
        if not re.match(r"^[a-zA-Z0-9_\-./ ]+$", key):
            raise ValueError("The `key` parameter may only contain alphanumerics")
        keys.append(key)

    library.log_image = log_image
    from paretodet.training.mlflow import MLflow

    names = ["Grün (1)", "Grün [1]", "a#2", "a-2", "图" * 60, "x" * 199 + "y", "x" * 199 + "z", "caf\udce9"]
    for _ in range(2):
        for name in names:
            MLflow(tmp_path).image(1, f"samples/{name}", PIXELS)
    assert len(set(keys)) == len(names) and keys[: len(names)] == keys[len(names) :]
    assert keys[3] == "samples-a-2" and keys[0].startswith("samples-Gr-n -1--") and max(map(len, keys)) <= 160


def test_mlflow_resumes_the_same_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    from paretodet.training.mlflow import MLflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'kept.db'}")
    folder = tmp_path / "run"
    record(MLflow(folder), 0, 10, 0.5)
    record(MLflow(folder), 10, 20, 0.25)
    (run,) = mlflow.search_runs(output_format="list")
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(10, 0.5), (20, 0.25)] and run.info.run_name == "run"


def test_weights_and_biases_resumes_the_same_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra wandb")
    from paretodet.training.wandb import WandB

    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    folder.mkdir()
    record(WandB(folder), 0, 10, 0.5)
    record(WandB(folder), 10, 20, 0.25)
    WandB(folder).close()  # as after a training that was refused
    names = {path.name.rpartition("-")[2] for path in (folder / "wandb").glob("offline-run-*")}
    assert len(names) == 1


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_missing_library_is_reported_with_its_installation(tmp_path, monkeypatch, name):
    def absent(folder):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(tracking, "TRACKERS", {name: absent})
    with pytest.raises(
        MissingTracker, match=rf"track: {name} needs the library {name}; run pip install 'paretodet\[{name}\]'"
    ):
        open_tracker(name, tmp_path)


@pytest.fixture
def guarded():
    """`guarded(tracker)` is the guarded tracker, and the sentences of it."""

    def make(tracker):
        sentences = []
        return GuardedTracker("wandb", tracker, sentences.append), sentences

    return make


def test_a_tracker_that_cannot_start_is_refused(guarded):
    tracker, sentences = guarded(failing := FailingTracker("begin", "close"))
    with pytest.raises(InputError, match="connection refused") as error:
        tracker.begin(0)
    assert error.value.id == "tracker-failed" and "--track wandb" in error.value.message
    tracker.close()
    assert failing.calls == ["begin"] and sentences == []


@pytest.mark.parametrize("failing", ["scalars", "image", "close"])
def test_a_tracker_that_fails_is_left_out_with_one_sentence(guarded, failing):
    tracker, sentences = guarded(made := FailingTracker(failing))
    record(tracker, 0, 10, 0.5)
    record(tracker, 0, 20, 0.25)
    assert made.calls.count(failing) == 1 and made.calls[-1] == "begin"
    assert len(sentences) == 1 and "wandb" in sentences[0] and "\n" not in sentences[0]


def test_a_tracker_without_errors_records_all(guarded):
    tracker, sentences = guarded(made := FailingTracker())
    record(tracker, 0, 10, 0.5)
    assert made.calls == ["begin", "scalars", "image", "close"] and sentences == []


@pytest.mark.parametrize(
    ("how", "status", "code"), [(None, "FINISHED", 0), ("failed", "FAILED", 1), ("interrupted", "KILLED", 255)]
)
def test_a_run_ends_in_the_words_of_its_library(stub, tmp_path, how, status, code):
    libraries = stub("mlflow"), stub("wandb")
    from paretodet.training.mlflow import MLflow
    from paretodet.training.wandb import WandB

    for tracker in (MLflow(tmp_path), WandB(tmp_path)):
        tracker.begin(0)
        if how:
            tracker.stop(how)
        tracker.close()
    assert [library.calls[-1] for library in libraries] == [("end_run", status), ("finish", ("exit_code", code))]


def test_a_refused_training_ends_no_run_of_others(stub, tmp_path):
    library = stub("mlflow")
    from paretodet.training.mlflow import MLflow

    tracker = MLflow(tmp_path)
    tracker.stop("failed")
    tracker.close()
    assert library.calls == []


@pytest.mark.parametrize(
    ("error", "how"),
    [(ValueError, "failed"), (MemoryError, "failed"), (KeyboardInterrupt, "interrupted"), (SystemExit, "interrupted")],
)
def test_trackers_are_told_how_a_training_ended(error, how):
    class Ending:
        def __init__(self):
            self.calls = []

        def stop(self, how):
            self.calls.append(how)

        def close(self):
            self.calls.append("closed")

    one, other, whole = Ending(), Ending(), Ending()
    with pytest.raises(error), closing([one, other], print):
        raise error
    with closing([whole], print):
        pass
    assert one.calls == other.calls == [how, "closed"] and whole.calls == ["closed"]


def test_mlflow_states_how_a_run_ended_and_that_it_was_continued(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    from paretodet.training.mlflow import MLflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'kept.db'}")
    stopped = MLflow(tmp_path / "run")
    stopped.begin(0)
    stopped.stop("interrupted")
    stopped.close()
    assert [run.info.status for run in mlflow.search_runs(output_format="list")] == ["KILLED"]
    record(MLflow(tmp_path / "run"), 10, 20, 0.25)
    assert [run.info.status for run in mlflow.search_runs(output_format="list")] == ["FINISHED"]
