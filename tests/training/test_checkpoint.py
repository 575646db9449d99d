import json
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from paretodet.detectors.families import spec
from paretodet.detectors.spec import to_data
from paretodet.training import checkpoint
from paretodet.training.checkpoint import CheckpointError, Snapshot
from paretodet.training.published_recipes import published_recipe

NAME = "ssd-mobilenet_v1-300"
SPEC, RECIPE = to_data(spec(NAME)), to_data(published_recipe(NAME))
WRITERS = """
import os, sys, torch
from pathlib import Path
from paretodet.training.checkpoint import Snapshot, latest, save
folder = Path(sys.argv[1])

def write():
    last = latest(folder)
    step = int(last.name.removeprefix("step-")) if last else 0
    while True:
        step += 1
        tensors = {str(i): torch.full((20_000,), float(step)) for i in range(20)}
        save(folder, Snapshot(step, {}, {}, step, tensors, tensors), keep=2)
        print(step, flush=True)

for _ in sys.stdin:  # each line starts a writer; a forked one does not import again
    writer = os.fork()
    if not writer:
        write()
    print("writer", writer, flush=True)
    os.waitpid(writer, 0)
    print("killed", flush=True)
"""


def snapshot(step, position=None, size=10):
    weights = {"a": torch.full((size,), float(step)), "b": torch.tensor(step)}
    return Snapshot(step, SPEC, RECIPE, position, weights, {"random/cpu": torch.get_rng_state()})


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_checkpoint_reads_back(tmp_path):
    kept = snapshot(7, {"epoch": 1, "image": 12})
    path = checkpoint.save(tmp_path / "new" / "run", kept)
    found = checkpoint.load(path)
    assert checkpoint.latest(tmp_path / "new" / "run") == path and path.name == "step-00000007"
    assert (found.step, found.spec, found.recipe, found.position) == (7, SPEC, RECIPE, {"epoch": 1, "image": 12})
    for one, other in ((found.weights, kept.weights), (found.training, kept.training)):
        assert one.keys() == other.keys() and all(torch.equal(t, other[name]) for name, t in one.items())
        assert all(t.dtype == other[name].dtype for name, t in one.items())
    checkpoint.refuse_others(path, found, SPEC, RECIPE)


def test_the_newest_checkpoints_are_kept(tmp_path):
    for step in (5, 90, 100_000_000, 200):  # more than eight digits, and out of order
        checkpoint.save(tmp_path, snapshot(step), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000200", "step-100000000"]
    assert checkpoint.latest(tmp_path).name == "step-100000000"


def test_a_missing_folder_has_no_checkpoint(tmp_path):
    assert checkpoint.latest(tmp_path / "none") is None


def test_keep_0_is_refused(tmp_path):
    with pytest.raises(ValueError, match="keep: got 0"):
        checkpoint.save(tmp_path, snapshot(1), keep=0)


def set_fields(path, **fields):
    """Change fields of state.json."""
    file = path / "state.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def break_byte(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: break_byte(path / "weights.safetensors", -1), "damaged .the SHA-256 of weights.safetensors"),
        (lambda path: break_byte(path / "training.safetensors", 3), "damaged .the SHA-256 of training.safetensors"),
        (lambda path: os.truncate(path / "weights.safetensors", 20), "damaged .the SHA-256 of weights.safetensors"),
        (lambda path: (path / "training.safetensors").unlink(), "not a complete checkpoint .FileNotFoundError"),
        (lambda path: os.truncate(path / "state.json", 100), "not a complete checkpoint .state.json: not JSON"),
        (lambda path: (path / "state.json").write_text("[]"), "not a complete checkpoint .state.json: expected object"),
        (lambda path: (path / "state.json").write_text('{"format": 2}'), "not a complete checkpoint .*field files"),
        (lambda path: (path / "state.json").write_text('{"format": 99}'), "its format is 99 and this version reads 2"),
        (
            lambda path: (path / "state.json").write_bytes(b"\xff\xfe\x80"),
            "not a complete checkpoint .state.json: not JSON",
        ),
        (lambda path: set_fields(path, step="7"), "state.json: step: expected int, got str"),
        (lambda path: set_fields(path, step=-1), "state.json: step: expected int >= 0"),
        (lambda path: set_fields(path, step=10**400), "an integer of 401 digits"),
        (lambda path: set_fields(path, recipe=True), "state.json: recipe: expected object, got bool"),
        (lambda path: set_fields(path, spec=[]), "state.json: spec: expected object, got array"),
        (lambda path: set_fields(path, files={"weights.safetensors": "", "../x": ""}), "state.json: files: "),
        (lambda path: set_fields(path, strange=1), "unknown field strange"),
        (
            lambda path: shutil.rmtree(path) or path.write_text("a file"),
            "not a complete checkpoint .NotADirectoryError",
        ),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, damage, message):
    first = checkpoint.save(tmp_path, snapshot(1))
    path = checkpoint.save(tmp_path, snapshot(2))
    damage(path)
    with pytest.raises(CheckpointError, match=message) as error:
        checkpoint.load(path)
    assert str(path) in str(error.value) and "\n" not in str(error.value)
    assert "format is 99" in message or f"the newest other checkpoint is {first}" in str(error.value)


def test_a_checkpoint_that_another_machine_alone_has_is_no_damaged_one(tmp_path):
    with pytest.raises(CheckpointError) as error:
        checkpoint.load(tmp_path / "step-00000001")
    assert error.value.id == "file-missing" and str(tmp_path) in error.value.message


