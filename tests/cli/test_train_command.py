"""`paretodet train`: one document, one sentence where it is stopped, and of several processes one that speaks."""

import json
import sys
from dataclasses import replace

import pytest

from paretodet import training_run as taught
from paretodet.cli import main
from paretodet.training_run import TrainResult

SPLITS = {"split": "train2017", "val_split": None}
WORDS = ("train", "ssd-mobilenet_v1-300", "--data", "labels.json", "--out", "run")


@pytest.fixture
def run(capsys, monkeypatch, tmp_path):
    """`run(teach, words)`, with `teach` in place of the real one -> exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(teach, *words):
        monkeypatch.setattr(taught, "train", teach)
        monkeypatch.setattr(sys, "argv", ["paretodet", *WORDS, *words])
        with pytest.raises(SystemExit) as left:
            main()
        return left.value.code or 0, *capsys.readouterr()

    return call


def done(lesson, folder, how, *, tell, listener):
    return TrainResult(folder=folder, weights=folder / "w.safetensors", last=folder / "step", **SPLITS, judged=())


def stopped(lesson, folder, how, *, tell, listener):
    raise KeyboardInterrupt


def test_json_is_one_document_and_nothing_else(run):
    code, out, err = run(done, "--json")
    assert code == 0 and json.loads(out)["weights"] == "run/w.safetensors" and not err


def test_the_next_command_is_told(run, monkeypatch):
    code, out, err = run(done)
    assert code == 0 and out.startswith("Weights: run/w.safetensors")
    following, caution = err.splitlines()
    assert following == "Next: paretodet evaluate run/w.safetensors --data labels.json --data-split train2017 --errors"
    assert caution.startswith("This evaluates on the training images")
    _, _, err = run(done, "--val", "other.json")
    assert err == "Next: paretodet evaluate run/w.safetensors --data other.json --errors\n"
    monkeypatch.setitem(SPLITS, "val_split", "val")
    _, _, err = run(done)
    assert err == "Next: paretodet evaluate run/w.safetensors --data labels.json --data-split val --errors\n"


def test_the_next_command_knows_where_the_images_are(run):
    def there(lesson, *rest, **more):
        return replace(done(lesson, *rest, **more), split=None, val_split="val", val_images=lesson.images)

    _, _, err = run(there, "--image-root", "pictures")
    where = "--data labels.json --data-split val --image-root pictures"
    assert err == f"Next: paretodet evaluate run/w.safetensors {where} --errors\n"


def test_stopped_by_hand_it_says_what_the_same_command_does(run, tmp_path):
    assert run(stopped) == (130, "", "Interrupted before the first checkpoint: the same command starts again.\n")
    (tmp_path / "run" / "checkpoints" / "step-00000007").mkdir(parents=True)
    said = "Interrupted: the same command continues from run/checkpoints/step-00000007.\n"
    assert run(stopped) == (130, "", said)


@pytest.mark.parametrize("teach", [done, stopped])
def test_of_several_processes_the_first_speaks(run, monkeypatch, teach):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run(teach)[1:] == ("", "")
