"""Recipes have the numbers of their sources, at the updates where they change."""

import numpy as np
import pytest
import torch
from torch import nn

from paretodet.detectors.catalogue import entries
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import FAMILIES as ARCHITECTURES
from paretodet.detectors.families import spec
from paretodet.training import published_recipes as recipes
from paretodet.training.clipping import ClipEach, NoClip
from paretodet.training.ema import Ema
from paretodet.training.optimizers import RmsProp, Sgd
from paretodet.training.published_recipes import published_recipe
from paretodet.training.recipes import batching
from paretodet.training.step import freeze
from paretodet.transforms.augment import Chain, Expand, Flip, Jitter
from paretodet.transforms.color import Distort, DistortHsv
from paretodet.transforms.crops import CoveringCrop, SampledCrop
from paretodet.transforms.resize_policy import ShortSide
from paretodet.transforms.view import ImageView, ViewWindow, render


def darknet(jitter):
    return Chain(steps=(Jitter(amount=jitter), DistortHsv(), Flip()))


RATES = [  # name, update, learning rate there
    ("faster_rcnn-vgg16-600-s16-p300", 0, 5e-4),  # Huang et al. section 3.6.1
    ("faster_rcnn-resnet101-600-s16-p300", 899_999, 3e-4),
    ("faster_rcnn-resnet101-600-s16-p300", 900_000, 3e-5),
    ("faster_rcnn-resnet101-600-s16-p300", 1_200_000, 3e-6),
    ("faster_rcnn-inception_v2-600-s16-p300", 0, 2e-4),
    ("faster_rcnn-inception_v3-600-s16-p300", 0, 3e-4),
    ("faster_rcnn-inception_resnet_v2-600-s8-p300", 0, 1e-3),
    ("faster_rcnn-mobilenet_v1-600-s16-p300", 0, 3e-3),
    ("rfcn-resnet101-600-s16-p300", 999_999, 3e-4),  # section 3.6.2
    ("rfcn-resnet101-600-s16-p300", 1_000_000, 3e-5),
    ("rfcn-inception_v2-600-s16-p300", 1_800_000, 2e-5),
    ("rfcn-inception_resnet_v2-600-s16-p300", 0, 7e-4),
    ("rfcn-mobilenet_v1-600-s16-p300", 1_800_000, 2e-5),
    ("ssd-vgg16-300", 0, 3e-4 * 0.64),  # section 3.6.3
    ("ssd-vgg16-300", 10_000, 3e-4 * 0.8),
    ("ssd-resnet101-300", 20_000, 3e-4),
    ("ssd-inception_v2-300", 799_999, 2e-3),
    ("ssd-inception_v2-300", 800_000, 2e-3 * 0.95),
    ("ssd-inception_resnet_v2-300", 0, 5e-4),
    ("ssd-mobilenet_v1-300", 0, 4e-3),
    ("ssdlite-mobilenet_v2-300", 800_719, 4e-3),  # ssdlite_mobilenet_v2_coco.config
    ("ssdlite-mobilenet_v2-300", 800_720, 4e-3 * 0.95),
    ("ssd_liu-vgg16-300", 160_000, 1e-4),  # Liu et al. section 3.4
    ("ssd_liu-vgg16-512", 200_000, 1e-5),
    ("ssd_tv-vgg16-300", 1000, 2e-3),  # torchvision's reference training
    ("ssd_tv-vgg16-300", 80 * 3665, 2e-4),
    ("faster_rcnn_ren-vgg16-600x850-p300", 349_999, 1e-3),  # py-faster-rcnn, COCO, end to end
    ("faster_rcnn_ren-vgg16-600x850-p300", 350_000, 1e-4),
    ("yolo_v2-darknet19-416", 499, 1e-3 * 0.5**4),  # darknet's update number 500 of a burn-in of 1000
    ("yolo_v3-darknet53-416", 999, 1e-3),
    ("yolo_v3_tiny-416", 399_999, 1e-4),  # number 400,000
    ("yolo_v2_2016-darknet19-416", 0, 1e-4),
    ("yolo_v2_2016-darknet19-416", 99, 1e-3),  # number 100
    ("yolo_v2_2016-darknet19-416", 79_999, 1e-4),
    ("retinanet-resnet101-800", 0, 0.01 / 3),  # Detectron's 1x
    ("retinanet-resnet101-800", 500, 0.01),
    ("retinanet-resnet101-800", 60_000, 1e-3),
    ("fcos-resnet50-800x1344", 499, 0.01 / 3),  # a constant warm-up
    ("fcos-resnet50-800x1344", 500, 0.01),
    ("fcos-resnet50-800x1344", 80_000, 1e-4),
    ("mask_rcnn-resnet101-800x1024", 250, 0.02 * 2 / 3),
    ("mask_rcnn-resnet101-800x1024", 80_000, 2e-4),
    ("cascade_rcnn-resnet50-800x1344", 60_000, 2e-3),  # Detectron-Cascade-RCNN's 1x
    ("retinanet_d2-resnet50-800x1344", 1000, 0.01),  # Detectron2's 3x
    ("retinanet_d2-resnet50-800x1344", 210_000, 1e-3),
    ("mask_rcnn_d2-resnet101-800x1344", 0, 0.02 * 1e-3),
    ("mask_rcnn_d2-resnet101-800x1344", 250_000, 2e-4),
    ("faster_rcnn-resnet50-600-s16-p300", 0, 3e-4),  # the zoo's sample configurations
    ("mask_rcnn_zoo-inception_v2-800x1365-s16", 0, 2e-4),
    ("mask_rcnn_zoo-resnet101-800x1365-s8", 1_200_000, 3e-6),
    ("retinanet_tv-resnet50-800", 5000, 0.01),
    ("mask_rcnn_tv-resnet50-800x1344", 1000, 0.02),
]


