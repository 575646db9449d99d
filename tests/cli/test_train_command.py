"""`paretodet train`: its output, the message after an interruption, and that only the first process prints."""

import json
import os
import signal
import time
from dataclasses import replace

import pytest

from paretodet import training_run as train_module
from paretodet.training.config import TrainResult

SPLITS = {"split": "train2017", "val_split": None}
WORDS = ("train", "ssd-mobilenet_v1-300", "--data", "labels.json", "--out", "run")


@pytest.fixture
def run(run, monkeypatch):
    """`run(train, *words)` with a replacement for `train` -> exit status, standard output, standard error."""

    def call(train, *words):
        monkeypatch.setattr(train_module, "train", train)
        return run(*WORDS, *words)

    return call


def done(config, folder, options, *, notify, listener):
    return TrainResult(
        folder=folder, weights=folder / "w.safetensors", checkpoint=folder / "step", **SPLITS, validations=()
    )


def stopped(config, folder, options, *, notify, listener):
    raise KeyboardInterrupt


def test_json_is_one_document_and_nothing_else(run):
    code, out, err = run(done, "--json")
    assert code == 0 and json.loads(out)["weights"] == "run/w.safetensors" and not err


def test_the_next_command_is_printed(run, monkeypatch):
    code, out, err = run(done)
    assert code == 0 and out.splitlines()[0].startswith("Weights: run/w.safetensors")
    following, caution = err.splitlines()
    assert following == "Next: paretodet evaluate run/w.safetensors --data labels.json --data-split train2017 --errors"
    assert caution.startswith("These are the training images")
    _, _, err = run(done, "--val", "other.json")
    assert err == "Next: paretodet evaluate run/w.safetensors --data other.json --errors\n"
    monkeypatch.setitem(SPLITS, "val_split", "val")
    _, _, err = run(done)
    assert err == "Next: paretodet evaluate run/w.safetensors --data labels.json --data-split val --errors\n"


def test_the_next_command_has_the_image_folder(run):
    def there(config, *rest, **more):
        return replace(done(config, *rest, **more), split=None, val_split="val", val_images=config.images)

    _, _, err = run(there, "--image-root", "pictures")
    where = "--data labels.json --data-split val --image-root pictures"
    assert err == f"Next: paretodet evaluate run/w.safetensors {where} --errors\n"


def test_an_interruption_prints_what_the_same_command_does(run, tmp_path):
    code, out, err = run(stopped)
    assert (code, out) == (130, "") and err.startswith("Interrupted before the first checkpoint")
    (tmp_path / "run" / "checkpoints" / "step-00000007").mkdir(parents=True)
    assert run(stopped)[2].startswith("Interrupted: the same command continues from run/checkpoints/step-00000007.")


@pytest.mark.parametrize("train", [done, stopped])
def test_only_the_first_process_prints(run, monkeypatch, train):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert run(train)[1:] == ("", "")


def test_the_learning_rate_is_that_of_the_option(run):
    rates = []

    def keep(config, *rest, **more):
        rates.append(config.recipe.optimizer.lr)
        return done(config, *rest, **more)

    for words in ((), ("--learning-rate", "0.02")):
        assert run(keep, *words)[0] == 0
    assert rates == [1e-3, 0.02]
    code, _, err = run(keep, "--learning-rate", "0")
    assert code == 2 and err.endswith("[option-range]\n") and "learning-rate" in err and len(rates) == 2


def test_sigterm_interrupts_as_ctrl_c_does(run):
    before = signal.getsignal(signal.SIGTERM)

    def terminated(config, folder, options, *, notify, listener):
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    code, _, err = run(terminated)
    assert code == 130 and err.startswith("Interrupted before the first checkpoint")
    assert signal.getsignal(signal.SIGTERM) == before


def test_one_of_several_processes_ends_at_once(run, monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    handlers = []

    def keep(*given, **more):
        handlers.append(signal.getsignal(signal.SIGTERM))
        return done(*given, **more)

    assert run(keep)[0] == 0 and handlers == [signal.SIG_DFL]
