"""Memory is estimated without changing the training, and a lack of memory is reported with a remedy."""

import re
from dataclasses import replace

import pytest
import torch
from training_subject import SHAPES, SIDE, Drawn, built, drawn, recipe, small

from paretodet.detectors.detector import Detector
from paretodet.training import checkpoint, memory
from paretodet.training.distributed import ONE_PROCESS, ProcessGroup, from_env
from paretodet.training.inputs import cycle_images
from paretodet.training.loop import CheckpointPolicy, MemoryEstimated, Saved, training_loop
from paretodet.training.memory import MemoryForecast, OutOfMemory, advice, explain_out_of_memory, forecast
from paretodet.training.optimizers import AdamW, RmsProp, Sgd
from paretodet.training.step import Trainer
from paretodet.transforms.resize_policy import ShortSide, Stretch
from paretodet.types import Images

CPU = torch.device("cpu")
SHARED = from_env({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"})
TIGHT = MemoryForecast(fixed=2 * 2**30, per_image=2**30, available=8 * 2**30)


def level(shape):
    """A detector whose canvas is that of the drawn batches."""
    torch.manual_seed(0)
    return Detector(replace(small(SHAPES[shape]), fit=Stretch(height=SIDE, width=SIDE)))


def state(trainer):
    kept = {name: t.clone() for name, t in trainer.detector.state_dict().items()}
    return kept | {name: t.clone() for name, t in trainer.training_state().items()}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_forecast_changes_nothing(shape):
    """Weights, norms, the optimizer and torch's generator are unchanged, and the next update is bit-identical."""
    estimated, plain = (Trainer(built(SHAPES[shape]), recipe(), CPU) for _ in range(2))
    torch.manual_seed(3)
    before = state(estimated)
    forecast(estimated, drawn(0), mixed=True)
    after = state(estimated)
    assert before.keys() == after.keys() and all(torch.equal(t, after[name]) for name, t in before.items())
    assert all(m.training for m in estimated.detector.modules())
    assert all(p.grad is None for p in (*estimated.detector.parameters(), *estimated.noise.meta_detector.parameters()))
    updates = [trainer.update([drawn(0)]) for trainer in (estimated, plain)]
    assert updates[0] == updates[1]


@pytest.mark.parametrize("optimizer", [Sgd(lr=1e-5), AdamW(lr=1e-5), RmsProp(lr=1e-5)])
def test_the_optimizer_state_is_counted_before_it_exists(optimizer):
    trainer = Trainer(built(SHAPES["one stage"]), recipe(optimizer=optimizer), CPU)
    trainable = sum(4 * p.numel() for p in trainer.detector.parameters() if p.requires_grad)
    wanted = memory._state_size(trainer)
    trainer.update([drawn(0)])
    assert memory._size(memory._state(trainer.optimizer)) == wanted
    times = 1 if isinstance(optimizer, Sgd) else 2
    assert times * trainable <= wanted < (times + 0.01) * trainable


@pytest.mark.parametrize("shape", SHAPES)
def test_five_images_need_what_one_and_two_predict(shape):
    """The real pass has norms in training mode."""
    trainer = Trainer(level(shape), recipe(), CPU)
    found = forecast(trainer, drawn(0), mixed=True)
    assert memory._peak_cpu(trainer, cycle_images(drawn(0, 3), 5)) == pytest.approx(found.needs(5), rel=0.02)
    weights = sum(4 * p.numel() for p in trainer.detector.parameters())
    assert found.fixed > 4 * weights and found.per_image > drawn(0).images.pixels[0].numel()


def test_images_are_scaled_to_the_largest_canvas():
    """In multi-scale training the first batch may have the smallest canvas."""
    height, width = drawn(0).images.pixels.shape[-2:]
    canvases = tuple(Stretch(height=n * height, width=width) for n in (1, 3))
    one, many = (Trainer(built(SHAPES["one stage"]), recipe(canvases=each), CPU) for each in ((), canvases))
    plain, found = (forecast(trainer, drawn(0), mixed=True) for trainer in (one, many))
    assert found.per_image == pytest.approx(3 * plain.per_image, rel=1e-6) and found.fixed == plain.fixed


def test_a_batch_of_one_image_is_estimated_from_one():
    trainer = Trainer(level("two stages"), recipe(), CPU)
    plain, alone = forecast(trainer, drawn(0), mixed=True), forecast(trainer, cycle_images(drawn(0), 1), mixed=True)
    assert alone.needs(1) == pytest.approx(plain.needs(1), rel=0.02)
    assert 0 < alone.fixed == pytest.approx(plain.fixed, rel=0.1)


@pytest.mark.parametrize(
    ("batch", "accumulate", "processes", "times"),
    [(4, 2, 1, 4 / 2), (2, 2, 1, 4 / 2), (2, 1, 2, 4 / 2), (1, 1, 1, 1)],
)
def test_images_are_scaled_to_the_canvas_for_both_orientations(batch, accumulate, processes, times):
    """A batch of landscape and portrait images has a square canvas, in every process, unless it has one image."""
    fit = ShortSide(short=SIDE // 2, long=SIDE)
    torch.manual_seed(0)
    detector = Detector(replace(small(SHAPES["two stages"]), fit=fit))
    first = cycle_images(drawn(0), 2 if batch > 1 else 1)
    flat = first._replace(images=Images(first.images.pixels[:, :, : SIDE // 2], torch.tensor([[64.0, 128.0]] * 2)))
    trainer = Trainer(detector, recipe(batch=batch, accumulate=accumulate), CPU)
    trainer.group = ProcessGroup(processes=processes)
    assert memory._growth(trainer, flat, True) == times
    assert memory._growth(trainer, flat, False) == 1  # all landscape


def test_processes_of_a_machine_share_its_memory(monkeypatch):
    monkeypatch.setattr(memory, "free_mib", lambda: 4096.0)
    alone, two = (Trainer(built(SHAPES["one stage"]), recipe(), CPU, group=group) for group in (ONE_PROCESS, SHARED))
    assert memory._available(alone) - memory._available(two) == 2 * 2**30


def test_the_number_of_images_that_fit():
    assert [TIGHT.needs(n) // 2**30 for n in (0, 1, 6)] == [2, 3, 8] and TIGHT.max_images == 6
    assert TIGHT._replace(available=2**30).max_images == 0


@pytest.mark.parametrize(
    ("batch", "accumulate", "processes", "message"),
    [
        (6, 1, 1, None),
        (32, 8, 1, None),
        (32, 8, 4, None),
        (
            32,
            1,
            1,
            "a pass of 32 images .* 34.0 GiB; 8.0 GiB are .* enough for 6; --accumulate 8 .* 32 in passes of 4$",
        ),
        (32, 2, 2, "a pass of 8 images .* 10.0 GiB.*; --accumulate 4 keeps the batch of 32 in passes of 4$"),
        (7, 1, 1, "a pass of 7 .*; --accumulate 7 keeps the batch of 7 in passes of 1$"),
    ],
)
def test_advice_keeps_the_batch(batch, accumulate, processes, message):
    made = recipe(batch=batch, accumulate=accumulate)
    found = advice(TIGHT, made, ProcessGroup(processes=processes))
    assert (found is None) if message is None else re.search(message, found)


def test_passes_of_one_image_are_advised_if_norms_allow_them():
    """SSD's last map is one cell; a trainable norm needs two."""
    ssd, two = (
        forecast(Trainer(built(SHAPES[shape]), recipe(), CPU), drawn(0), mixed=True)
        for shape in ("one stage", "two stages")
    )
    assert (ssd.min_images, two.min_images) == (2, 1)
    made = recipe(batch=6, accumulate=1)
    tight = TIGHT._replace(available=3 * 2**30)
    assert advice(tight, made, ONE_PROCESS).endswith("enough for 1; --accumulate 6 keeps the batch of 6 in passes of 1")
    assert advice(tight._replace(min_images=2), made, ONE_PROCESS).endswith(
        "enough for 1; use a smaller canvas, a smaller --width or --precision bf16"
    )


def test_frozen_parameters_have_no_optimizer_state():
    made = recipe(frozen=("backbone.",), optimizer=Sgd(lr=1e-5))
    all_, some = (Trainer(built(SHAPES["two stages"]), each, CPU) for each in (recipe(optimizer=Sgd(lr=1e-5)), made))
    estimated = memory._state_size(some)
    some.update([drawn(0)])
    assert memory._size(memory._state(some.optimizer)) == estimated < memory._state_size(all_)


def test_advice_if_no_image_fits():
    found = advice(TIGHT._replace(available=0), recipe(batch=2), ONE_PROCESS)
    assert found.endswith("enough for 0; use a smaller canvas, a smaller --width or --precision bf16")


def refuse_to_allocate():
    torch.empty(2**60)


def raise_cuda():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("fail", [refuse_to_allocate, raise_cuda])
def test_out_of_memory_has_a_remedy(fail):
    with pytest.raises(OutOfMemory) as error, explain_out_of_memory(TIGHT, recipe(batch=12, accumulate=2), ONE_PROCESS):
        fail()
    assert error.value.id == "memory-out" and error.value.message == (
        "out of memory: a pass of 6 images does not fit; --accumulate 3 keeps the batch of 12 in passes of 4; "
        "the checkpoints are unchanged"
    )


def test_other_errors_are_unchanged():
    with pytest.raises(RuntimeError, match="^shapes$") as error, explain_out_of_memory(TIGHT, recipe(), ONE_PROCESS):
        raise RuntimeError("shapes")
    assert not isinstance(error.value, OutOfMemory)


def test_after_out_of_memory_smaller_passes_resume(tmp_path, monkeypatch):
    """The third update runs out of memory; the checkpoint of the second resumes with the advised passes."""
    checkpoints, events = CheckpointPolicy(folder=tmp_path, every=1), []
    whole = Trainer._backward

    def backward(self, batch, count):
        if self.step == 2 and len(batch.ids) > 1:
            raise_cuda()
        return whole(self, batch, count)

    monkeypatch.setattr(Trainer, "_backward", backward)
    with pytest.raises(OutOfMemory, match="--accumulate 4 keeps the batch of 4 in passes of 1"):
        training_loop(built(SHAPES["two stages"]), Drawn(), recipe=recipe(3), checkpoints=checkpoints)
    assert checkpoint.load(checkpoint.latest(tmp_path)).step == 2
    smaller = replace(recipe(3), accumulate=4)
    training_loop(built(SHAPES["two stages"]), Drawn(), recipe=smaller, checkpoints=checkpoints, listener=events.append)
    assert [e.step for e in events if isinstance(e, Saved)] == [3]
    (estimated,) = (e for e in events if isinstance(e, MemoryEstimated))
    assert estimated.images == 1 and estimated.advice is None and estimated.forecast.max_images > 4


def test_an_estimate_that_runs_out_of_memory_says_so(monkeypatch):
    trainer = Trainer(built(SHAPES["one stage"]), recipe(), CPU)
    monkeypatch.setattr(memory, "_peak_cpu", lambda trainer, batch: refuse_to_allocate())
    with pytest.raises(OutOfMemory, match="out of memory: a pass of 1 image on this canvas does not fit"):
        forecast(trainer, drawn(0), mixed=True)
    assert trainer.detector.training