@pytest.mark.parametrize(("name", "step", "rate"), RATES)
def test_learning_rates(name, step, rate):
    recipe = published_recipe(name)
    assert recipe.optimizer.lr * recipe.schedule(step) == pytest.approx(rate, rel=1e-6)


def test_batches_and_lengths():
    wanted = {
        "ssd_liu-vgg16-300": (32, 240_000),
        "ssdlite-mobilenet_v2-300": (24, 800_000),
        "yolo_v3-darknet53-416": (64, 500_200),
        "yolo_v2_2016-darknet19-416": (64, 120_000),
        "retinanet-resnet101-800": (16, 90_000),
        "faster_rcnn_ren-vgg16-600x850-p300": (2, 490_000),
    }
    assert {name: (published_recipe(name).batch, published_recipe(name).steps) for name in wanted} == wanted
    assert published_recipe("faster_rcnn_ren-vgg16-600x850-p300").accumulate == 2
    assert published_recipe("ssd-mobilenet_v1-300").batch == 32


FLIPS = Chain(steps=(Flip(),))
WHITE = np.full((400, 400, 3), 255, np.uint8)
LIU = Chain(steps=(Distort(), Expand(), SampledCrop(), Flip()))
SIDES = tuple(range(320, 609, 32))
SHORT_SIDES = (640, 672, 704, 736, 768, 800)  # Detectron2's MIN_SIZE_TRAIN
AUGMENTED = {  # the augmentation of each family, the sides of its canvases, and its number of early images
    "faster_rcnn-vgg16-600-s16-p300": (FLIPS, (), 0),  # paper.md: Huang et al.'s configurations
    "rfcn-resnet101-600-s16-p300": (FLIPS, (), 0),
    "ssd-vgg16-300": (Chain(steps=(Flip(), CoveringCrop())), (), 0),
    "ssdlite-mobilenet_v2-300": (Chain(steps=(Flip(), CoveringCrop())), (), 0),
    "ssd_liu-vgg16-300": (LIU, (), 0),  # systems.md 7.3
    "ssd_tv-vgg16-300": (LIU, (), 0),
    "faster_rcnn_ren-vgg16-600x850-p300": (FLIPS, (), 0),  # 9.4
    "yolo_v2-darknet19-416": (darknet(0.3), SIDES, 12_800),  # 3.1 and 6.4
    "yolo_v2_2016-darknet19-416": (darknet(0.2), (416,), 12_800),
    "yolo_v3-darknet53-416": (darknet(0.3), SIDES, 0),
    "yolo_v3_tiny-416": (darknet(0.3), SIDES, 0),
    "retinanet-resnet101-800": (FLIPS, (), 0),  # 8.3
    "faster_rcnn_fpn-resnet50-800x1344": (FLIPS, (), 0),
    "mask_rcnn-resnet101-800x1024": (FLIPS, (), 0),
    "cascade_rcnn-resnet50-800x1344": (FLIPS, (), 0),
    "retinanet_d2-resnet50-800x1344": (FLIPS, SHORT_SIDES, 0),
    "faster_rcnn_d2-resnet50-800x1344": (FLIPS, SHORT_SIDES, 0),
    "mask_rcnn_d2-resnet50-800x1344": (FLIPS, SHORT_SIDES, 0),
    "mask_rcnn_zoo-inception_v2-800x1365-s16": (FLIPS, (), 0),
    "retinanet_tv-resnet50-800": (FLIPS, (), 0),
    "fcos-resnet50-800x1344": (FLIPS, (), 0),
    "faster_rcnn_tv-resnet50-800x1344": (FLIPS, (), 0),
    "mask_rcnn_tv-resnet50-800x1344": (FLIPS, (), 0),
}


