"""SSD MobileNet v1 of the TF Object Detection API in a LiteRT file: every convolution in its place."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from made_tflite import Made, ssd_anchors, ssd_tensors, write_tflite
from paretodet.detectors.detector import build
from paretodet.detectors.families import Override, spec
from paretodet.detectors.labels import COCO_90
from paretodet.detectors.scale_width import scale_width
from paretodet.importing import import_weights
from paretodet.opening import open_candidate
from paretodet.scoring import evaluate
from paretodet.transforms.resize_policy import Stretch
from paretodet.types import Images
from paretodet.weights import files
from paretodet.weights.files import WeightsMetadata, read_metadata
from paretodet.weights.safe import WeightsError
from tflite_graph import GraphInFloat
from unit_scale import with_unit_scale

NAME, LABELS = "ssd-mobilenet_v1-300", ("cat", None, "dog")
SPEC = scale_width(spec(NAME, Override(labels=LABELS)), 0.25)
IMAGES = Images(
    torch.randint(0, 256, (1, 3, 300, 300), generator=torch.Generator().manual_seed(1)).byte(),
    torch.tensor([[300.0, 300.0]]),
)
POSTPROCESS = "TFLite_Detection_PostProcess"
IMAGE, EMPTY = (Made(values=np.zeros(0, np.float32), shape=shape) for shape in ((1, 300, 300, 3), (1, 1917, 4)))
RULES = {"nms_iou_threshold": 0.6, "nms_score_threshold": 1e-8, "max_detections": 100, "use_regular_nms": 1}
OF_2017 = dict.fromkeys(range(1, 6), (0, 5, 1, 2, 3, 4))  # the square between two scales is the second


@pytest.fixture(scope="module")
def detector():
    made, noise = build(SPEC, seed=3), torch.Generator().manual_seed(5)
    for norm in (each for each in made.modules() if isinstance(each, nn.BatchNorm2d)):
        for values, low in ((norm.weight, 0.5), (norm.bias, -0.5), (norm.running_mean, -0.5), (norm.running_var, 0.5)):
            values.data.uniform_(low, low + 1, generator=noise)
    with_unit_scale(made, IMAGES)
    return made


def predicted(detector):
    with torch.no_grad():
        return detector.heads[0](detector.features(IMAGES))


def written(path, tensors, **more):
    return write_tflite(path / "ssd.tflite", tensors, labels="cat\n???\ndog", license="MIT", **more)


def refused(path, name=NAME, **more):
    with pytest.raises(WeightsError, match=r"ssd\.tflite") as error:
        import_weights(path, WeightsMetadata(name=name, **more), path.with_name("o.safetensors"))
    return str(error.value)


@pytest.mark.parametrize("order", [{}, OF_2017], ids=["today", "2017"])
def test_outputs_are_those_of_the_original(tmp_path, detector, order):
    out = tmp_path / "ours.safetensors"
    done = import_weights(written(tmp_path, ssd_tensors(detector, order=order)), WeightsMetadata(name=NAME), out)
    assert (done.format, done.width, done.classes, done.fit) == ("tflite", 0.25, 3, "stretch")
    kept = read_metadata(out)
    assert (kept.labels, kept.license, kept.width) == (LABELS, "MIT", 0.25)
    ours = build(SPEC, seed=9)
    files.load(ours, out)
    for found, wanted in zip(predicted(ours), predicted(detector), strict=True):
        assert (found - wanted).abs().max() < 1e-4 * wanted.abs().max()


def test_anchors_may_be_rounded_to_bytes(tmp_path, detector):
    tensors = ssd_tensors(detector, order=OF_2017)
    step = float(tensors["anchors"].values.max()) / 255
    rounded = Made(values=(tensors["anchors"].values / step).round().astype("uint8"), scale=(step,), zero=(0,))
    path = written(tmp_path, tensors | {"anchors": rounded})
    assert import_weights(path, WeightsMetadata(name=NAME), tmp_path / "o.safetensors").classes == 3


def test_an_anchor_that_is_off_by_a_step_is_refused(tmp_path, detector):
    tensors = ssd_tensors(detector)
    values = tensors["anchors"].values
    step = float(values.max()) / 255
    steps = (values / step).round()
    above = np.argwhere((steps[:, 2] * step >= values[:, 2]) & (steps[:, 2] < 255))[-1, 0]
    steps[above, 2] += 1  # now between one step and one and a half above the true height
    rounded = Made(values=steps.astype("uint8"), scale=(step,), zero=(0,))
    assert "its anchors are others" in refused(written(tmp_path, tensors | {"anchors": rounded}))


def test_other_anchors_are_refused_and_named(tmp_path, detector):
    anchors = ssd_anchors(detector)
    anchors[3 * 19 * 19 + 4, 2] += 0.02  # the fifth of the first location of level 1 is higher
    message = refused(written(tmp_path, ssd_tensors(detector, anchors=anchors)))
    assert "level 1" in message and "anchor 4" in message and "0.0200" in message
    assert "level 0" in refused(written(tmp_path, ssd_tensors(detector, anchors=anchors * math.nan)))


def test_codes_in_other_units_are_refused(tmp_path, detector):
    units = {"x_scale": 10.0, "y_scale": 10.0, "w_scale": 5.0, "h_scale": 5.0, "num_classes": 3}
    path = written(tmp_path, ssd_tensors(detector), operators={POSTPROCESS: units})
    assert import_weights(path, WeightsMetadata(name=NAME), tmp_path / "o.safetensors").classes == 3
    path = written(tmp_path, ssd_tensors(detector), operators={POSTPROCESS: units | {"h_scale": 1.0}})
    assert "(10.0, 10.0, 5.0, 1.0)" in refused(path)


def test_units_that_are_no_numbers_are_not_compared(tmp_path, detector):
    """The options of the operator are numbers; a tensor may have the name of one."""
    stray = {f"{POSTPROCESS}/x_scale": Made(values=np.ones(2, np.float32))}
    done = import_weights(
        written(tmp_path, ssd_tensors(detector) | stray), WeightsMetadata(name=NAME), tmp_path / "o.safetensors"
    )
    assert done.classes == 3


def test_anchors_of_another_input_size_are_refused(tmp_path, detector):
    message = refused(written(tmp_path, ssd_tensors(detector)), name="ssd-mobilenet_v1-512")
    assert "1,917 anchors" in message and "weights-other" in message


@pytest.mark.parametrize(
    "name", ["yolo_v3-darknet53-416", "ssd-inception_v2-300", "faster_rcnn-mobilenet_v1-600-s16-p100"]
)
def test_another_detector_is_refused(tmp_path, detector, name):
    assert "weights-other" in refused(written(tmp_path, ssd_tensors(detector)), name=name)


@pytest.mark.parametrize("name", [NAME, "ssdlite-mobilenet_v2-300"])
def test_another_network_is_refused_as_one(tmp_path, detector, name):
    made = {key.replace("MobilenetV1", "MobilenetV2"): values for key, values in ssd_tensors(detector).items()}
    message = refused(written(tmp_path, made), name=name)
    assert "weights-other" in message and "with MobileNet v1, not of" not in message


def with_rules(path, detector, image=IMAGE, activation=14, **rules):
    """A file whose graph ends in POSTPROCESS with scores of an activation, as an operator's number."""
    tensors = {"image": image, "logits": EMPTY, "scores": EMPTY} | ssd_tensors(detector)
    operators, calls = {POSTPROCESS: RULES | rules}, [(activation, (1,), (2,))]
    return written(path, tensors, inputs=(0,), operators=operators, reads=(1, 2, 1), builtin=calls)


