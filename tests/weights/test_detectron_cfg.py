"""The configuration in a pickle of Detectron is that of the name it is imported as, or the file is refused."""

import base64
import math
import struct

import numpy as np
import pytest
import python2_pickles as python2
import torch
import yaml
from test_detectron_naming import blobs, drawn

from paretodet.detectors.families import Override, spec
from paretodet.importing import import_weights
from paretodet.reading import sha256
from paretodet.weights import detectron_cfg, published
from paretodet.weights.files import WeightsMetadata, read_metadata
from paretodet.weights.formats import detectron as pickles
from paretodet.weights.safe import WeightsError

MASKS, DENSE = spec("mask_rcnn-resnet101-800x1024"), spec("retinanet-resnet50-800")
HEAD = "!!python/object/new:detectron.utils.collections.AttrDict\ndictitems:\n"
NO_NAME = "no name of the catalogue has them"


def cfg(scale=800, most=1333, nms=0.5, proposals=1000, proposed=0.7, candidates=1000, dense=1000, codes=10.0):
    """As Detectron writes it: objects of its own class, tuples, and an array for the pixel means."""
    return f"""{HEAD}  MODEL: !!python/object/new:detectron.utils.collections.AttrDict
    dictitems:
      BBOX_REG_WEIGHTS: !!python/tuple [{codes}, {codes}, 5.0, 5.0]
      NUM_CLASSES: 81
    state: &id001 !!python/object/new:detectron.utils.collections.AttrDict
      dictitems: {{__immutable__: true}}
  PIXEL_MEANS: !!python/object/apply:numpy.core.multiarray._reconstruct
    args: [!!python/name:numpy.ndarray '', !!python/tuple [0], b]
  RETINANET: {{PRE_NMS_TOP_N: {dense}}}
  TEST: !!python/object/new:detectron.utils.collections.AttrDict
    dictitems: {{SCALE: {scale}, MAX_SIZE: {most}, NMS: {nms}, RPN_NMS_THRESH: {proposed},
      RPN_PRE_NMS_TOP_N: {candidates}, RPN_POST_NMS_TOP_N: {proposals}}}
    state: *id001
"""


def refused(text, made):
    with pytest.raises(WeightsError) as error:
        detectron_cfg.check(detectron_cfg.numbers(text), made)
    assert error.value.id == "weights-other" and made.name in error.value.message
    return error.value.message


def test_the_fields_are_read_without_making_objects():
    found = {name: tensor.tolist() for name, tensor in detectron_cfg.numbers(cfg()).items()}
    assert found["cfg/TEST.SCALE"] == [800] and found["cfg/MODEL.BBOX_REG_WEIGHTS"] == [10, 10, 5, 5]
    assert "cfg/PIXEL_MEANS" not in found and len(found) == 8
    hostile = "TEST: !!python/object/apply:os.system [exit 1]\nPIXEL_MEANS: [[[102.9801, 115.9465, 122.7717]]]"
    assert list(detectron_cfg.numbers(hostile)) == ["cfg/PIXEL_MEANS"]


@pytest.mark.parametrize(
    "text", ["", "[" * 60_000, "a: [", "TEST: {SCALE: big}", "TEST: 3", "? [a]\n: b", "TEST: {NMS: .nan}", "- 1", "é\0",
             "a: &a [1]\nTEST: {SCALE: [*a, *a]}", " " * 70_000 + "TEST: {SCALE: 800}"],
)  # fmt: skip
def test_what_is_no_configuration_states_nothing(text):
    assert detectron_cfg.numbers(text) == {}


@pytest.mark.parametrize("made", [MASKS, DENSE, spec("cascade_rcnn-resnet50-800x1344")])
def test_the_configuration_of_a_name_is_accepted(made):
    tensors = detectron_cfg.numbers(cfg())
    detectron_cfg.check(tensors, made)
    detectron_cfg.check(
        detectron_cfg.numbers("TEST: {SCALES: [800]}\nPIXEL_MEANS: [[[102.9801, 115.9465, 122.7717]]]"), made
    )
    assert detectron_cfg.taken_over(tensors, made) == {}


@pytest.mark.parametrize(
    ("changes", "made", "stated", "advice"),
    [
        ({"proposals": 300}, MASKS, "TEST.RPN_POST_NMS_TOP_N 300;", "as mask_rcnn-resnet101-800x1024-p300"),
        ({"scale": 600, "most": 999}, DENSE, "TEST.SCALE 600", "as retinanet-resnet50-600"),
        ({"scale": 600, "most": 1000}, DENSE, "TEST.MAX_SIZE 1000;", NO_NAME),
        ({"proposed": 0.8}, MASKS, "TEST.RPN_NMS_THRESH 0.8;", NO_NAME),
        ({"candidates": 6000}, MASKS, "TEST.RPN_PRE_NMS_TOP_N 6000;", NO_NAME),
        ({"dense": 500}, DENSE, "RETINANET.PRE_NMS_TOP_N 500;", NO_NAME),
        ({"codes": 1.0}, MASKS, "MODEL.BBOX_REG_WEIGHTS 1 1 5 5;", NO_NAME),
    ],
)
def test_another_configuration_is_refused_with_the_name_that_fits(changes, made, stated, advice):
    message = refused(cfg(**changes), made)
    assert stated in message and advice in message


def test_other_pixels_and_earlier_scales_are_refused():
    assert "PIXEL_MEANS 103.53 116.28 123.675;" in refused("PIXEL_MEANS: [[[103.53, 116.28, 123.675]]]", DENSE)
    assert "TEST.SCALE 500;" in refused("TEST: {SCALES: [500]}", DENSE)


