"""The training loop: bit-exact after a kill, and detectors fit a batch."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_subject import SHAPES, SIDE, Drawn, built, drawn, recipe, run, side, small

from paretodet.detectors import families
from paretodet.detectors.detector import Detector
from paretodet.errors import InputError
from paretodet.evaluation.coco import score
from paretodet.labels.formats.coco import from_json
from paretodet.schema import SchemaError
from paretodet.training import checkpoint
from paretodet.training.checkpoint import CheckpointError
from paretodet.training.distributed import ProcessGroup
from paretodet.training.ema import Ema
from paretodet.training.inputs import TrainingBatch
from paretodet.training.loop import CheckpointPolicy, MemoryEstimated, Saved, Started, Updated, training_loop
from paretodet.training.memory import OutOfMemory
from paretodet.training.schedules import Constant
from paretodet.training.step import NotFinite

FAMILIES = {  # with those of SHAPES, one of each architecture; number of updates
    "ssd_liu-vgg16-300": 150,
    "ssd_tv-vgg16-300": 150,
    "ssdlite-mobilenet_v2-300": 200,
    "yolo_v2-darknet19-416": 300,
    "yolo_v2_2016-darknet19-416": 600,
    "yolo_v3-darknet53-320": 200,
    "retinanet-resnet50-800": 200,
    "retinanet_tv-resnet50-800": 200,
    "fcos-resnet50-800x1344": 300,
    "rfcn-mobilenet_v1-300-s16-p10": 300,
    "faster_rcnn_ren-vgg16-600x850-p300": 200,
    "faster_rcnn_tv-resnet50-800x1344": 200,
    "faster_rcnn_fpn-resnet50-800x1344": 200,
    "mask_rcnn-resnet50-800x1024": 300,
    "mask_rcnn_tv-resnet50-800x1344": 300,
    "cascade_rcnn-resnet50-800x1344": 300,
    "retinanet_d2-resnet50-800x1344": 200,
    "faster_rcnn_d2-resnet50-800x1344": 200,
    "mask_rcnn_d2-resnet50-800x1344": 300,
    "mask_rcnn_zoo-inception_v2-800x1365-s16": 300,
}
SUBJECT = Path(__file__).with_name("training_subject.py")


def killed(folder, shape, steps, after):
    """A training in a separate process, killed once it prints that checkpoint `after` is saved."""
    command = [sys.executable, str(SUBJECT), str(folder), shape, str(steps)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            if line.startswith(f"Saved(step={after},"):
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(t, other[name]) for name, t in one.items())


def check_resume(folder, shape, steps=4):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        straight = checkpoint.load(run(folder / "straight", SHAPES[shape], steps))
        killed(folder / "killed", shape, steps, after=steps // 2)
        before = checkpoint.latest(folder / "killed")
        events = []
        again = checkpoint.load(run(folder / "killed", SHAPES[shape], steps, events.append))
    finally:
        torch.set_num_threads(threads)
    assert events[0].resumed == before and steps // 2 <= events[0].step < steps
    assert equal(straight.weights, again.weights) and equal(straight.training, again.training)
    assert straight.position == again.position == steps
    return straight


def test_a_killed_training_resumes_bit_exactly(tmp_path):
    kept = check_resume(tmp_path, "one stage")
    names = {name.split("/")[0] for name in kept.training}
    assert names == {"model", "optimizer", "random"}


@pytest.mark.full
@pytest.mark.parametrize("shape", SHAPES)
def test_every_detector_resumes_bit_exactly(tmp_path, shape):
    check_resume(tmp_path, shape, steps=6)


def go(folder, steps=3, made=None, batches=None, checkpoints=None, **changes):
    events = []
    path = training_loop(
        made or built(SHAPES["one stage"]),
        batches or Drawn(),
        recipe=recipe(steps, **changes),
        checkpoints=checkpoints or CheckpointPolicy(folder=folder, every=2),
        listener=events.append,
    )
    return path, events


def test_the_listener_gets_every_update_and_every_checkpoint(tmp_path):
    path, events = go(tmp_path)
    kinds = [(type(event), event.step) for event in events]
    assert kinds == [
        (Started, 0),
        (MemoryEstimated, 0),
        (Updated, 1),
        (Updated, 2),
        (Saved, 2),
        (Updated, 3),
        (Saved, 3),
    ]
    assert events[-1].path == path and events[2].images == 4
    assert events[2].update.loss == pytest.approx(sum(events[2].update.terms.values()))


def test_a_finished_training_makes_no_update(tmp_path):
    path, _ = go(tmp_path)
    again, events = go(tmp_path)
    assert again == path and events == [Started(step=3, steps=3, resumed=path)]


def test_the_weights_of_a_checkpoint_are_those_of_the_ema(tmp_path):
    kept = checkpoint.load(go(tmp_path, ema=Ema(decay=0.9))[0])
    made = built(SHAPES["one stage"])
    made.load_state_dict(dict(kept.weights))
    name = "backbone." + next(name for name, _ in made.backbone.named_parameters())
    assert not torch.equal(kept.weights[name], kept.training[f"model/{name}"])


def test_without_an_ema_the_weights_are_saved_once(tmp_path):
    kept = checkpoint.load(go(tmp_path, ema=None)[0])
    assert not [name for name in kept.training if name.startswith("model/")]


def test_another_detector_is_not_resumed(tmp_path):
    go(tmp_path)
    with pytest.raises(CheckpointError, match="spec.backbone.width: saved 0.125, requested 0.25"):
        go(tmp_path, made=built(SHAPES["one stage"], width=0.25))


def test_other_data_are_not_resumed(tmp_path):
    """Nor data without an identity."""
    checkpoints = CheckpointPolicy(folder=tmp_path, every=2)

    def train_on(data, steps=3):
        return training_loop(
            built(SHAPES["one stage"]),
            Drawn(),
            recipe=recipe(steps, schedule=Constant()),
            checkpoints=checkpoints,
            data=data,
        )

    path = train_on({"labels": "ab12", "split": ("train", 2017), "images": 8})
    assert checkpoint.load(path).data == {"labels": "ab12", "split": ["train", 2017], "images": 8}
    assert train_on({"labels": "ab12", "split": ["train", 2017], "images": 8}, steps=4) != path
    with pytest.raises(CheckpointError, match="another training: data.labels: saved ab12, requested cd34;"):
        train_on({"labels": "cd34", "split": ["train", 2017], "images": 8})
    with pytest.raises(CheckpointError, match="data: saved .*, requested None;"):
        train_on(None)


def test_more_parts_may_resume(tmp_path):
    made = [built(SHAPES["two stages"]) for _ in range(2)]
    go(tmp_path, 2, made[0], schedule=Constant())
    path, events = go(tmp_path, 3, made[1], schedule=Constant(), accumulate=4)
    assert events[0].step == 2 and checkpoint.load(path).position == 3


@pytest.mark.parametrize("position", ["2", None, 2.5, [2], True])
def test_a_position_that_batches_do_not_have_is_refused(tmp_path, position):
    path, _ = go(tmp_path, 2, schedule=Constant())
    state = json.loads((path / checkpoint.STATE).read_text())
    (path / checkpoint.STATE).write_text(json.dumps(state | {"position": position}))
    with pytest.raises(SchemaError, match="step-00000002: position: expected int, got "):
        go(tmp_path, 3, schedule=Constant())


def test_batches_that_cannot_be_divided_are_refused(tmp_path):
    with pytest.raises(ValueError, match="processes: got 3, allowed a divisor of the 2 images of a pass"):
        training_loop(
            built(SHAPES["one stage"]),
            Drawn(),
            recipe=recipe(),
            checkpoints=CheckpointPolicy(folder=tmp_path),
            group=ProcessGroup(processes=3),
        )


def test_a_trainable_norm_with_a_single_value_is_explained(tmp_path):
    """SSD's last map is one cell: a pass of one image has a single value."""
    with pytest.raises(ValueError, match="^batch: with one image a pass "):
        go(tmp_path, made=built(SHAPES["one stage"]), accumulate=4)