def test_another_detector_is_refused_by_its_fields(tmp_path):
    path = checkpoint.save(tmp_path, snapshot(1))
    other = spec(NAME)
    stage = replace(other.stages[0], select=replace(other.stages[0].select, keep=17))
    other = to_data(replace(other, height=512, stages=(stage,)))
    with pytest.raises(CheckpointError) as error:
        checkpoint.refuse_others(path, checkpoint.load(path), other, RECIPE)
    for phrase in ("spec.height: saved 300, requested 512", "spec.stages[0].select.keep: saved 100, requested 17"):
        assert phrase in str(error.value)
    assert str(error.value).count("saved ") == 2


def test_another_recipe_is_refused_unless_it_is_longer(tmp_path):
    path = checkpoint.save(tmp_path, snapshot(1))
    longer, other = replace(published_recipe(NAME), steps=1_000_000), replace(published_recipe(NAME), batch=64)
    checkpoint.refuse_others(path, checkpoint.load(path), SPEC, to_data(longer))
    with pytest.raises(CheckpointError, match="recipe.batch: saved 32, requested 64"):
        checkpoint.refuse_others(path, checkpoint.load(path), SPEC, to_data(other))


def test_a_recipe_of_another_length_has_another_assumption_and_is_resumed(tmp_path):
    path = checkpoint.save(tmp_path, snapshot(1))
    longer = replace(published_recipe(NAME), steps=900_000, assumption="its schedule is that of 800,000 updates")
    checkpoint.refuse_others(path, checkpoint.load(path), SPEC, to_data(longer))
    with pytest.raises(CheckpointError, match=r"recipe.frozen: saved \[\], requested \['backbone.'\]"):
        checkpoint.refuse_others(path, checkpoint.load(path), SPEC, to_data(replace(longer, frozen=("backbone.",))))


def test_the_data_may_be_renamed_but_not_changed(tmp_path):
    """On another machine a folder may have another name."""
    path = checkpoint.save(tmp_path, snapshot(1)._replace(data={"name": "cells", "sha256": "ab"}))
    kept = checkpoint.load(path)
    checkpoint.refuse_others(path, kept, SPEC, RECIPE, {"name": "blood", "sha256": "ab"})
    with pytest.raises(CheckpointError, match=r"data.name: saved cells.*data.sha256: saved ab") as error:
        checkpoint.refuse_others(path, kept, SPEC, RECIPE, {"name": "blood", "sha256": "cd"})
    assert error.value.id == "checkpoint-other"


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        path = checkpoint.save(tmp_path / "run", snapshot(1))
    finally:
        os.umask(before)
    modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path, *path.iterdir())}
    files = dict.fromkeys(("state.json", "training.safetensors", "weights.safetensors"), 0o666 & ~mask)
    assert modes == dict.fromkeys(("run", path.name), 0o777 & ~mask) | files


CALLS = ("mkdir", "save_file", "fsync", "rename", "write_text")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("number", "reason"), [(28, "No space left on device"), (30, "Read-only file system")])
def test_after_any_failure_the_earlier_checkpoint_is_unchanged(tmp_path, monkeypatch, call, number, reason):
    first = checkpoint.save(tmp_path, snapshot(1))
    before = contents(tmp_path)

    def fail(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    where = {"mkdir": Path, "write_text": Path, "save_file": checkpoint}.get(call, os)
    with monkeypatch.context() as patch:
        patch.setattr(where, call, fail)
        with pytest.raises(
            CheckpointError, match=f"{tmp_path}/step-00000002: checkpoint not written .{reason}"
        ) as error:
            checkpoint.save(tmp_path, snapshot(2))
    assert f"the newest other checkpoint is {first}" in str(error.value)
    assert contents(tmp_path) == before
    assert checkpoint.load(checkpoint.save(tmp_path, snapshot(2))).step == 2  # after space was freed


LIMITED = """
import resource, signal, sys, torch
from pathlib import Path
from paretodet.training.checkpoint import CheckpointError, Snapshot, save
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    save(Path(sys.argv[1]), Snapshot(2, {}, {}, None, {"a": torch.zeros(1_000_000)}, {}))
except CheckpointError as error:
    print(error)
"""


def test_a_limit_on_the_file_size(tmp_path):
    checkpoint.save(tmp_path, snapshot(1))
    before = contents(tmp_path)
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True, check=True)
    assert "checkpoint not written" in done.stdout and done.stderr == ""
    assert contents(tmp_path) == before


def test_a_path_that_cannot_be_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match="checkpoint not written .Not a directory"):
        checkpoint.save(tmp_path / "file" / "run", snapshot(1))


def kill_at_random(folder, times):
    """Kill writers at random moments; after each, the newest checkpoint is complete and no printed one is lost."""
    chance, printed = random.Random(0), 0
    command = [sys.executable, "-c", WRITERS, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writers:
        for _ in range(times):
            print(file=writers.stdin, flush=True)
            writer = written = None
            while writer is None or written is None:  # in any order
                match writers.stdout.readline().split():
                    case "writer", number:
                        writer = int(number)
                    case (number,):
                        written = int(number)
            time.sleep(chance.random() * 0.1)
            os.kill(writer, signal.SIGKILL)
            lines = list(iter(writers.stdout.readline, "killed\n"))
            printed = int(lines[-1]) if lines else written
            found = checkpoint.load(checkpoint.latest(folder))
            assert found.step >= printed and found.position == found.step
            assert all((t == found.step).all() for t in found.weights.values())
    return printed


def test_kill_9_costs_no_checkpoint(tmp_path):
    assert kill_at_random(tmp_path, 5) > 5


@pytest.mark.full
def test_kill_9_fifty_times_costs_no_checkpoint(tmp_path):
    kill_at_random(tmp_path, 50)
    checkpoint.save(tmp_path, snapshot(10**6), keep=2)
    assert len(list(tmp_path.iterdir())) <= 2  # nothing incomplete is left
    assert json.loads((tmp_path / "step-01000000" / "state.json").read_text())["step"] == 10**6
