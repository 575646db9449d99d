import pytest
import torch
from training_subject import SHAPES, SIDE, built, drawn

from paretodet.detectors.detector import Detector, append, canvas
from paretodet.detectors.families import Override, spec
from paretodet.training.inputs import Noise, cycle_images, list_names, one_image, split_batch, to_device, uniform
from paretodet.types import References


def test_noise_is_keyed_by_seed_step_and_image():
    first = uniform(0, 5, "a.jpg", 1000)
    assert torch.equal(first, uniform(0, 5, "a.jpg", 1000)) and torch.equal(first[:10], uniform(0, 5, "a.jpg", 10))
    others = [uniform(1, 5, "a.jpg", 1000), uniform(0, 6, "a.jpg", 1000), uniform(0, 5, "b.jpg", 1000)]
    assert not any(torch.equal(first, other) for other in others)
    assert not torch.equal(uniform(0, 5, 7, 10), uniform(0, 5, "7", 10))


def test_noise_is_uniform():
    drawn = torch.cat([uniform(0, step, 1, 1000) for step in range(50)])
    assert drawn.min() >= 0 and drawn.max() < 1
    # mean of 50,000 has a deviation of 0.0013, its variance 1/12
    assert abs(drawn.mean() - 0.5) < 0.0065 and abs(drawn.var() - 1 / 12) < 0.003


def test_noise_of_an_image_does_not_depend_on_its_batch():
    made = built(SHAPES["one stage"])
    batch = drawn(0, count=3)
    whole = Noise(made, 0)(4, batch)
    assert torch.equal(Noise(made, 0)(4, one_image(batch, 1))[0], whole[1])


@pytest.mark.parametrize("shape", SHAPES)
def test_noise_covers_every_stage_and_no_more(shape):
    made = built(SHAPES[shape]).eval()
    batch = drawn(0)
    anchors = made.spec.anchors(made.features(batch.images), canvas(batch.images))
    counts = [sum(anchors.counts)]
    if len(made.spec.stages) > 1:
        keep = made.spec.stages[0].train_select.keep
        proposals = References(torch.zeros(2, keep, 4), torch.ones(keep, 1), (keep,))
        counts.append(append(proposals, batch.targets).boxes.shape[1])
    noise = Noise(made, 0)
    assert noise(0, batch).shape == (2, max(counts))
    assert noise.anchors == {(SIDE, SIDE): counts[0]}


def test_references_are_counted_on_the_meta_device():
    made = spec("retinanet-resnet50-800", Override(labels=("a",)))
    with torch.device("meta"):
        detector = Detector(made)
    assert (
        sum(Noise(detector, 0)._references(800, 1344).counts) == 201_600
    )  # Detectron: 9 anchors of 100x168, 50x84, 25x42, 13x21 and 7x11 cells


def test_all_tensors_of_a_batch_are_moved():
    batch = drawn(0)
    moved = to_device(batch, torch.device("meta"))
    assert moved.ids == batch.ids
    assert {t.device.type for t in (*moved.images, *moved.targets)} == {"meta"}
    bare = batch._replace(targets=batch.targets._replace(masks=None, has_mask=None))
    assert to_device(bare, torch.device("meta")).targets[4:] == (None, None)
    masked = batch.targets._replace(masks=torch.arange(2 * 3 * 4).view(2, 3, 2, 2))
    one = one_image(batch._replace(targets=masked), 1)
    assert one.ids == (1,) and torch.equal(one.targets.masks, masked.masks[1:])
    assert torch.equal(one.targets.has_mask, masked.has_mask[1:])
    assert torch.equal(one.images.pixels, batch.images.pixels[1:])


def test_long_lists_of_names_are_shortened():
    assert list_names(range(3)) == "0, 1, 2" and list_names(range(10)) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"


def test_parts_are_the_batch_in_order():
    batch = drawn(0, count=6)
    made = split_batch(batch, 3)
    assert [part.ids for part in made] == [(0, 1), (2, 3), (4, 5)]
    assert torch.equal(torch.cat([part.images.pixels for part in made]), batch.images.pixels)
    assert torch.equal(torch.cat([part.targets.boxes for part in made]), batch.targets.boxes)


def test_images_are_repeated_in_order():
    batch = drawn(0, count=2)
    assert cycle_images(batch, 1).ids == (0,) and cycle_images(batch, 3).ids == (0, 1, 0)
    assert torch.equal(cycle_images(batch, 3).images.pixels[2], batch.images.pixels[0])
