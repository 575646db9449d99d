"""One training at a time in a run folder, even if others are killed."""

import json
import os
import signal
import subprocess
import sys

import pytest
from test_distributed import ENVIRONMENT, forked

from paretodet.schema import SchemaError
from paretodet.training.distributed import ONE_PROCESS, ProcessGroup
from paretodet.training.folder import RUN, locked_folder, previous_validation

HOLDER = """
import os, sys, time
from pathlib import Path
from paretodet.training.distributed import process_group
from paretodet.training.folder import locked_folder
from paretodet.writing import written

folder, kind = Path(sys.argv[1]), sys.argv[2]
with process_group("cpu") as group, locked_folder(folder, group):
    if kind == "forks":
        ready, started = os.pipe()
        if not os.fork():
            os.write(started, b"1")
            time.sleep(60)
        os.read(ready, 1)  # the child runs, and has given up the lock that it inherited
    if kind == "writes":
        written(folder / "weights.safetensors").__enter__()
        (folder / "checkpoints" / "step-00000002.unfinished").mkdir(parents=True)
    print("in", sorted(each.name for each in folder.iterdir()), flush=True)
    group.gather(None)
    if kind != "ends":
        time.sleep(60)
"""
REFUSED = "out: another training is running in .*run; "


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("kind", ["waits", "writes", "forks"])
def test_a_second_training_is_refused_until_the_first_has_ended(tmp_path, kind):
    folder = tmp_path / "run"
    command = [sys.executable, "-c", HOLDER, str(folder), kind]
    environment = os.environ | ENVIRONMENT
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True) as first:
        assert first.stdout.readline().startswith("in ")
        before = names(folder)
        with pytest.raises(ValueError, match=REFUSED), locked_folder(folder, ONE_PROCESS):
            raise AssertionError
        assert names(folder) == before
        first.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, first.pid, os.WEXITED | os.WNOWAIT)
        with locked_folder(folder, ONE_PROCESS):  # although a child process may be alive
            assert names(folder) == [".training.lock"] + ["checkpoints"] * (kind == "writes")
            (folder / "kept").touch()
        os.killpg(first.pid, signal.SIGKILL)
    assert names(folder) == ["checkpoints"] * (kind == "writes") + ["kept"]
    assert kind != "writes" or names(folder / "checkpoints") == []


def test_one_process_may_train_twice_but_not_at_once(tmp_path):
    folder = tmp_path / "new" / "run"
    for _ in range(2):
        with locked_folder(folder, ONE_PROCESS):
            with pytest.raises(ValueError, match=REFUSED), locked_folder(folder, ONE_PROCESS):
                raise AssertionError
            assert names(folder) == [".training.lock"]
    assert names(tmp_path) == []  # nothing was written


def test_created_folders_are_removed_if_nothing_was_written(tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in ("empty", "a/b/c"):
        with pytest.raises(RuntimeError), locked_folder(tmp_path / folder, ONE_PROCESS):
            (tmp_path / "a").mkdir(exist_ok=True)
            (tmp_path / "a" / "theirs").touch()
            raise RuntimeError
    assert names(tmp_path) == ["a", "empty"] and names(tmp_path / "a") == ["theirs"]


def test_processes_of_one_training_share_the_folder(tmp_path):
    output = forked(f"import sys\nsys.argv[1:] = [{str(tmp_path / 'run')!r}, 'ends']\n{HOLDER}")
    assert output == [["in ['.training.lock']"]] * 2 and names(tmp_path) == []


def test_only_the_first_process_locks_the_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(ProcessGroup, "run_on_first", lambda self, do: do() if self.is_first else None)
    with (
        locked_folder(tmp_path / "run", ProcessGroup(processes=2)),
        locked_folder(tmp_path / "run", ProcessGroup(rank=1, processes=2)),
    ):
        assert names(tmp_path / "run") == [".training.lock"]


def test_a_folder_that_cannot_be_created_is_refused(tmp_path):
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "run", tmp_path / ("x" * 300)):
        with pytest.raises(ValueError, match="out: .* cannot be written"), locked_folder(folder, ONE_PROCESS):
            raise AssertionError


def test_the_previous_validation_is_read_from_run_json(tmp_path):
    assert previous_validation(tmp_path) is None
    for val, wanted in (
        (None, None),
        ({"sha256": "a"}, ("a", 0)),
        ({"sha256": "a", "since": 3, "name": "b"}, ("a", 3)),
    ):
        (tmp_path / RUN).write_text(json.dumps({"name": "x", "val": val}))
        found = previous_validation(tmp_path)
        assert (found and (found.sha256, found.since)) == wanted
    (tmp_path / RUN).write_text('{"val": {"sha256": 3}}')
    with pytest.raises(SchemaError, match=r"run\.json: val\.sha256: expected str, got int; delete the file"):
        previous_validation(tmp_path)
