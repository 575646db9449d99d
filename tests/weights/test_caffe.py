"""Caffe's files in our detectors: outputs equal OpenCV's with the same file, in every form that blobs have."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from caffe_networks import COCO_300, COCO_512, VOC_300, VOC_512, draw, faster_rcnn, ssd, write
from paretodet.backbones.vgg import VGG16, VGG16Reduced
from paretodet.detectors.detector import Detector
from paretodet.detectors.families import Override, spec
from paretodet.detectors.labels import COCO_80, VOC_20
from paretodet.importing import import_weights
from paretodet.opening import open_candidate
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.formats import caffe
from paretodet.weights.namings.caffe import NAMING
from paretodet.weights.safe import WeightsError
from record_caffe_golden import CLASSES, FOLDER, NETWORKS, calibrated, detector, input_image, opencv, ours, sampled

SCALE = np.array([10, 1e5, 100, 100, 100, 100])  # label, score, box
EACH = pytest.mark.parametrize("name", NETWORKS)
SIZES = {"ssd300-coco": COCO_300, "ssd300-voc": VOC_300, "ssd512-coco": COCO_512, "ssd512-voc": VOC_512}
FULL = {
    "ssd300-coco": (ssd(300, classes=81, sizes=COCO_300), 80),
    "ssd300-voc": (ssd(300, classes=21, sizes=VOC_300), 20),
    "ssd512-coco": (ssd(512, classes=81, sizes=COCO_512), 80),
    "ssd512-voc": (ssd(512, classes=21, sizes=VOC_512), 20),
    "faster_rcnn": (faster_rcnn((600, 850), classes=81, regions=300), 80),
}


@pytest.fixture
def path(tmp_path):
    """A temporary file that is removed: some have 550 MB."""
    found = tmp_path / "drawn.caffemodel"
    yield found
    found.unlink(missing_ok=True)


def made_of(name, path):
    """The detector of a golden file with its drawn weights, and the network."""
    network, kept = NETWORKS[name], np.load(FOLDER / f"caffe-{name}.npz")
    write(path, network, draw(network, dict(zip(network.shapes, kept["gains"], strict=True))))
    made = detector(network, classes=CLASSES[name])
    files.load(made, path)
    return made, kept


def assert_near(found, wanted, tolerance=1e-4):
    """Every difference at most `tolerance` of the largest magnitude."""
    assert found.shape == wanted.shape and wanted.std() > 0.05
    assert np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


def assert_same_boxes(found, wanted):
    """One to one, whatever the order of nearly equal scores: the same label, score within 1e-5, box within 0.01 px."""
    left = list(wanted * SCALE)
    assert len(found) == len(wanted) > 20
    for row in found * SCALE:
        distances = [np.abs(row - other).max() for other in left]
        best = int(np.argmin(distances))
        assert distances[best] < 1, (row, left[best])
        left.pop(best)


@EACH
def test_outputs_are_those_of_opencv(name, path):
    made, kept = made_of(name, path)
    outputs = ours(made, input_image(NETWORKS[name].size), kept.get("rois"))
    found = sampled(outputs)
    for key in outputs.raw:
        assert_near(found[key], kept[key])
    if len(kept["boxes"]):
        assert_same_boxes(found["boxes"], kept["boxes"])


@pytest.mark.full
@pytest.mark.parametrize("name", FULL)
def test_outputs_at_full_width_are_those_of_opencv(name, path, data_folder):
    """On a photograph, with the shapes of the published files."""
    version = pytest.importorskip("cv2", reason="OpenCV 4 is not installed").__version__
    if not version.startswith("4."):
        pytest.skip(f"OpenCV {version} does not read Caffe's files, 4 does")
    network, classes = FULL[name]
    made = detector(network, classes=classes, width=1.0)
    photograph = Image.open(min((data_folder / "coco_val2017_44/images").glob("*.jpg"))).convert("RGB")
    resized = np.array(photograph.resize(network.size[::-1]))
    pixels = torch.from_numpy(resized).permute(2, 0, 1)[None].contiguous()
    write(path, network, draw(network, calibrated(network, made, pixels, path)))
    files.load(made, path)
    found = ours(made, pixels)
    wanted = opencv(network, path, made, pixels, found.raw.get("rois"))
    for key in found.raw:
        assert_near(found.raw[key], wanted.raw[key])
    if len(wanted.boxes):
        assert_same_boxes(found.boxes, wanted.boxes)


@pytest.mark.parametrize(
    ("name", "values"),
    [("ssd300-voc", 26_285_486), ("ssd512-voc", 27_188_676), ("ssd512-coco", 36_038_196), ("faster_rcnn", 138_316_573)],
)
def test_the_layers_are_those_that_were_published(name, values):
    """By their number of values, as Open Model Zoo and the sums over the prototxt files have it."""
    network = FULL[name][0]
    assert sum(int(np.prod(shape)) + shape[0] for shape in network.shapes.values()) + network.norm == values


SMALL = faster_rcnn((64, 64), classes=3, regions=8, width=0.125)


@pytest.mark.parametrize("form", ["old", "single", "double"])
def test_every_form_of_blobs_gives_the_same_tensors(path, form):
    tiny = replace(SMALL, shapes={"conv1_1": (8, 3, 3, 3), "rpn_conv/3x3": (64, 2, 3, 3), "fc6": (4, 6)})
    layers = draw(tiny, {})
    write(path, tiny, layers)
    wanted = {name: values.clone() for name, values in caffe.read(path).items()}  # the file changes
    write(path, tiny, layers, form=form)
    found = caffe.read(path)
    assert list(found) == list(wanted) and {values.dtype for values in found.values()} == {torch.float32}
    assert all(torch.equal(found[name].flatten(), wanted[name].flatten()) for name in wanted)
    for name, blobs in layers.items():
        assert all(np.array_equal(wanted[f"{name}.{i}"].numpy(), values) for i, values in enumerate(blobs))


@pytest.mark.parametrize("form", ["old", "new"])
def test_files_of_2014_fit_too(path, form):
    """They state four sides for a vector and a matrix."""
    made = detector(SMALL, classes=2, width=0.125)
    write(path, SMALL, draw(SMALL, {}), form=form)
    files.load(made, path)
    state = made.state_dict()
    drawn = draw(SMALL, {})
    assert np.array_equal(state["backbone.fc6.weight"].numpy(), drawn["fc6"][0])
    assert np.array_equal(state["backbone.blocks.0.0.weight"].numpy(), drawn["conv1_1"][0][:, ::-1])


@pytest.mark.parametrize("name", ["ssd300-voc", "ssd300-coco", "ssd512-voc", "ssd512-coco"])
def test_the_file_states_classes_and_default_boxes(path, name):
    network, classes = FULL[name]
    narrow = ssd(network.size[0], classes=classes + 1, sizes=SIZES[name], width=0.125)
    write(path, narrow, draw(narrow, {}))
    found = NAMING.metadata(caffe.read(path), spec(network.name))
    percents = {"ssd300-voc": (10, 20, 37, 54, 71, 88, 105), "ssd512-voc": (7, 15, 30, 45, 60, 75, 90, 105)}
    ours = spec(network.name).anchors.percents
    labels = VOC_20 if classes == 20 else COCO_80
    assert found == {"classes": classes, "labels": labels, "prior_percents": percents.get(name, ours)}
    made = WeightsMetadata(name=network.name, prior_percents=found["prior_percents"]).apply_to(spec(network.name))
    assert [network.size[0] * percent // 100 for percent in made.anchors.percents] == [int(s) for s in SIZES[name]]


def test_an_imported_file_opens_with_its_classes_and_default_boxes(path, tmp_path):
    network = NETWORKS["ssd300-voc"]
    write(path, network, draw(network, {}))
    done = import_weights(path, WeightsMetadata(name=network.name, width=0.125), tmp_path / "ours.safetensors")
    assert (done.format, done.code_base, done.classes) == ("caffe", NAMING.title, 20)
    made = open_candidate(done.out).spec
    assert made.labels == VOC_20 and made.anchors.percents == (10, 20, 37, 54, 71, 88, 105)


def test_other_numbers_of_classes_have_no_names():
    found = NAMING.metadata({"cls_score.0": torch.zeros(4, 8)}, spec("faster_rcnn_ren-vgg16-600x850-p300"))
    assert found == {"classes": 3}
    assert NAMING.metadata({"conv1_1.0": torch.zeros(1)}, spec("yolo_v3-darknet53-416")) == {}


def changed(path, network, tensors=None, **priors):
    """The error of a file whose layers or numbers of the first PriorBox are changed."""
    kept = dict(network.priors)
    first = next(iter(kept))
    fields = {
        "min_size": 1,
        "max_size": 2,
        "aspect_ratio": 3,
        "flip": 4,
        "clip": 5,
        "variance": 6,
        "step": 10,
        "offset": 13,
    }
    numbers = {fields[key]: value for key, value in priors.items()}
    kept[first] = [(number, numbers.get(number, value)) for number, value in kept[first]]
    write(path, replace(network, priors=kept), tensors or draw(network, {}))
    with pytest.raises(WeightsError, match=f"^{re.escape(str(path))}: .*default boxes") as refused:
        files.load(detector(network, classes=2, width=0.125), path)
    return refused.value


@pytest.mark.parametrize(
    ("key", "value"),
    [("min_size", 22.0), ("min_size", float("nan")), ("max_size", 46.0), ("aspect_ratio", 3.0), ("flip", 0),
     ("clip", 1), ("variance", 0.3), ("step", 7.5), ("offset", 0.0)],
)  # fmt: skip
def test_other_default_boxes_are_refused(path, key, value):
    network = ssd(300, classes=3, sizes=COCO_300, width=0.125)
    assert changed(path, network, **{key: value}).id == "weights-other"


def test_a_file_without_default_boxes_or_with_other_classes_is_refused(path):
    network = ssd(300, classes=3, sizes=COCO_300, width=0.125)
    write(path, replace(network, priors=None), draw(network, {}))
    with pytest.raises(WeightsError, match="does not state one size of default boxes"):
        files.load(detector(network, classes=2, width=0.125), path)
    write(path, network, draw(network, {}))
    with pytest.raises(WeightsError, match="it has 2 classes, and 3 are named: give --classes"):
        files.load(detector(network, classes=3, width=0.125), path)


def test_every_tensor_has_a_place(path):
    layers = draw(SMALL, {})
    write(path, SMALL, layers | {"more": [np.ones(2, np.float32)]})
    made = detector(SMALL, classes=2, width=0.125)
    with pytest.raises(WeightsError, match=r"unused more\.0"):
        files.load(made, path)
    write(path, SMALL, {name: blobs for name, blobs in layers.items() if name != "fc7"})
    with pytest.raises(WeightsError, match=r"missing backbone\.fc7\.bias"):
        files.load(made, path)
    odd = {"rpn_cls_score": [np.ones((23, 64, 1, 1), np.float32)], "bbox_pred": [np.ones((7, 512), np.float32)]}
    write(path, SMALL, layers | odd)
    with pytest.raises(WeightsError, match=r"heads\.0\.scores\.weight has shape \(23, 64, 1, 1\)"):
        files.load(made, path)
    with torch.device("meta"):
        other = Detector(spec("yolo_v3_tiny-416", Override(labels=("a", "b"))))
    with pytest.raises(WeightsError, match="it has weights of a network on VGG-16, not of yolo_v3_tiny-416"):
        files.load(other, path)


@pytest.mark.parametrize(
    ("spec", "fc6"),
    [(VGG16(width=0.125), (512, 64 * 49)), (VGG16(width=0.125, tail=False), (512, 64 * 49)),
     (VGG16Reduced(width=0.125), (128, 64, 3, 3))],
)  # fmt: skip
def test_a_classifier_fills_a_backbone(path, spec, fc6):
    layers = {name: blobs for name, blobs in draw(SMALL, {}).items() if name.startswith("conv")}
    layers |= {
        "fc6": [np.full(fc6, 6, np.float32), np.ones(fc6[0], np.float32)],
        "fc7": [np.full((fc6[0], fc6[0], *[1] * (len(fc6) - 2)), 7, np.float32), np.ones(fc6[0], np.float32)],
        "fc8": [np.ones((1000, fc6[0]), np.float32), np.ones(1000, np.float32)],
    }
    write(path, SMALL, layers)
    net = spec.build()
    files.load(net, path)
    assert np.array_equal(next(iter(net.parameters())).detach().numpy(), layers["conv1_1"][0][:, ::-1])
    assert not hasattr(net, "fc6") or (net.fc6.weight == 6).all()


def test_metadata_with_other_default_boxes_need_such_a_detector():
    with pytest.raises(WeightsError, match="has no 2 maps"):
        WeightsMetadata(name="x", prior_percents=(1, 2, 3)).apply_to(spec("ssd_liu-vgg16-300"))
    with pytest.raises(ValueError, match="prior_percents"):
        WeightsMetadata(name="x", prior_percents=(0, -2))
