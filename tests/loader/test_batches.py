"""Batches have fixed shapes, depend only on their key, resume at a position, and report everything left out."""

import gc
import tracemalloc
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from drawn_sets import Listed, drawn_set, sample
from paretodet.images import ImageError
from paretodet.loader.batches import Batch, Batches, Batching, Notes, canvases
from paretodet.transforms.augment import Chain, Expand, Flip, Jitter
from paretodet.transforms.color import Distort
from paretodet.transforms.crops import SampledCrop
from paretodet.transforms.resize_policy import Letterbox, ShortSide, Stretch, multi_scale

FIT = Stretch(height=32, width=48)
ALL = Chain(steps=(Distort(), Expand(), SampledCrop(), Jitter(), Flip()))


def silent(_: str) -> None:
    """Other tests check the messages."""


def batches(data: Listed, **choices: Any) -> Batches:
    options = {key: choices.pop(key) for key in ("shard", "workers", "tell", "gather") if key in choices}
    return Batches(data, Batching(**({"fits": (FIT,), "images": 3} | choices)), **({"tell": silent} | options))


def first(data: Listed, count: int, **choices: Any) -> list[Batch]:
    return list(islice(batches(data, **choices), count))


def equal(one: Batch, other: Batch) -> bool:
    tensors = [*zip(one.images, other.images, strict=True), *zip(one.targets, other.targets, strict=True)]
    return one.ids == other.ids and all(a is b is None or torch.equal(a, b) for a, b in tensors)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Listed:
    return drawn_set(tmp_path_factory.mktemp("drawn"), 7)


def test_a_batch_has_fixed_shapes_and_lies_channels_last(data: Listed) -> None:
    (batch,) = first(data, 1, augmentation=ALL, masks=28)
    assert batch.images.pixels.shape == (3, 3, 32, 48) and batch.images.pixels.dtype == torch.uint8
    assert batch.images.pixels.is_contiguous(memory_format=torch.channels_last)
    assert batch.images.sizes.tolist() == [[32, 48]] * 3
    assert batch.targets.boxes.shape == (3, 128, 4) and batch.targets.masks is not None
    assert batch.targets.masks.shape == (3, 128, 28, 28)
    assert not batch.targets.boxes[~batch.targets.valid].any()


@pytest.mark.parametrize("workers", [1, 2])
def test_the_number_of_workers_changes_nothing(data: Listed, workers: int) -> None:
    choices = {"augmentation": ALL, "masks": 14, "fits": multi_scale((32, 64)), "hold": 2}
    alone, others = (first(data, 7, workers=number, **choices) for number in (0, workers))
    assert all(map(equal, alone, others))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_set_position_resumes_bit_for_bit(data: Listed, workers: int) -> None:
    choices = {"augmentation": ALL, "fits": multi_scale((32, 64)), "hold": 2}
    straight = first(data, 8, **choices)
    stream = batches(data, workers=workers, **choices)
    list(islice(stream, 3))
    assert stream.position == 3  # what workers made ahead does not count
    later = batches(data, workers=workers, **choices)
    later.seek(stream.position)
    assert all(map(equal, straight[3:], islice(later, 5)))
    assert all(map(equal, straight[3:], islice(stream, 5)))
    assert stream.position == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_the_random_numbers_of_torch_are_unchanged(data: Listed, workers: int) -> None:
    """A training that goes on to the bit starts its batches once more than one that was never stopped."""
    before = torch.get_rng_state()
    first(data, 2, workers=workers)
    assert torch.equal(torch.get_rng_state(), before)


