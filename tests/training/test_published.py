"""The authors' numbers, at the updates where they change."""

import pytest

from paretodet.detectors.catalogue import entries
from paretodet.detectors.families import FAMILIES as ARCHITECTURES
from paretodet.training import published as recipes
from paretodet.training.clipping import ClipEach, NoClip
from paretodet.training.ema import Average
from paretodet.training.optimisers import RmsProp, Sgd
from paretodet.training.published import published

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
    ("ssd_liu-vgg16-300", 160_000, 1e-4),  # Liu et al. section 3.4
    ("ssd_liu-vgg16-512", 200_000, 1e-5),
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
    ("mask_rcnn-resnet101-800x1024", 250, 0.02 * 2 / 3),
    ("mask_rcnn-resnet101-800x1024", 80_000, 2e-4),
    ("retinanet_tv-resnet50-800", 5000, 0.01),
    ("mask_rcnn_tv-resnet50-800x1344", 1000, 0.02),
]


@pytest.mark.parametrize(("name", "step", "rate"), RATES)
def test_rates_are_the_authors(name, step, rate):
    recipe = published(name)
    assert recipe.optimiser.rate * recipe.schedule(step) == pytest.approx(rate, rel=1e-6)


def test_batches_and_lengths_are_the_authors():
    wanted = {
        "ssd_liu-vgg16-300": (32, 240_000),
        "yolo_v3-darknet53-416": (64, 500_200),
        "yolo_v2_2016-darknet19-416": (64, 120_000),
        "retinanet-resnet101-800": (16, 90_000),
        "faster_rcnn_ren-vgg16-600x850-p300": (2, 490_000),
    }
    assert {name: (published(name).batch, published(name).steps) for name in wanted} == wanted
    assert published("faster_rcnn_ren-vgg16-600x850-p300").accumulate == 2
    assert published("ssd-mobilenet_v1-300").batch == 32


def test_huangs_optimisers():
    two_stage, one_stage = published("rfcn-resnet101-600-s16-p300"), published("ssd-mobilenet_v1-300")
    assert two_stage.optimiser == Sgd(rate=3e-4, momentum=0.9) and two_stage.clip == ClipEach(norm=10.0)
    assert one_stage.optimiser == RmsProp(rate=4e-3, smoothing=0.9, momentum=0.9, eps=1.0, decay=4e-5)
    assert one_stage.average == Average(decay=0.9999) and one_stage.clip == NoClip()
    assert "not in the paper" in two_stage.assumption and "not in the paper" in one_stage.assumption


def test_decay_of_the_others():
    assert published("yolo_v3-darknet53-416").optimiser == Sgd(rate=1e-3, momentum=0.9, decay=5e-4)
    assert published("ssd_liu-vgg16-300").optimiser == Sgd(rate=1e-3, momentum=0.9, decay=5e-4, bias_rate=2.0)
    assert published("mask_rcnn-resnet50-800x1024").optimiser == Sgd(rate=0.02, decay=1e-4, bias_rate=2.0)


def test_every_architecture_has_a_recipe():
    assert recipes.FAMILIES.keys() == ARCHITECTURES.keys()


def test_every_entry_has_its_rate_or_is_told_who_has():
    told = {}
    for entry in entries():
        try:
            assert published(entry.name).steps > 1000
        except ValueError as error:
            told[entry.name.split("-")[0], entry.backbone] = str(error)
    assert all("no rate is published for" in sentence and "only on" in sentence for sentence in told.values())
    print(sorted(told))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ssd-inception_v3-300", "recipe: no rate is published for ssd on inception_v3, only on vgg16, resnet101"),
        ("centernet-resnet50-512", "recipe: no recipe is published for centernet, only for faster_rcnn"),
    ],
)
def test_what_nobody_published_is_refused(name, said):
    with pytest.raises(ValueError, match=said):
        published(name)
