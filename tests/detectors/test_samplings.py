"""Every catalogue entry prepares images as its own system: sampling and rounding of sides."""

from dataclasses import fields

import pytest

from paretodet.detectors import catalogue
from paretodet.detectors.families import FAMILIES, spec
from paretodet.detectors.names import parse
from paretodet.detectors.spec import from_data, from_json, to_data, to_json
from paretodet.detectors.worst_case import fill_every_slot
from paretodet.transforms.resize_policy import ShortSide, ShortSideCrop, Stretch

SYSTEMS = {  # architecture -> sampling, rounding of the sides where they keep their aspect
    "ssd": ("tf1", None),
    "ssdlite": ("tf1", None),
    "faster_rcnn": ("tf1", "tf1"),
    "rfcn": ("tf1", "tf1"),
    "ssd_liu": ("opencv", None),
    "faster_rcnn_ren": ("opencv", "detectron"),
    "retinanet": ("opencv", "detectron"),
    "mask_rcnn": ("opencv", "detectron"),
    "cascade_rcnn": ("opencv", "detectron"),
    "fcos": ("antialiased", "maskrcnn_benchmark"),  # torchvision.transforms on a Pillow image
    "faster_rcnn_fpn": ("opencv", "detectron"),
    "mask_rcnn_zoo": ("tf1", "tf1"),
    "retinanet_d2": ("antialiased", "detectron2"),
    "faster_rcnn_d2": ("antialiased", "detectron2"),
    "mask_rcnn_d2": ("antialiased", "detectron2"),
    "ssd_tv": ("torch", None),
    "retinanet_tv": ("torch", "below"),
    "faster_rcnn_tv": ("torch", "below"),
    "mask_rcnn_tv": ("torch", "below"),
    "yolo_v2": ("corners", None),
    "yolo_v2_2016": ("corners", None),
    "yolo_v3": ("corners", None),
    "yolo_v3_tiny": ("corners", None),
}


def test_every_family_has_a_system() -> None:
    assert set(SYSTEMS) == set(FAMILIES)


@pytest.mark.parametrize("architecture", SYSTEMS)
def test_entries_are_prepared_as_by_their_system(architecture: str) -> None:
    names = [name for name in catalogue.names() if parse(name).architecture == architecture]
    assert names
    for name in names:
        fit = spec(name).fit
        assert (fit.sampling, getattr(fit, "whole", None)) == SYSTEMS[architecture], name
        assert fill_every_slot(spec(name)).fit.sampling == fit.sampling


def test_a_stored_policy_without_a_sampling_is_antialiased() -> None:
    short = {"type": "paretodet.data.fit.ShortSide", "short": 600, "long": 1024, "multiple": 1, "whole": "nearest"}
    assert from_data(short) == ShortSide(short=600, long=1024)
    crop = {"type": "paretodet.data.fit.ShortSideCrop", "height": 300, "width": 300}
    assert from_data(crop).sampling == "antialiased"
    assert to_data(from_data(short)) == short and to_data(from_data(crop)) == crop  # so that hashes of old rows hold
    assert to_data(Stretch(height=3, width=4))["sampling"] == "antialiased"


def test_a_spec_states_its_sampling() -> None:
    for name in ("ssd-mobilenet_v1-300", "mask_rcnn-resnet101-800x1024", "faster_rcnn-resnet101-600-s16-p300"):
        made = spec(name)
        assert f'"sampling":"{made.fit.sampling}"' in to_json(made) and from_json(to_json(made)) == made
    assert {"sampling", "height", "width"} == {field.name for field in fields(ShortSideCrop)}