@pytest.mark.full
def test_a_compiled_training_is_the_same(tmp_path):
    """A compiled training may resume one that is not compiled, and the other way round."""
    checkpoints, found = {name: CheckpointPolicy(folder=tmp_path / name, every=2) for name in ("eager", "compiled")}, {}
    for name, kept in checkpoints.items():
        events = []
        choices = {"recipe": recipe(3), "checkpoints": kept, "listener": events.append, "compiled": name == "compiled"}
        training_loop(built(SHAPES["yolo"]), Drawn(), **choices)
        found[name] = [event.update for event in events if isinstance(event, Updated)]
    for one, other in zip(*found.values(), strict=True):
        assert other.terms == pytest.approx(one.terms, rel=1e-3)
        assert other.gradient_norm == pytest.approx(one.gradient_norm, rel=1e-2)
    first, second = (checkpoint.load(checkpoint.latest(kept.folder)).weights for kept in checkpoints.values())
    start = built(SHAPES["yolo"]).state_dict()
    moved = max((start[name] - t).abs().max() for name, t in first.items())
    assert all((second[name] - t).abs().max() < moved / 100 for name, t in first.items())


def test_a_loss_that_cannot_be_compiled_says_so(tmp_path, monkeypatch):
    from torch._dynamo.exc import TorchDynamoException

    def fail(*_, **__):
        raise TorchDynamoException("CppCompileError: C++ compile error\n\nCommand:\ng++")

    monkeypatch.setattr(torch, "compile", lambda loss: fail)
    checkpoints = CheckpointPolicy(folder=tmp_path)
    with pytest.raises(InputError, match="leave out --compile") as error:
        training_loop(built(SHAPES["one stage"]), Drawn(), recipe=recipe(1), checkpoints=checkpoints, compiled=True)
    assert error.value.id == "graph-failed" and "C++ compile error" in error.value.message


