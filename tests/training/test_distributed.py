"""Several processes train like one."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from distributed_subject import Run
from hypothesis import given
from hypothesis import strategies as st

from paretodet.loader.shapes import Shapes
from paretodet.training import checkpoint, distributed
from paretodet.training.distributed import ONE_PROCESS, ProcessGroup, _buckets, from_env, process_group

SUBJECT = Path(__file__).with_name("distributed_subject.py")
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(SUBJECT.parent), *sys.path])}
PIPED = {"stdout": subprocess.PIPE, "text": True}
SECOND_OF_FOUR = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
NORMALIZED = [  # different normalizers, with frozen norms or none
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


def side_by_side(run):
    """The output of each of two processes."""
    return forked(f"train(Run(**{asdict(run)!r}))")


def forked(code, processes=2):
    """The output of each process that runs the code; they share one import of torch."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, str(SUBJECT.with_name("forked.py")), str(processes), folder, code]
        subprocess.run(command, env=os.environ | ENVIRONMENT | rendezvous(), check=True, timeout=600)
        return [Path(folder, str(rank)).read_text().splitlines() for rank in range(processes)]


def rendezvous():
    """Where the processes of a group meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}


def started(arguments, processes=2, errors=None):
    """The output of each process, started without torchrun."""
    at = rendezvous()
    its = [at | {"RANK": str(r), "LOCAL_RANK": str(r), "WORLD_SIZE": str(processes)} for r in range(processes)]
    children = [
        subprocess.Popen([sys.executable, *arguments], env=os.environ | ENVIRONMENT | its, stderr=errors, **PIPED)
        for its in its
    ]
    output = [child.communicate(timeout=600)[0].splitlines() for child in children]
    assert [child.returncode for child in children] == [0] * processes
    return output


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


def check_equal(tmp_path, run, train_two):
    """Two processes and one have the same losses and the same weights, which have changed."""
    one, two = (replace(run, folder=str(tmp_path / name)) for name in ("one", "two"))
    alone = []
    one.go(listener=alone.append)
    found = updates(train_two(two))
    wanted = [event for event in alone if hasattr(event, "update")]
    assert [(step, images) for step, images, *_ in found] == [(step + 1, run.batch) for step in range(run.steps)]
    for event, (_, _, terms, gradient) in zip(wanted, found, strict=True):
        assert terms == pytest.approx(event.update.terms, rel=1e-4, abs=1e-6)
        assert gradient == pytest.approx(event.update.gradient_norm, rel=1e-3)
    first, second = kept(one.folder), kept(two.folder)
    start = one.detector().state_dict()
    apart = {name: (second.weights[name] - weight).abs().max().item() for name, weight in first.weights.items()}
    moved = max((start[name] - weight).abs().max().item() for name, weight in first.weights.items())
    assert max(apart.values()) < 1e-5 < 1e-3 < moved
    assert first.position == second.position == run.steps


def test_two_processes_train_as_one(tmp_path):
    check_equal(tmp_path, Run(folder=""), lambda run: side_by_side(run)[0])


@pytest.mark.full
@pytest.mark.parametrize("run", NORMALIZED, ids=lambda run: run.name)
def test_two_processes_train_as_one_with_every_normalizer(tmp_path, run):
    check_equal(tmp_path, run, torchrun)


@pytest.mark.full
def test_two_compiled_processes_train_as_one_without_compiling(tmp_path):
    """The counts are sent between parts of the compiled program."""
    run = Run(folder="", name="ssd_liu-vgg16-300", side=266, steps=2)
    check_equal(tmp_path, run, lambda two: torchrun(replace(two, compiled=True)))


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(t, other[name]) for name, t in one.items())


@pytest.mark.full
def test_a_killed_process_loses_no_checkpoint(tmp_path):
    """torchrun restarts all processes, which resume bit-exactly from the newest checkpoint."""
    straight = Run(folder=str(tmp_path / "straight"))
    killed = replace(straight, folder=str(tmp_path / "killed"), die=3)
    side_by_side(straight)
    output = torchrun(killed, restarts=1)
    assert output.count("Started 0") == 1 and {"Started 2", "Started 1"} & set(output)
    assert [step for step, *_ in updates(output)][-1] == 5
    one, other = kept(straight.folder), kept(killed.folder)
    assert equal(one.weights, other.weights) and equal(one.training, other.training)


@pytest.mark.full
def test_another_number_of_processes_resumes(tmp_path):
    straight = Run(folder=str(tmp_path / "straight"))
    changed = replace(straight, folder=str(tmp_path / "changed"))
    straight.go()
    side_by_side(replace(changed, steps=2))
    changed = replace(changed, steps=4)
    changed.go()
    output = updates(side_by_side(replace(changed, steps=5))[0])
    assert [step for step, *_ in output] == [5]
    one, other = kept(straight.folder), kept(changed.folder)
    assert all((other.weights[name] - weight).abs().max() < 1e-5 for name, weight in one.weights.items())
    assert one.position == other.position == 5


@pytest.mark.full
def test_all_processes_stop_on_a_value_that_is_not_finite(tmp_path):
    run = Run(folder=str(tmp_path / "run"), spoil=3)
    first, last = side_by_side(run)
    assert first[-1].startswith("rank 0: NotFinite: update 2: not finite: stage1/box")
    assert first[-1].removeprefix("rank 0") == last[-1].removeprefix("rank 1")
    images = first[-1].removesuffix(" [training-diverged]").rpartition("images: ")[2]
    spoiled = int(images)  # an image of the last process
    assert spoiled in range(1, 9) and kept(run.folder).step == 2
    assert len(last) == 1  # only the first prints updates


@pytest.mark.full
def test_images_left_out_are_reported_once_for_all_processes(tmp_path):
    """By the command, with every other image empty; two updates are an epoch."""
    Shapes(count=8, height=64, width=64, most=3, seed=1, folder=tmp_path / "images").write(tmp_path)
    for image in sorted((tmp_path / "images").iterdir())[::2]:
        image.write_bytes(b"")
    choices = ["--width", "0.125", "--batch", "4", "--steps", "2"]
    command = ["-m", "paretodet", "train", "ssd-mobilenet_v1-300", "--data", str(next(tmp_path.glob("*.json")))]
    output = [started([*command, "--out", str(tmp_path / str(n)), *choices], n, subprocess.STDOUT) for n in (1, 2)]
    reports = [[line for line in lines if line.startswith("Training: ")] for each in output for lines in each]
    assert "left out 4 images that cannot be read, in 4 files" in reports[0][0]
    assert reports == [reports[0], reports[0], []]


@pytest.mark.full
def test_all_processes_stop_if_the_first_cannot_write(tmp_path):
    (tmp_path / "file").touch()
    first, last = side_by_side(Run(folder=str(tmp_path / "file")))
    assert "CheckpointError" in first[-1] and first[-1].removeprefix("rank 0") == last[-1].removeprefix("rank 1")


def test_ranks_are_read_from_the_environment():
    assert from_env({}) == ONE_PROCESS and from_env({"PATH": ""}).is_first
    group = from_env({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"})
    assert group == ProcessGroup(rank=5, processes=8, local_rank=1) and not group.is_first and group.shard == (5, 8)
    assert group.local_processes == 1 and from_env(SECOND_OF_FOUR).local_processes == 4
    assert group.device("cuda") == torch.device("cuda", 1) and group.device("cuda:0") == torch.device("cuda", 0)
    assert group.device("cpu") == torch.device("cpu")


@pytest.mark.parametrize(
    "environment",
    [{"RANK": "0"}, {"RANK": "x", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}, dict.fromkeys(("RANK", "WORLD_SIZE"), "2")],
)
def test_an_incomplete_environment_is_refused(environment):
    with pytest.raises(ValueError, match="environment: got RANK=.*; start several processes with torchrun"):
        from_env(environment)


def test_a_rank_out_of_range_is_refused():
    with pytest.raises(ValueError, match="rank: got 2 of 2 processes"):
        ProcessGroup(rank=2, processes=2)


def test_images_that_cannot_be_divided_are_refused():
    assert ProcessGroup(processes=4).share(8) == 2
    with pytest.raises(ValueError, match="processes: got 4, allowed a divisor of the 6 images of a pass"):
        ProcessGroup(processes=4).share(6)


@pytest.mark.parametrize(
    ("device", "gpus", "local", "message"),
    [
        ("gpu", 0, 0, "got 'gpu', allowed cpu, cuda or cuda:N"),
        ("cuda", 0, 0, "got 'cuda', but torch finds no CUDA GPU"),
        (
            "cuda",
            2,
            3,
            "process 4 of this machine needs 'cuda:3', but torch finds only 2 CUDA GPUs",
        ),
        ("cuda:2", 2, 0, "got 'cuda:2', but torch finds only 2 CUDA GPUs"),
        (torch.device("cuda:1"), 2, 1, "got 'cuda:1', one GPU for 4 processes of a machine, allowed cuda"),
    ],
)
def test_a_missing_device_is_refused_before_processes_connect(monkeypatch, device, gpus, local, message):
    its = {"RANK": local, "WORLD_SIZE": 4, "LOCAL_RANK": local, "LOCAL_WORLD_SIZE": 4}
    for name, value in its.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: pytest.fail(f"{device} was set"))
    monkeypatch.setattr(
        torch.distributed, "init_process_group", lambda *_, **__: pytest.fail("the processes connected")
    )
    monkeypatch.setattr(distributed, "_store", lambda: None)
    with pytest.raises(ValueError, match=f"^device: {message}[^\n]*$"), process_group(device):
        pass


def test_one_process_does_not_communicate(monkeypatch):
    monkeypatch.setenv("RANK", "0"), monkeypatch.setenv("LOCAL_RANK", "0"), monkeypatch.setenv("WORLD_SIZE", "1")
    with process_group() as group:
        assert not torch.distributed.is_initialized()
        gradient = torch.arange(3.0)
        group.average_gradients([gradient]), group.broadcast({"a": gradient})
        assert torch.equal(gradient, torch.arange(3.0)) and group.mean(gradient) is gradient
        assert group.gather("x") == ["x"] and group.run_on_first(lambda: 7) == 7
        assert group.normalizer(torch.tensor(0)) == 1 and group.normalizer(torch.tensor(3), 1) == 4


@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), max_size=12))
def test_buckets_hold_every_tensor_in_order(kinds):
    tensors = [torch.zeros(size, dtype=torch.half if half else torch.float) for size, half in kinds]
    found = list(_buckets(tensors, 10))
    assert [id(t) for bucket in found for t in bucket] == [id(t) for t in tensors]
    assert all(len({t.dtype for t in bucket}) == 1 for bucket in found)
    assert all(sum(t.numel() for t in bucket) <= 10 for bucket in found)