def test_the_rules_of_a_graph_are_those_of_its_name(tmp_path, detector):
    path, out = with_rules(tmp_path, detector), tmp_path / "o.safetensors"
    done = import_weights(path, WeightsMetadata(name=NAME), out)
    assert (done.unproved, read_metadata(out).nms) == ((), None)
    assert done.tensors == len(ssd_tensors(detector)) + len(RULES)  # without those that have no numbers


@pytest.mark.parametrize(
    ("changes", "name", "stated", "advice"),
    [
        ({}, "ssd-mobilenet_v1-304", "canvas 300 x 300;", "import it as ssd-mobilenet_v1-300 ["),
        ({"image": replace(IMAGE, shape=(1, 300, 304, 3))}, NAME, "canvas 300 x 304;", "as ssd-mobilenet_v1-300x304 ["),
        ({"image": replace(IMAGE, shape=(1, 512, 512, 3))}, NAME, "canvas 512 x 512;", "as ssd-mobilenet_v1-512 ["),
        ({"activation": 25}, NAME, "scores Softmax;", "no name of the catalogue"),
    ],
)
def test_other_rules_are_refused_with_the_name_that_fits(tmp_path, detector, changes, name, stated, advice):
    message = refused(with_rules(tmp_path, detector, **changes), name=name)
    assert stated in message and advice in message and "weights-other" in message


