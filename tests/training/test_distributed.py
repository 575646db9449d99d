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
from hypothesis import given
from hypothesis import strategies as st

from paretodet.loader.shapes import Shapes
from paretodet.training import checkpoint, distributed
from paretodet.training.distributed import ALONE, ProcessGroup, _buckets, from_env, together

SUBJECT = Path(__file__).with_name("distributed_subject.py")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(SUBJECT.parent), *sys.path])}
PIPED = {"stdout": subprocess.PIPE, "text": True}
SECOND_OF_FOUR = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
NORMALIZED = [  # each counts in its own way, and has norms that are frozen or none
    Run(folder="", name="retinanet-resnet50-800", side=128),
    Run(folder="", name="mask_rcnn-resnet50-800x1024", side=128),
    Run(folder="", name="ssd_liu-vgg16-300", side=266),
    Run(folder="", name="rfcn-mobilenet_v1-300-s16-p10", side=96, accumulate=2),
    Run(folder="", frozen="backbone."),
]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def side_by_side(run, processes=2):
    """What each process says."""
    return started([str(SUBJECT), json.dumps(asdict(run))], processes)


def started(arguments, processes=2, errors=None):
    """What each process says, without torchrun's own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    its = [rendezvous | {"RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": str(processes)} for r in range(processes)]
    children = [
        subprocess.Popen([sys.executable, *arguments], env=os.environ | ENVIRONMENT | its, stderr=errors, **PIPED)
        for its in its
    ]
    said = [child.communicate(timeout=600)[0].splitlines() for child in children]
    assert [child.returncode for child in children] == [0] * processes
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
        assert gradient == pytest.approx(event.update.gradient, rel=1e-3)
    first, second = kept(one.folder), kept(two.folder)
    start = one.detector().state_dict()
    apart = {name: (second.weights[name] - weight).abs().max().item() for name, weight in first.weights.items()}
    moved = max((start[name] - weight).abs().max().item() for name, weight in first.weights.items())
    assert max(apart.values()) < 1e-5 < 1e-3 < moved
    assert first.position == second.position == run.steps


def test_two_processes_train_as_one(tmp_path):
    check_alike(tmp_path, Run(folder=""), lambda run: side_by_side(run)[0])


@pytest.mark.full
@pytest.mark.parametrize("run", NORMALIZED, ids=lambda run: run.name)
def test_two_processes_train_as_one_however_losses_are_counted(tmp_path, run):
    check_alike(tmp_path, run, torchrun)


@pytest.mark.full
def test_two_compiled_processes_train_as_one_that_is_not(tmp_path):
    """Counts leave the compiled program to be sent."""
    run = Run(folder="", name="ssd_liu-vgg16-300", side=266, steps=2)
    check_alike(tmp_path, run, lambda two: torchrun(replace(two, compiled=True)))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(t, other[name]) for name, t in one.items())


@pytest.mark.full
def test_a_killed_process_costs_nothing(tmp_path):
    """torchrun starts all again, and they go on from the newest checkpoint to the bit."""
    straight = Run(folder=str(tmp_path / "straight"))
    killed = replace(straight, folder=str(tmp_path / "killed"), die=3)
    side_by_side(straight)
    said = torchrun(killed, restarts=1)
    assert said.count("Started 0") == 1 and {"Started 2", "Started 1"} & set(said)
    assert [step for step, *_ in updates(said)][-1] == 5
    one, other = kept(straight.folder), kept(killed.folder)
    assert equal(one.weights, other.weights) and equal(one.training, other.training)


@pytest.mark.full
def test_another_number_of_processes_goes_on(tmp_path):
    straight = Run(folder=str(tmp_path / "straight"))
    changed = replace(straight, folder=str(tmp_path / "changed"))
    straight.go()
    side_by_side(replace(changed, steps=2))
    changed = replace(changed, steps=4)
    changed.go()
    said = updates(side_by_side(replace(changed, steps=5))[0])
    assert [step for step, *_ in said] == [5]
    one, other = kept(straight.folder), kept(changed.folder)
    assert all((other.weights[name] - weight).abs().max() < 1e-5 for name, weight in one.weights.items())
    assert one.position == other.position == 5


@pytest.mark.full
def test_all_stop_where_one_finds_no_number(tmp_path):
    run = Run(folder=str(tmp_path / "run"), spoil=3)
    first, last = side_by_side(run)
    assert first[-1].startswith("rank 0: NotFinite: update 2: not finite: stage1/box")
    assert first[-1].removeprefix("rank 0") == last[-1].removeprefix("rank 1")
    spoilt = int(first[-1].rpartition("its images: ")[2])  # one, and of the other process
    assert spoilt in range(1, 9) and kept(run.folder).step == 2
    assert len(last) == 1  # only the first tells of updates


@pytest.mark.full
def test_what_each_left_out_is_told_once_of_all(tmp_path):
    """By the command, on labels of which every other image is empty; two updates are an epoch."""
    Shapes(count=8, height=64, width=64, most=3, seed=1, folder=tmp_path / "images").write(tmp_path)
    for image in sorted((tmp_path / "images").iterdir())[::2]:
        image.write_bytes(b"")
    choices = ["--width", "0.125", "--batch", "4", "--steps", "2"]
    command = ["-m", "paretodet", "train", "ssd-mobilenet_v1-300", "--data", str(next(tmp_path.glob("*.json")))]
    said = [started([*command, "--out", str(tmp_path / str(n)), *choices], n, subprocess.STDOUT) for n in (1, 2)]
    from_env = [[line for line in lines if line.startswith("While learning")] for each in said for lines in each]
    assert "left out 4 images that cannot be read, in 4 files" in from_env[0][0]
    assert from_env == [from_env[0], from_env[0], []]


@pytest.mark.full
def test_all_stop_where_the_first_cannot_write(tmp_path):
    (tmp_path / "file").touch()
    first, last = side_by_side(Run(folder=str(tmp_path / "file")))
    assert "CheckpointError" in first[-1] and first[-1].removeprefix("rank 0") == last[-1].removeprefix("rank 1")


def test_torchrun_tells_each_process_its_rank():
    assert from_env({}) == ALONE and from_env({"PATH": ""}).first
    world = from_env({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert world == ProcessGroup(rank=5, processes=8, local=1) and not world.first and world.shard == (5, 8)
    assert world.neighbors == 1 and from_env(SECOND_OF_FOUR).neighbors == 4
    assert world.device("cuda") == torch.device("cuda", 1) and world.device("cuda:0") == torch.device("cuda", 0)
    assert world.device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    "environment",
    [{"RANK": "0"}, {"RANK": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, dict.fromkeys(("RANK", "WORLD_SIZE"), "2")],
)
def test_half_of_torchrun_is_refused(environment):
    with pytest.raises(ValueError, match="environment: got RANK=.*, start several processes by torchrun"):
        from_env(environment)


def test_a_rank_is_one_of_the_processes():
    with pytest.raises(ValueError, match="rank: got 2 of 2 processes"):
        ProcessGroup(rank=2, processes=2)


def test_images_that_cannot_be_shared_are_refused():
    assert ProcessGroup(processes=4).share(8) == 2
    with pytest.raises(ValueError, match="processes: got 4, allowed a divisor of the 6 images of a pass"):
        ProcessGroup(processes=4).share(6)


@pytest.mark.parametrize(
    ("device", "gpus", "local", "said"),
    [
        ("gpu", 0, 0, "got 'gpu', allowed cpu, cuda or cuda:N"),
        ("cuda", 0, 0, "'cuda' asked for, but torch sees no CUDA GPU here"),
        ("cuda", 2, 3, "process 4 of this machine needs 'cuda:3', but torch sees only 2 CUDA GPUs here, allowed one"),
        ("cuda:2", 2, 0, "'cuda:2' asked for, but torch sees only 2 CUDA GPUs here"),
        (torch.device("cuda:1"), 2, 1, "got 'cuda:1', one GPU for 4 processes of a machine, allowed cuda, which gives"),
    ],
)
def test_a_device_that_is_not_there_is_one_sentence_before_processes_meet(monkeypatch, device, gpus, local, said):
    its = {"RANK": local, "WORLD_SIZE": 4, "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": 4}
    for name, value in its.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: pytest.fail(f"{device} was taken"))
    monkeypatch.setattr(torch.distributed, "init_process_group", lambda *_, **__: pytest.fail("they met"))
    monkeypatch.setattr(distributed, "_store", lambda: None)
    with pytest.raises(ValueError, match=f"^device: {said}[^\n]*$"), together(device):
        pass


def test_one_process_alone_needs_no_other(monkeypatch):
    monkeypatch.setenv("RANK", "0"), monkeypatch.setenv("LOCAL_RANK", "0"), monkeypatch.setenv("WORLD_SIZE", "1")
    with together() as world:
        assert not torch.distributed.is_initialized()
        gradient = torch.arange(3.0)
        world.average([gradient]), world.spread({"a": gradient})
        assert torch.equal(gradient, torch.arange(3.0)) and world.mean(gradient) is gradient
        assert world.gather("x") == ["x"] and world.once(lambda: 7) == 7
        assert world.divisor(torch.tensor(0)) == 1 and world.divisor(torch.tensor(3), 1) == 4


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12))
def test_buckets_hold_every_tensor_in_order(kinds):
    tensors = [torch.zeros(size, dtype=torch.half if half else torch.float) for size, half in kinds]
    found = list(_buckets(tensors, 10))
    assert [id(t) for bucket in found for t in bucket] == [id(t) for t in tensors]
    assert all(len({t.dtype for t in bucket}) == 1 for bucket in found)
    assert all(sum(t.numel() for t in bucket) <= 10 for bucket in found)