@pytest.mark.parametrize(
    ("made", "scale", "most", "nearest"),
    [
        (DENSE, 600, 1000, "retinanet-resnet50-600, has TEST.MAX_SIZE 999)"),
        (MASKS, 600, 1000, "mask_rcnn-resnet101-600, has TEST.MAX_SIZE 999)"),
        (spec("faster_rcnn_fpn-resnet50-800x1344"), 500, 700, "faster_rcnn_fpn-resnet50-500, has TEST.MAX_SIZE 833)"),
    ],
)
def test_the_part_without_a_name_is_said(made, scale, most, nearest):
    assert f"{NO_NAME} (the nearest, {nearest}" in refused(cfg(scale=scale, most=most), made)


BGR = (102.9801, 115.9465, 122.7717)
OF_PYTHON_2 = """PIXEL_MEANS: !!python/object/apply:numpy.core.multiarray._reconstruct
  args:
  - !!python/name:numpy.ndarray ''
  - !!python/tuple [0]
  - b
  state: !!python/tuple
  - 1
  - !!python/tuple [{sides}]
  - &id002 !!python/object/apply:numpy.dtype
    args: [{code}, 0, 1]
    state: !!python/tuple [3, <, null, null, null, -1, -1, 0]
  - false
  - !!binary |
    {means}
TEST:
  NMS: !!python/object/apply:numpy.core.multiarray.scalar
  - *id002
  - !!binary |
    {overlap}
"""


def of_python_2(sides="1, 1, 3", code="f8", means=None, overlap=0.4):
    means, overlap = means or struct.pack("<3d", *BGR), struct.pack("<d", overlap)
    encoded = {"means": base64.b64encode(means).decode(), "overlap": base64.b64encode(overlap).decode()}
    return OF_PYTHON_2.format(sides=sides, code=code, **encoded)


def test_numbers_of_numpy_are_read_as_python_2_writes_them():
    tensors = detectron_cfg.numbers(of_python_2())
    assert tensors["cfg/PIXEL_MEANS"].tolist() == list(BGR)
    detectron_cfg.check(tensors, DENSE)
    assert detectron_cfg.taken_over(tensors, DENSE) == {"nms": 0.4}
    assert "PIXEL_MEANS 1 2 3;" in refused(of_python_2(means=struct.pack("<3d", 1, 2, 3)), DENSE)


@pytest.mark.parametrize("kind", ["<f8", "<f4", ">f8", ">f4", "<i4"])
def test_numbers_of_numpy_are_read_as_python_3_writes_them(kind):
    values = np.array([[BGR]]).astype(kind)
    found = detectron_cfg.numbers(yaml.dump({"PIXEL_MEANS": values, "TEST": {"SCALE": values[0, 0, 0]}}))
    assert found["cfg/PIXEL_MEANS"].tolist() == values.ravel().tolist()
    assert found["cfg/TEST.SCALE"].tolist() == [values[0, 0, 0]]


@pytest.mark.parametrize(
    "changes", [{"sides": "1, 3, 3"}, {"sides": "9" * 400}, {"code": "O8"}, {"code": "[f8]"}, {"code": "f4"},
                {"means": b"1"}, {"means": struct.pack("<3d", 1, 2, math.nan)}, {"sides": "300", "means": bytes(2400)}],
    ids=str,
)  # fmt: skip
def test_an_array_of_another_form_states_nothing(changes):
    assert "cfg/PIXEL_MEANS" not in detectron_cfg.numbers(of_python_2(**changes))


def test_what_is_not_stated_is_named():
    (some,) = detectron_cfg.assumed(detectron_cfg.numbers(cfg()), DENSE)
    assert "PIXEL_MEANS" in some and "TEST" not in some
    (nothing,) = detectron_cfg.assumed({}, DENSE)
    assert "TEST.SCALE" in nothing and "TEST.NMS" in nothing


def listed(path, name):
    """The file as one that is published, with an accuracy in the detector."""
    known = published.WeightsAccuracy(detector=name, ap=35.7, split="val2017", source="a table")
    fields = {"name": "w", "file": "w", "sha256": sha256(path), "accuracy": (known,), "trained_on": "COCO"}
    return published.PublishedWeights(origin=published.entries()[0].origin, **fields)


def test_an_import_reads_it_and_takes_over_the_final_overlap(tmp_path, monkeypatch):
    name, labels = "retinanet-resnet50-64", ("a", "b")
    weights = {key: each.numpy() for key, each in blobs(drawn(spec(name, Override(labels=labels))), 50).items()}
    path, out = tmp_path / "model_final.pkl", tmp_path / "w.safetensors"
    path.write_bytes(python2.detectron(weights, cfg=cfg(scale=64, most=106, nms=0.4)))
    assert torch.equal(pickles.read(path)["cfg/TEST.NMS"], torch.tensor(0.4, dtype=torch.float64).view(1))
    import_weights(path, WeightsMetadata(name=name, labels=labels), out)
    assert read_metadata(out).nms == 0.4
    entry = listed(path, name)
    with monkeypatch.context() as patched:
        patched.setattr(published, "entries", lambda: (entry,))
        assert import_weights(path, WeightsMetadata(name=name, labels=labels), out).ap == 35.7
        assert import_weights(path, WeightsMetadata(name=name, labels=labels, nms=0.5), out).ap is None
    path.write_bytes(python2.detectron(weights, cfg=cfg(scale=96, most=159)))
    with pytest.raises(WeightsError, match=r"model_final\.pkl: .*as retinanet-resnet50-96 \["):
        import_weights(path, WeightsMetadata(name=name, labels=labels), out)