def test_every_image_comes_once_an_epoch_in_another_order(data: Listed) -> None:
    stream = batches(data, images=1)
    assert stream.epoch_length == 7
    epochs = [[batch.ids[0] for batch in islice(stream, 7)] for _ in range(3)]
    assert all(sorted(map(int, epoch)) == list(range(7)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_short_last_batch_is_filled_from_the_epochs_front(data: Listed) -> None:
    epoch = [image for batch in first(data, 3) for image in batch.ids]
    assert sorted(map(int, epoch[:7])) == list(range(7)) and epoch[7:] == epoch[:2]
    assert len(first(data, 1, images=20)[0].ids) == 20


def test_seeds_and_epochs_draw_otherwise(data: Listed) -> None:
    one, other = (first(data, 1, seed=seed)[0].ids for seed in (0, 1))
    assert one != other
    stream = batches(data, images=7, augmentation=Expand(chance=1))
    made = [{image: batch.targets.boxes[row, 0].tolist() for row, image in enumerate(batch.ids)}
            for batch in islice(stream, 2)]  # fmt: skip
    assert all(made[0][image] != made[1][image] for image in made[0])


def test_processes_share_a_global_batch(data: Listed) -> None:
    choices = {"images": 4, "augmentation": ALL}
    (together,) = first(data, 1, **choices)
    parts = [first(data, 1, shard=(rank, 2), **choices)[0] for rank in (0, 1)]
    assert [i for pair in zip(*(part.ids for part in parts), strict=True) for i in pair] == list(together.ids)
    assert torch.equal(parts[1].images.pixels, together.images.pixels[1::2])
    with pytest.raises(ValueError, match="processes: got 2, allowed a divisor of the 3 images of a batch"):
        batches(data, images=3, shard=(0, 2))


def test_multi_scale_holds_a_canvas_and_draws_from_all(data: Listed) -> None:
    sides = (32, 64, 96)
    shapes = [batch.images.pixels.shape[-1] for batch in first(data, 60, fits=multi_scale(sides), hold=5, images=1)]
    runs = [set(shapes[start : start + 5]) for start in range(0, 60, 5)]
    assert all(len(run) == 1 for run in runs) and set(shapes) == set(sides)


def test_landscape_and_portrait_canvases_are_batched_separately(tmp_path: Path) -> None:
    data = drawn_set(tmp_path, 12, sizes=((40, 64), (64, 40)))
    fit = ShortSide(short=32, long=50, multiple=16)
    assert canvases(fit, (32, 48)) == ((32, 64), (64, 32), (64, 64))
    stream = batches(data, fits=(fit,), images=2)
    shapes = [tuple(batch.images.pixels.shape[2:]) for batch in islice(stream, 12)]
    assert set(shapes) == {(32, 64), (64, 32)}
    assert len(set(shapes[:6])) == 2 and shapes[:6] != sorted(shapes[:6])  # kinds come mixed
    batch = next(iter(batches(data, fits=(fit,), images=24)))
    assert batch.images.pixels.shape[2:] == (64, 64)
    assert {tuple(size) for size in batch.images.sizes.int().tolist()} == {(31, 50), (50, 31)}


@pytest.mark.parametrize("other", [(80, 40), (41, 40)])
def test_processes_share_the_canvas_of_a_batch_of_both_kinds(tmp_path: Path, other: tuple[int, int]) -> None:
    """Anchors, noise and padding follow the canvas."""
    data = drawn_set(tmp_path, 2, sizes=((40, 80), other))
    choices: dict[str, Any] = {"fits": (ShortSide(short=40, long=80),), "images": 2}
    (together,) = first(data, 1, **choices)
    parts = [first(data, 1, shard=(rank, 2), **choices)[0] for rank in (0, 1)]
    assert together.images.pixels.shape == (2, 3, 80, 80)
    assert torch.equal(torch.cat([part.images.pixels for part in parts]), together.images.pixels)
    assert torch.equal(torch.cat([part.images.sizes for part in parts]), together.images.sizes)


def test_boxes_are_where_the_pixels_are(data: Listed) -> None:
    for batch in first(data, 3, fits=(Letterbox(height=120, width=180),)):
        for pixels, boxes in zip(batch.images.pixels, batch.targets.boxes, strict=True):
            white = (pixels.min(0).values > 250).numpy()
            rows, columns = np.flatnonzero(white.any(1)), np.flatnonzero(white.any(0))
            seen = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
            assert np.abs(seen - boxes[0].numpy()).max() <= 2


def spoiled(folder: Path) -> Listed:
    data = drawn_set(folder, 6)
    (folder / "0.png").write_bytes(b"not an image")
    (folder / "1.png").unlink()
    Image.new("RGB", (33, 44)).save(folder / "2.png")
    crowded = [[0, 0, 5 + n, 5] for n in range(6)] + [[4.0, 4, 4, 9]]
    data.samples[3] = sample(crowded, (60, 90))._replace(image=folder / "3.png", id=3)
    return data


@pytest.mark.parametrize("workers", [0, 2])
def test_what_is_left_out_is_counted_and_reported_once(tmp_path: Path, workers: int) -> None:
    sentences: list[str] = []
    stream = batches(spoiled(tmp_path), workers=workers, tell=sentences.append, most=4)
    made = list(islice(stream, 3 * stream.epoch_length))
    assert {image for batch in made for image in batch.ids} == {3, 4, 5}
    assert all(len(batch.ids) == 3 for batch in made)
    text = "\n".join(sentences)
    assert "left out 2 images that cannot be read, in 2 files, the first " in text
    assert "left out 1 images of another size" in text and "44x33, its labels say 60x90" in text
    assert "left out 2 boxes beyond the limit" in text
    assert "left out 1 boxes that are not finite or have no area" in text
    assert len(sentences) == 4 and all("the first " in sentence for sentence in sentences)


def test_what_is_left_out_is_reported_of_less_than_an_epoch_too(tmp_path: Path) -> None:
    """A loop that goes on past the first epoch has seen none of it when it begins."""
    sentences: list[str] = []
    stream = batches(spoiled(tmp_path), tell=sentences.append, most=4)
    stream.seek(5 * stream.epoch_length)
    next(iter(stream))
    assert sentences == []
    stream.tell_left_out()
    stream.tell_left_out()
    assert sentences == list(stream.report()) != []


def test_what_all_processes_left_out_is_reported_together(tmp_path: Path) -> None:
    """Every process has read its share of an epoch; several may have replaced the same unreadable image."""
    sentences: list[str] = []
    alone = batches(spoiled(tmp_path), most=4)
    others = [batches(spoiled(tmp_path), most=4, shard=(rank, 3)) for rank in (1, 2)]

    def gathered(found: Notes) -> list[Notes]:
        return [found, *(each._notes for each in others)]

    first = batches(spoiled(tmp_path), most=4, shard=(0, 3), tell=sentences.append, gather=gathered)
    list(islice(alone, alone.epoch_length))
    for stream in (*others, first):
        list(islice(stream, stream.epoch_length))
    assert sentences == list(alone.report())
    assert len(sentences) == 4 > min(len(each.report()) for each in others)


def test_a_replaced_image_is_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    data = spoiled(tmp_path)
    assert all(map(equal, first(data, 6, augmentation=ALL), first(data, 6, augmentation=ALL, workers=2)))


@pytest.mark.parametrize("workers", [0, 1])
def test_where_no_image_can_be_read_the_first_reason_is_given(tmp_path: Path, workers: int) -> None:
    """The error is one sentence, from a worker as from the main process."""
    data = drawn_set(tmp_path, 2)
    for file in tmp_path.iterdir():
        file.write_bytes(b"")
    with pytest.raises(ImageError, match=r"^data: none of 2 images can be used; .*\.png: [^\n]*$") as error:
        first(data, 1, workers=workers)
    assert "Traceback" not in str(error.value)


def test_a_set_without_a_usable_box_is_refused_at_once() -> None:
    empty = Listed([sample([], (9, 9)), sample([[3, 3, 3, 8]], (9, 9)), sample([[20, 20, 30, 30]], (9, 9))])
    with pytest.raises(ValueError, match="data: got no usable box in 3 images"):
        batches(empty)


@pytest.mark.parametrize("wrong", [{"fits": ()}, {"images": 0}, {"most": 0}, {"hold": 0}])
def test_choices_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: got"):
        Batching(**({"fits": (FIT,), "images": 3} | wrong))


def test_memory_stays_flat_over_epochs(data: Listed) -> None:
    stream = batches(data, augmentation=ALL, masks=14)
    made = iter(stream)
    held = []
    gc.freeze()  # what other tests left need not be searched each time
    tracemalloc.start()
    for _ in range(4):
        for _ in islice(made, stream.epoch_length):
            pass
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    gc.unfreeze()
    assert held[-1] - held[1] < 100_000  # bytes over two epochs, whose batches have 400 thousand


@pytest.mark.parametrize("workers", [0, 1])
def test_the_global_generator_of_torch_is_not_advanced(data: Listed, workers: int) -> None:
    """Making a loader would draw the workers' seed from the generator that dropout and new weights draw from."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = first(data, 2, augmentation=ALL, workers=workers)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert all(equal(*pair) for pair in zip(one, first(data, 2, augmentation=ALL, workers=workers), strict=True))
