"""Memory is foreseen without changing what learns, and its lack is told with a way out."""

import re
from dataclasses import replace

import pytest
import torch
from training_subject import SHAPES, SIDE, Drawn, built, drawn, recipe, small

from paretodet.detectors.detector import Detector
from paretodet.training import checkpoint, memory
from paretodet.training.distributed import ALONE, ProcessGroup, from_env
from paretodet.training.feed import turns
from paretodet.training.loop import Keeping, MemoryForeseen, Saved, train
from paretodet.training.memory import MemoryForecast, OutOfMemory, advice, advised, forecast
from paretodet.training.optimizers import AdamW, RmsProp, Sgd
from paretodet.training.step import Learner
from paretodet.transforms.resize_policy import ShortSide, Stretch
from paretodet.types import Images

CPU = torch.device("cpu")
SHARED = from_env({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"})
TIGHT = MemoryForecast(fixed=2 * 2**30, image=2**30, room=8 * 2**30)


def level(shape):
    """A detector of which every batch lies on the canvas of the drawn ones."""
    torch.manual_seed(0)
    return Detector(replace(small(SHAPES[shape]), fit=Stretch(height=SIDE, width=SIDE)))


def state(learner):
    kept = {name: t.clone() for name, t in learner.detector.state_dict().items()}
    return kept | {name: t.clone() for name, t in learner.training().items()}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_forecast_changes_nothing(shape):
    """Weights, averages of norms, the optimizer and torch's random numbers: the next update is the same to the bit."""
    foreseen, plain = (Learner(built(SHAPES[shape]), recipe(), CPU) for _ in range(2))
    torch.manual_seed(3)
    before = state(foreseen)
    forecast(foreseen, drawn(0), mixed=True)
    after = state(foreseen)
    assert before.keys() == after.keys() and all(torch.equal(t, after[name]) for name, t in before.items())
    assert all(m.training for m in foreseen.detector.modules())
    assert all(p.grad is None for p in (*foreseen.detector.parameters(), *foreseen.noise.shape.parameters()))
    updates = [learner.update([drawn(0)]) for learner in (foreseen, plain)]
    assert updates[0] == updates[1]


@pytest.mark.parametrize("optimizer", [Sgd(rate=1e-5), AdamW(rate=1e-5), RmsProp(rate=1e-5)])
def test_the_optimizers_state_is_counted_before_it_is_there(optimizer):
    learner = Learner(built(SHAPES["one stage"]), recipe(optimizer=optimizer), CPU)
    learned = sum(4 * p.numel() for p in learner.detector.parameters() if p.requires_grad)
    wanted = memory._state_size(learner)
    learner.update([drawn(0)])
    assert memory._size(memory._state(learner.optimizer)) == wanted
    times = 1 if isinstance(optimizer, Sgd) else 2
    assert times * learned <= wanted < (times + 0.01) * learned


@pytest.mark.parametrize("shape", SHAPES)
def test_five_images_take_what_one_and_two_foretell(shape):
    """Norms learn in a real pass: what it keeps is counted with them learning."""
    learner = Learner(level(shape), recipe(), CPU)
    found = forecast(learner, drawn(0), mixed=True)
    assert memory._peak_cpu(learner, turns(drawn(0, 3), 5)) == pytest.approx(found.needs(5), rel=0.02)
    weights = sum(4 * p.numel() for p in learner.detector.parameters())
    assert found.fixed > 4 * weights and found.image > drawn(0).images.pixels[0].numel()


def test_images_count_as_on_the_largest_canvas():
    """Of a multi-scale training, whose first batch may lie on the smallest."""
    height, width = drawn(0).images.pixels.shape[-2:]
    canvases = tuple(Stretch(height=n * height, width=width) for n in (1, 3))
    one, many = (Learner(built(SHAPES["one stage"]), recipe(canvases=each), CPU) for each in ((), canvases))
    plain, found = (forecast(learner, drawn(0), mixed=True) for learner in (one, many))
    assert found.image == pytest.approx(3 * plain.image, rel=1e-6) and found.fixed == plain.fixed


def test_a_pass_of_one_image_never_needs_room_for_two():
    learner = Learner(level("two stages"), recipe(), CPU)
    plain, alone = forecast(learner, drawn(0), mixed=True), forecast(learner, turns(drawn(0), 1), mixed=True)
    assert alone.needs(1) == pytest.approx(plain.needs(1), rel=0.02)
    assert 0 < alone.fixed == pytest.approx(plain.fixed, rel=0.1)


@pytest.mark.parametrize(
    ("batch", "accumulate", "processes", "times"),
    [(4, 2, 1, 4 / 2), (2, 2, 1, 4 / 2), (2, 1, 2, 4 / 2), (1, 1, 1, 1)],
)
def test_images_of_a_short_side_count_as_on_the_canvas_that_holds_both_ways(batch, accumulate, processes, times):
    """A batch of images that lie beside one that stands is square, also for processes that have one of them, unless it
    is of one image; the first one was not.
    """
    fit = ShortSide(short=SIDE // 2, long=SIDE)
    torch.manual_seed(0)
    detector = Detector(replace(small(SHAPES["two stages"]), fit=fit))
    first = turns(drawn(0), 2 if batch > 1 else 1)
    flat = first._replace(images=Images(first.images.pixels[:, :, : SIDE // 2], torch.tensor([[64.0, 128.0]] * 2)))
    learner = Learner(detector, recipe(batch=batch, accumulate=accumulate), CPU)
    learner.world = ProcessGroup(processes=processes)
    assert memory._growth(learner, flat, True) == times
    assert memory._growth(learner, flat, False) == 1  # where all lie


def test_processes_of_a_machine_share_its_room(monkeypatch):
    monkeypatch.setattr(memory, "free_mib", lambda: 4096.0)
    alone, two = (Learner(built(SHAPES["one stage"]), recipe(), CPU, world=world) for world in (ALONE, SHARED))
    assert memory._room(alone) - memory._room(two) == 2 * 2**30


def test_the_most_that_fits():
    assert [TIGHT.needs(n) // 2**30 for n in (0, 1, 6)] == [2, 3, 8] and TIGHT.most == 6
    assert TIGHT._replace(room=2**30).most == 0


@pytest.mark.parametrize(
    ("batch", "accumulate", "processes", "said"),
    [
        (6, 1, 1, None),
        (32, 8, 1, None),
        (32, 8, 4, None),
        (
            32,
            1,
            1,
            "a pass of 32 images .* 34.0 GiB, 8.0 GiB are there, enough for 6: accumulate=8 .* 32 in passes of 4$",
        ),
        (32, 2, 2, "a pass of 8 images .* 10.0 GiB.*: accumulate=4 keeps the batch of 32 in passes of 4$"),
        (7, 1, 1, "a pass of 7 .*: accumulate=7 keeps the batch of 7 in passes of 1$"),
    ],
)
def test_advice_keeps_the_batch(batch, accumulate, processes, said):
    made = recipe(batch=batch, accumulate=accumulate)
    found = advice(TIGHT, made, ProcessGroup(processes=processes))
    assert (found is None) if said is None else re.search(said, found)


def test_passes_of_one_are_advised_where_they_can_be():
    """SSD's last map is one cell, of which a norm that learns needs two."""
    ssd, two = (
        forecast(Learner(built(SHAPES[shape]), recipe(), CPU), drawn(0), mixed=True)
        for shape in ("one stage", "two stages")
    )
    assert (ssd.least, two.least) == (2, 1)
    made = recipe(batch=6, accumulate=1)
    tight = TIGHT._replace(room=3 * 2**30)
    assert advice(tight, made, ALONE).endswith("enough for 1: accumulate=6 keeps the batch of 6 in passes of 1")
    assert advice(tight._replace(least=2), made, ALONE).endswith(
        "enough for 1: take a smaller canvas, a narrower detector or bf16"
    )


def test_what_is_frozen_is_counted_as_such():
    made = recipe(frozen=("backbone.",), optimizer=Sgd(rate=1e-5))
    all_, some = (Learner(built(SHAPES["two stages"]), each, CPU) for each in (recipe(optimizer=Sgd(rate=1e-5)), made))
    foreseen = memory._state_size(some)
    some.update([drawn(0)])
    assert memory._size(memory._state(some.optimizer)) == foreseen < memory._state_size(all_)


def test_where_not_one_image_fits():
    found = advice(TIGHT._replace(room=0), recipe(batch=2), ALONE)
    assert found.endswith("enough for 0: take a smaller canvas, a narrower detector or bf16")


def refuse_to_allocate():
    torch.empty(2**60)


def say_cuda():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")


@pytest.mark.parametrize("fail", [refuse_to_allocate, say_cuda])
def test_no_memory_is_one_sentence(fail):
    with pytest.raises(OutOfMemory) as error, advised(TIGHT, recipe(batch=12, accumulate=2), ALONE):
        fail()
    assert str(error.value) == (
        "out of memory: a pass of 6 images does not fit: accumulate=3 keeps the batch of 12 in passes of 4; "
        "checkpoints are as they were"
    )


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="^shapes$") as error, advised(TIGHT, recipe(), ALONE):
        raise RuntimeError("shapes")
    assert not isinstance(error.value, OutOfMemory)


def test_what_runs_out_goes_on_in_smaller_passes(tmp_path, monkeypatch):
    """The third update finds no memory; the second's checkpoint is whole, and goes on with the advice."""
    keeping, events = Keeping(folder=tmp_path, every=1), []
    whole = Learner._backward

    def backward(self, batch, count):
        if self.made == 2 and len(batch.ids) > 1:
            say_cuda()
        return whole(self, batch, count)

    monkeypatch.setattr(Learner, "_backward", backward)
    with pytest.raises(OutOfMemory, match="accumulate=4 keeps the batch of 4 in passes of 1"):
        train(built(SHAPES["two stages"]), Drawn(), recipe=recipe(3), keeping=keeping)
    assert checkpoint.load(checkpoint.latest(tmp_path)).step == 2
    smaller = replace(recipe(3), accumulate=4)
    train(built(SHAPES["two stages"]), Drawn(), recipe=smaller, keeping=keeping, listener=events.append)
    assert [e.step for e in events if isinstance(e, Saved)] == [3]
    (foreseen,) = (e for e in events if isinstance(e, MemoryForeseen))
    assert foreseen.images == 1 and foreseen.advice is None and foreseen.forecast.most > 4


def test_a_forecast_that_finds_no_room_says_so(monkeypatch):
    learner = Learner(built(SHAPES["one stage"]), recipe(), CPU)
    monkeypatch.setattr(memory, "_peak_cpu", lambda learner, batch: refuse_to_allocate())
    with pytest.raises(OutOfMemory, match="out of memory: a pass of 1 image on this canvas does not fit"):
        forecast(learner, drawn(0), mixed=True)
    assert learner.detector.training