def side(fit):
    return fit.short if isinstance(fit, ShortSide) else fit.height


def test_augmentation_canvases_and_early_images():
    assert {name.split("-")[0] for name in AUGMENTED} == set(recipes.FAMILIES)
    made = {name: published_recipe(name) for name in AUGMENTED}
    sides = {name: tuple(map(side, recipe.canvases)) for name, recipe in made.items()}
    assert {name: (each.augmentation, sides[name], each.early) for name, each in made.items()} == AUGMENTED


@pytest.mark.parametrize("name", [name for name in AUGMENTED if name.startswith("yolo")])
def test_darknets_jitter_changes_the_aspect_on_every_canvas(name):
    """A canvas that kept the aspect ratio would undo it."""
    recipe, made = published_recipe(name), spec(name)
    none = np.zeros((0, 4), np.float32)
    square = ImageView(WHITE, ViewWindow(0, 0, 400, 400), none, *([np.zeros(0, np.int64)] * 3))
    for number in range(20):
        noise = np.random.default_rng(number)
        changed = 1 + recipe.augmentation.steps[0].amount * (2 * noise.random(2) - 1)
        seen = recipe.augmentation.steps[0](square, np.random.default_rng(number))
        for fit in batching(recipe, made).fits:
            white = (render(seen, fit).canvas == 255).all(2)
            high, wide = white.any(1).sum(), white.any(0).sum()
            assert wide / high == pytest.approx(changed[0] / changed[1], rel=0.02)


@pytest.mark.parametrize("name", AUGMENTED)
def test_training_samples_pixels_as_inference_does(name):
    made = spec(name)
    assert {fit.sampling for fit in batching(published_recipe(name), made).fits} == {made.fit.sampling}


STEM_AND_RES2 = 64 * 3 * 49 + 64 * 64 + 3 * 9 * 64 * 64 + 3 * 64 * 256 + 64 * 256 + 2 * 256 * 64
FROZEN = {  # convolutions' weights; systems.md 8.1 (conv1 and res2) and 9.1 (conv1_x and conv2_x)
    "faster_rcnn_ren-vgg16-600x850-p300": 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128 * 128),
    "ssd_tv-vgg16-300": 9 * (3 * 64 + 64 * 64),
    "retinanet-resnet101-800": STEM_AND_RES2,
    "mask_rcnn-resnet50-800x1024": STEM_AND_RES2,
    "cascade_rcnn-resnet50-800x1344": STEM_AND_RES2,
    "mask_rcnn_d2-resnet50-800x1344": STEM_AND_RES2,
    "retinanet_tv-resnet50-800": STEM_AND_RES2,
    "fcos-resnet50-800x1344": STEM_AND_RES2,
    "faster_rcnn_tv-resnet50-800x1344": STEM_AND_RES2,
    "mask_rcnn_tv-resnet50-800x1344": STEM_AND_RES2,
}