@pytest.mark.parametrize("overlap", [0.45, 0.7])
def test_the_overlap_is_that_of_the_graph_and_keeps_the_published_accuracy(tmp_path, detector, overlap):
    path, out = with_rules(tmp_path, detector, nms_iou_threshold=overlap), tmp_path / "o.safetensors"
    done = import_weights(path, WeightsMetadata(name=NAME, ap=18.0, split="minival2014"), out)
    assert (read_metadata(out).nms, read_metadata(out).stated, done.ap) == (overlap, ("nms",), 18.0)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"max_detections": 10}, ["detections 10"]),
        ({"nms_score_threshold": 0.3}, ["score 0.3"]),
        ({"use_regular_nms": 0}, ["across classes"]),
    ],
)
def test_detections_that_the_graph_leaves_out_are_named(tmp_path, detector, rules, words):
    path = with_rules(tmp_path, detector, **rules)
    done = import_weights(path, WeightsMetadata(name=NAME), tmp_path / "o.safetensors")
    assert len(done.unproved) == len(words) and all(map(str.__contains__, done.unproved, words))


@pytest.mark.parametrize("shape", [(1, 1, 1, 3), (1, 300, 300), (1, 2**30, 2**30, 3)])
def test_what_a_graph_does_not_state_is_named(tmp_path, detector, shape):
    path = with_rules(tmp_path, detector, image=replace(IMAGE, shape=shape), activation=0)
    (sentence,) = import_weights(path, WeightsMetadata(name=NAME), tmp_path / "o.safetensors").unproved
    assert "canvas" in sentence and "scores" in sentence and "overlap" not in sentence


def test_missing_unused_and_wrongly_shaped_tensors_are_named(tmp_path, detector):
    made = ssd_tensors(detector)
    bias = "BoxPredictor_3/ClassPredictor/Conv2D_bias"
    assert "missing heads.0.scores.3.bias" in refused(written(tmp_path, {k: v for k, v in made.items() if k != bias}))
    stem = "FeatureExtractor/MobilenetV1/MobilenetV1/Conv2d_0"
    for more in (f"{stem}/more", "BoxPredictor_6/ClassPredictor/Conv2D_bias", "stray"):
        assert f"unused {more}" in refused(written(tmp_path, made | {more: made[bias]}))
    short = replace(made[bias], values=made[bias].values[:-1])
    assert "heads.0.scores.3.bias has shape" in refused(written(tmp_path, made | {bias: short}))
    assert "no tensor 'anchors'" in refused(written(tmp_path, {k: v for k, v in made.items() if k != "anchors"}))


def test_as_many_names_as_classes_are_asked_for(tmp_path, detector):
    path = write_tflite(tmp_path / "ssd.tflite", ssd_tensors(detector))
    assert "has 3 classes, and 90 are named" in refused(path)
    assert "has 3 classes, and 2 are named" in refused(path, labels=("a", "b"))
    made = import_weights(path, WeightsMetadata(name=NAME, labels=("a", "b", "c")), tmp_path / "o.safetensors")
    assert made.classes == 3


def test_the_format_can_be_given(tmp_path, detector):
    path, out = written(tmp_path, ssd_tensors(detector)), tmp_path / "o.safetensors"
    assert import_weights(path, WeightsMetadata(name=NAME), out, format="tflite").code_base.startswith("TF ")
    for format in ("torch", "safetensors", "caffe"):
        with pytest.raises(ValueError, match="format"):
            import_weights(path, WeightsMetadata(name=NAME), out, format=format)


ORIGINAL = "ssd_mobilenet_v1_075_tflite/lite-model_ssd_mobilenet_v1_1_metadata_2.tflite"
STEP = 0.08  # of the original's codes; that of its logits is smaller