LOST = "DataLoader worker (pid 7) is killed by signal: Bus error. It is possible that workers are out of shared memory."


class LosingBatches(Drawn):
    """While the third batch is loaded, a process ends."""

    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            if number == 2:
                raise RuntimeError(LOST)
            yield batch


def test_a_lost_process_of_the_loader_is_explained(tmp_path):
    with pytest.raises(OutOfMemory, match="--workers 0") as error:
        go(tmp_path, batches=LosingBatches())
    assert error.value.id == "memory-out" and "--shm-size" in error.value.message
    assert checkpoint.load(checkpoint.latest(tmp_path)).step == 2


def test_a_lost_process_of_the_loader_is_explained_wherever_the_training_is(tmp_path):
    """torch raises the error in the code that runs when the process ends."""

    def lose(event):
        if isinstance(event, Updated):
            raise RuntimeError(LOST)

    with pytest.raises(OutOfMemory):
        run(tmp_path, SHAPES["one stage"], 1, lose)


class HungryBatches(Drawn):
    """While the third batch is loaded, an error is raised."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            if number == 2:
                raise self.error
            yield batch


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 20.0 GiB for an array"),
        RuntimeError("Caught _ArrayMemoryError in DataLoader worker process 0.\nOriginal Traceback"),
        RuntimeError("unable to mmap 4096 bytes from file <unknown>: Cannot allocate memory (12)"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    ],
)
def test_too_little_memory_to_load_images_is_explained(tmp_path, error):
    with pytest.raises(OutOfMemory) as caught:
        go(tmp_path, batches=HungryBatches(error))
    assert caught.value.id == "memory-out" and "--batch" in caught.value.message and "\n" not in caught.value.message
    assert checkpoint.load(checkpoint.latest(tmp_path)).step == 2


@pytest.mark.parametrize("error", [RuntimeError("a mistake in the code"), OSError(errno.EIO, "a broken disk")])
def test_another_error_of_the_loader_is_not_one_of_memory(tmp_path, error):
    with pytest.raises(type(error)) as caught:
        go(tmp_path, batches=HungryBatches(error))
    assert caught.value is error


def test_batches_of_another_size_are_refused(tmp_path):
    with pytest.raises(ValueError, match="^batches: got 3 images, the recipe needs 4"):
        go(tmp_path, batches=Drawn(count=3))


class SpoiledBatches(Drawn):
    """From the third update on, one image has NaN boxes."""

    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            if number >= 2:
                boxes = batch.targets.boxes.clone()
                boxes[3] = float("nan")
                names = ("well", "well", "well", "spoiled")
                batch = TrainingBatch(batch.images, batch.targets._replace(boxes=boxes), names)
            yield batch


def test_a_gradient_that_is_not_finite_names_its_image(tmp_path):
    with pytest.raises(NotFinite, match=r"update 2: not finite: stage1/box; images: spoiled \[training-diverged\]$"):
        go(tmp_path, batches=SpoiledBatches())
    assert checkpoint.load(checkpoint.latest(tmp_path)).step == 2


def test_a_loss_that_is_not_finite_names_its_term(tmp_path):
    made = built(SHAPES["one stage"])

    def spoil(event):
        if isinstance(event, Saved):
            next(p for name, p in made.named_parameters() if name.startswith("heads")).data.fill_(float("inf"))

    with pytest.raises(NotFinite, match=r"update 2: not finite: stage1/box.*; images: 8, 9 \[training-diverged\]$"):
        training_loop(
            made, Drawn(), recipe=recipe(3), checkpoints=CheckpointPolicy(folder=tmp_path, every=2), listener=spoil
        )
    assert all(t.isfinite().all() for t in checkpoint.load(checkpoint.latest(tmp_path)).weights.values())


@pytest.mark.parametrize("field", ["every", "keep"])
def test_keeping_no_checkpoint_is_refused(tmp_path, field):
    with pytest.raises(ValueError, match=f"{field}: got 0"):
        CheckpointPolicy(folder=tmp_path, **{field: 0})


def ap50(detector, batch):
    """AP50 of `detector` on the images of the batch."""
    with torch.no_grad():
        found = detector.eval()(batch.images)
    images = [{"id": image, "height": SIDE, "width": SIDE} for image in batch.ids]
    truth, results = [], []
    for image, *rows in zip(batch.ids, *batch.targets[:3], *found[:3], strict=True):
        boxes, labels, valid, *detected = (row.tolist() for row in rows)
        for box, label in ((b, k) for b, k, there in zip(boxes, labels, valid, strict=True) if there):
            truth.append({"id": len(truth) + 1, "iscrowd": 0} | instance(image, box, label))
        results += [instance(image, b, k) | {"score": s} for b, s, k in zip(*detected, strict=True) if s > 0]
    categories = [{"id": 0, "name": "square"}, {"id": 1, "name": "bar"}]
    labels = from_json({"images": images, "categories": categories, "annotations": truth})
    return score(labels, results).ap50


def instance(image, box, label):
    x1, y1, x2, y2 = box
    bbox = [x1, y1, x2 - x1, y2 - y1]
    return {"image_id": image, "category_id": label, "bbox": bbox, "area": bbox[2] * bbox[3]}


@pytest.mark.parametrize(
    ("shape", "steps", "images"),
    [("one stage", 100, 4), pytest.param("two stages", 150, 2, marks=pytest.mark.full), ("yolo", 100, 4)],
)
def test_a_detector_fits_one_batch(tmp_path, shape, steps, images):
    """The loss falls, rising by no more than the noise of its samples, and the weights detect the objects of
    the batch.
    """
    check_fit(tmp_path, SHAPES[shape], steps, images)


@pytest.mark.full
@pytest.mark.parametrize(("name", "steps"), [*FAMILIES.items(), (SHAPES["two stages"], 200)])
def test_every_family_fits_one_batch(tmp_path, name, steps):
    check_fit(tmp_path, name, steps)


def check_fit(folder, name, steps, images=4):
    checkpoints = CheckpointPolicy(folder=folder, every=1000)
    batches = Drawn(period=1, count=images, side=side(name))
    path, events = go(folder, steps, built(name), batches, checkpoints, accumulate=1, batch=images)
    losses = torch.tensor([event.update.loss for event in events if isinstance(event, Updated)])
    fifths = losses.view(5, -1).mean(1)
    assert (fifths.diff() < fifths[0] / 20).all() and fifths[-1] < fifths[0] / 2, fifths
    trained = built(name, seed=1)
    batch = drawn(0, images, side(name))
    assert ap50(trained, batch) < 20
    trained.load_state_dict(dict(checkpoint.load(path).weights))
    assert ap50(trained, batch) > 95


def test_every_architecture_is_tested():
    assert {name.split("-")[0] for name in (*FAMILIES, *SHAPES.values())} == set(families.FAMILIES)


def test_the_test_detectors_are_small():
    assert sum(p.numel() for p in Detector(small(SHAPES["one stage"])).parameters()) < 300_000
    assert drawn(3).ids == (6, 7) and replace(recipe(), batch=4).part == 2