@pytest.mark.parametrize(("name", "count"), FROZEN.items())
def test_the_first_layers_are_frozen_as_in_the_sources(name, count):
    with torch.device("meta"):
        detector = Detector(spec(name))
    freeze(detector, published_recipe(name).frozen)
    weights = [layer.weight for layer in detector.modules() if isinstance(layer, nn.Conv2d)]
    trainable = [weight.requires_grad for weight in weights]
    assert trainable == sorted(trainable)  # the first ones, in order
    assert sum(weight.numel() for weight in weights if not weight.requires_grad) == count


@pytest.mark.parametrize("name", ["ssd-vgg16-300", "faster_rcnn-resnet101-600-s16-p300", "yolo_v2-darknet19-416"])
def test_the_other_recipes_freeze_no_layer(name):
    assert published_recipe(name).frozen == ()


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("faster_rcnn-resnet101-600-s16-p300", 1_500_000),  # as long after the last drop as before it
        ("rfcn-inception_v2-600-s16-p300", 2_200_000),
        ("rfcn-resnet101-600-s16-p300", 1_400_000),
        ("ssd-inception_v2-300", 800_000),
    ],
)
def test_lengths_that_are_assumed_are_documented(name, steps):
    assert published_recipe(name).steps == steps and "total steps" in published_recipe(name).assumption


@pytest.mark.parametrize(
    ("name", "rate"),
    [("retinanet_tv-resnet50-800", 0.01), ("faster_rcnn_tv-resnet50-800x1344", 0.02)],
)
def test_torchvisions_reference_training(name, rate):
    """26 epochs of 7,330 updates, a thousand of warm-up from a thousandth, a tenth after 16 and after 22 epochs."""
    made = published_recipe(name)
    assert made.optimizer == Sgd(lr=rate, momentum=0.9, weight_decay=1e-4) and (made.batch, made.steps) == (16, 190_580)
    at = {0: 1e-3, 500: 0.5005, 1000: 1.0, 117_279: 1.0, 117_280: 0.1, 161_259: 0.1, 161_260: 0.01}
    assert {step: made.schedule(step) for step in at} == pytest.approx(at)


def test_huangs_optimizers():
    two_stage, one_stage = published_recipe("rfcn-resnet101-600-s16-p300"), published_recipe("ssd-mobilenet_v1-300")
    assert two_stage.optimizer == Sgd(lr=3e-4, momentum=0.9) and two_stage.clip == ClipEach(norm=10.0)
    assert one_stage.optimizer == RmsProp(lr=4e-3, smoothing=0.9, momentum=0.9, eps=1.0, weight_decay=4e-5)
    assert one_stage.ema == Ema(decay=0.9999) and one_stage.clip == NoClip()
    assert "not in the paper" in two_stage.assumption and "not in the paper" in one_stage.assumption


def test_decay_of_the_others():
    assert published_recipe("yolo_v3-darknet53-416").optimizer == Sgd(lr=1e-3, momentum=0.9, weight_decay=5e-4)
    assert published_recipe("ssd_liu-vgg16-300").optimizer == Sgd(
        lr=1e-3, momentum=0.9, weight_decay=5e-4, bias_lr_factor=2.0
    )
    assert published_recipe("mask_rcnn-resnet50-800x1024").optimizer == Sgd(
        lr=0.02, weight_decay=1e-4, bias_lr_factor=2.0
    )


def test_every_architecture_has_a_recipe():
    assert recipes.FAMILIES.keys() == ARCHITECTURES.keys()


def test_every_entry_has_a_learning_rate_or_a_clear_error():
    messages = {}
    for entry in entries():
        try:
            assert published_recipe(entry.name).steps > 1000
        except ValueError as error:
            messages[entry.name.split("-")[0], entry.backbone] = str(error)
    assert all("no learning rate is published for" in message for message in messages.values())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "ssd-inception_v3-300",
            "recipe: no learning rate is published for ssd with inception_v3, only with vgg16, resnet101",
        ),
        ("centernet-resnet50-512", "recipe: none is published for centernet, only for faster_rcnn"),
    ],
)
def test_a_name_without_a_published_recipe_is_refused(name, message):
    with pytest.raises(ValueError, match=message):
        published_recipe(name)
