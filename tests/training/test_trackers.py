"""The trackers that others wrote keep what a training tells, and one run when it goes on. Each needs its extra."""

import numpy as np
import pytest

from paretodet.training import tracking
from paretodet.training.tracking import MissingTracker, open_tracker

PIXELS = np.full((8, 8, 3), 100, np.uint8)


def told(tracker, start, step, loss):
    tracker.begin(start)
    tracker.numbers(step, {"loss": loss})
    tracker.picture(step, "samples/one", PIXELS)
    tracker.close()


def test_mlflow_goes_on_in_the_same_run(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="needs the extra mlflow")
    from paretodet.training.mlflow import MLflow

    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'kept.db'}")
    folder = tmp_path / "run"
    told(MLflow(folder), 0, 10, 0.5)
    told(MLflow(folder), 10, 20, 0.25)
    (run,) = mlflow.search_runs(output_format="list")
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(each.step, each.value) for each in history] == [(10, 0.5), (20, 0.25)] and run.info.run_name == "run"


def test_weights_and_biases_goes_on_in_the_same_run(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra wandb")
    from paretodet.training.wandb import WandB

    monkeypatch.setenv("WANDB_MODE", "offline")
    folder = tmp_path / "run"
    folder.mkdir()
    told(WandB(folder), 0, 10, 0.5)
    told(WandB(folder), 10, 20, 0.25)
    WandB(folder).close()  # as where a training is refused before it begins
    names = {path.name.rpartition("-")[2] for path in (folder / "wandb").glob("offline-run-*")}
    assert len(names) == 1


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_whose_library_is_missing_says_what_to_install(tmp_path, monkeypatch, name):
    def absent(folder):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(tracking, "TRACKERS", {name: absent})
    with pytest.raises(MissingTracker, match=rf"track: {name} needs {name}: pip install 'paretodet\[{name}\]'"):
        open_tracker(name, tmp_path)
