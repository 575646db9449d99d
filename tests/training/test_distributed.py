"""Several processes train as one does."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from distributed_subject import Run

from paretodet.training import checkpoint
from paretodet.training.distributed import ALONE, World, together, told

SUBJECT = Path(__file__).with_name("distributed_subject.py")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(SUBJECT.parent), *sys.path])}
NORMALISED = [  # each counts in its own way, and has norms that are frozen or none
    Run(folder="", name="retinanet-resnet50-800", side=128),
    Run(folder="", name="mask_rcnn-resnet50-800x1024", side=128),
    Run(folder="", name="ssd_liu-vgg16-300", side=266),
    Run(folder="", name="rfcn-mobilenet_v1-300-s16-p10", side=96, accumulate=2),
]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def side_by_side(run, processes=2):
    """What each process says, started without torchrun's own process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    its = [rendezvous | {"RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": str(processes)} for r in range(processes)]
    command = [sys.executable, str(SUBJECT), json.dumps(asdict(run))]
    started = [
        subprocess.Popen(command, env=os.environ | ENVIRONMENT | its, stdout=subprocess.PIPE, text=True) for its in its
    ]
    said = [process.communicate(timeout=600)[0].splitlines() for process in started]
    assert [process.returncode for process in started] == [0] * processes
    return said


def torchrun(run, processes=2, restarts=0):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command += [f"--max-restarts={restarts}", str(SUBJECT), json.dumps(asdict(run))]
    done = subprocess.run(command, env=os.environ | ENVIRONMENT, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def updates(lines):
    return [json.loads(line) for line in lines if line.startswith("[")]


def kept(path):
    return checkpoint.load(checkpoint.latest(Path(path)))


def check_alike(tmp_path, run, say):
    """Two processes and one: the same losses, the same weights, and they have moved."""
    one, two = (replace(run, folder=str(tmp_path / name)) for name in ("one", "two"))
    alone = []
    one.go(listener=alone.append)
    found = updates(say(two))
    wanted = [event for event in alone if hasattr(event, "update")]
    assert [(step, images) for step, images, *_ in found] == [(step + 1, run.batch) for step in range(run.steps)]
    for event, (_, _, terms, gradient) in zip(wanted, found, strict=True):
        assert terms == pytest.approx(event.update.terms, rel=1e-4, abs=1e-6)
        assert gradient == pytest.approx(event.update.gradient, rel=1e-4)
    first, second = kept(one.folder), kept(two.folder)
    start = one.detector().state_dict()
    apart = {name: (second.weights[name] - weight).abs().max().item() for name, weight in first.weights.items()}
    moved = max((start[name] - weight).abs().max().item() for name, weight in first.weights.items())
    assert max(apart.values()) < 1e-5 < 1e-3 < moved
    assert first.position == second.position == run.steps


def test_two_processes_train_as_one(tmp_path):
    check_alike(tmp_path, Run(folder=""), lambda run: side_by_side(run)[0])


@pytest.mark.full
@pytest.mark.parametrize("run", NORMALISED, ids=lambda run: run.name)
def test_two_processes_train_as_one_however_losses_are_counted(tmp_path, run):
    check_alike(tmp_path, run, torchrun)