@pytest.fixture(scope="module")
def imported(data_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("google") / "ours.safetensors"
    return import_weights(data_folder / ORIGINAL, WeightsMetadata(name=NAME), out)


def test_googles_file_is_read_whole(imported):
    assert (imported.width, imported.classes, imported.fit, imported.tensors) == (0.75, 90, "stretch", 118)
    kept = read_metadata(Path(imported.out))
    assert kept.labels == COCO_90 and kept.license.startswith("Apache License. Version 2.0")
    assert kept.sha256.startswith("cbdecd08b44c")
    assert (kept.nms, len(imported.unproved)) == (None, 2)  # it keeps ten detections, and suppresses across classes


def legacy(image):
    """TF's legacy bilinear onto 300 x 300: output i reads i * source / target, without rounding."""
    values = image.astype(np.float32)
    for axis in (0, 1):
        place = np.arange(300, dtype=np.float32) * np.float32(image.shape[axis] / 300)
        low = place.astype(np.int64)
        share = (place - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        first = values.take(low, axis)
        values = first + (values.take((low + 1).clip(max=image.shape[axis] - 1), axis) - first) * share
    return values


class OnCanvas:
    """A candidate whose images are brought to its canvas by `legacy`."""

    def __init__(self, candidate):
        self.candidate = candidate

    def __getattr__(self, name):
        return getattr(self.candidate, name)

    def prepare(self, images):
        pixels = np.stack([legacy(image) for image in images])
        return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), self.candidate.prepare(images).sizes)


def antialiased(candidate):
    candidate.session.fit = Stretch(height=300, width=300, sampling="antialiased")
    return candidate


@pytest.mark.full
@pytest.mark.parametrize(("wrap", "ap"), [(OnCanvas, 30.32), (antialiased, 30.75)])
def test_the_accuracy_is_tensorflows(imported, data_folder, wrap, ap):
    """On the canvas of TensorFlow, and on one that is antialiased."""
    folder = data_folder / "coco_val2017_44"
    candidate = wrap(open_candidate(imported.out))
    scores = evaluate(candidate, folder / "instances.json", image_root=folder / "images")
    assert scores.boxes.whole.ap == pytest.approx(ap, abs=0.01)


def photographs(folder):
    paths = sorted((folder / "coco_val2017_44" / "images").glob("*.jpg"))[:4]
    return [np.rint(legacy(np.asarray(Image.open(path).convert("RGB")))).astype(np.uint8) for path in paths]


def raw(path, canvas):
    """What our detector predicts: codes as the original has them, and logits."""
    detector = build(spec_of(path))
    files.load(detector, path)
    images = Images(torch.from_numpy(canvas).permute(2, 0, 1)[None], torch.tensor([[300.0, 300.0]]))
    with torch.no_grad():
        predictions = detector.heads[0](detector.features(images))
    return predictions.codes[0][:, [1, 0, 3, 2]].numpy(), predictions.logits[0].numpy()


def spec_of(path):
    metadata = read_metadata(path)
    return metadata.apply_to(spec(metadata.name, Override(labels=metadata.labels)))


@pytest.mark.full
def test_outputs_are_those_of_the_graph(imported, data_folder):
    """The operators of the file, executed one by one on its dequantized numbers, without our names and places."""
    run = GraphInFloat(data_folder / ORIGINAL)
    for canvas in photographs(data_folder):
        for ours, theirs in zip(raw(Path(imported.out), canvas), run(canvas), strict=True):
            assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


@pytest.mark.full
def test_outputs_are_litert_s_within_its_quantization(imported, data_folder):
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    run = interpreter.Interpreter(str(data_folder / ORIGINAL), experimental_preserve_all_tensors=True)
    run.allocate_tensors()
    details = {each["name"]: each for each in run.get_tensor_details()}
    for canvas in photographs(data_folder):
        run.set_tensor(run.get_input_details()[0]["index"], canvas[None])
        run.invoke()
        for ours, name in zip(raw(Path(imported.out), canvas), ("Squeeze", "concat_1"), strict=True):
            scale, zero = details[name]["quantization"]
            theirs = (run.get_tensor(details[name]["index"])[0].astype(np.float32) - zero) * scale
            assert np.abs(ours - theirs).mean() < STEP and np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.998
