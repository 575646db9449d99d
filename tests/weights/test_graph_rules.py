"""Canvas, proposals, scores and suppression that a graph of TensorFlow's detection API states are those of its name."""

from dataclasses import replace

import pytest
import torch
from test_tf_detection import mobilenet

from paretodet.config import CandidateConfig
from paretodet.detectors.detector import build
from paretodet.detectors.families import spec
from paretodet.importing import import_weights
from paretodet.opening import job
from paretodet.weights import graph_rules
from paretodet.weights.files import WeightsMetadata, read_metadata
from paretodet.weights.formats import tensorflow_graph
from paretodet.weights.namings import tf_detection
from paretodet.weights.safe import WeightsError
from tensorflow_files import field, graph

REGION, SSD = spec("faster_rcnn-resnet50-600-s16-p300"), spec("ssd-mobilenet_v1-300")
MASKS = spec("mask_rcnn_zoo-resnet50-600-s16")
RESIZER = "Preprocessor/map/while/ResizeToRange/Const"
CANVAS = "Preprocessor/map/while/ResizeImage/stack"
FIRST = "BatchMultiClassNonMaxSuppression/map/while/MultiClassNonMaxSuppression"
NO_NAME = "no name of the catalogue has them"


def region(**changes):
    """The constants and operators of a graph of two stages, as the API names them."""
    final = f"SecondStagePostprocessor/{FIRST}"
    numbers = {
        "short": (RESIZER, 600.0), "long": (f"{RESIZER}_1", 1024.0), "proposals": (f"{FIRST}/Minimum/x", 300),
        "proposed": (f"{FIRST}/non_max_suppression/iou_threshold", 0.7),
        "logits": ("SecondStagePostprocessor/scale_logits/y", 1.0),
        "overlap": (f"{final}/non_max_suppression/iou_threshold", 0.6),
        "kept": (f"{final}/Minimum/x", 100), "score": (f"{final}/non_max_suppression/score_threshold", 0.0),
    }  # fmt: skip
    values = {what: changes.get(what, value) for what, (_, value) in numbers.items()}
    operator = f"SecondStagePostprocessor/convert_scores:{changes.get('scores', 'Softmax')}"
    found = {numbers[what][0]: torch.tensor(value) for what, value in values.items() if value is not None}
    return found | {operator: torch.empty(0)}


def one_stage(canvas=(300, 300), scores="Sigmoid", overlap=0.6):
    return {
        CANVAS: torch.tensor(canvas, dtype=torch.int32),
        f"{CANVAS}_1": torch.tensor([*canvas, 3], dtype=torch.int32),
        f"Postprocessor/convert_scores:{scores}": torch.empty(0),
        f"Postprocessor/{FIRST}/non_max_suppression/iou_threshold": torch.tensor(overlap),
    }


def refused(tensors, made):
    with pytest.raises(WeightsError) as error:
        graph_rules.check(tensors, made)
    assert error.value.id == "weights-other" and made.name in error.value.message
    return error.value.message


@pytest.mark.parametrize(
    ("tensors", "made"),
    [
        (region(), REGION),
        (region(proposals=100), MASKS),
        (region(proposals=20), spec("rfcn-resnet101-600-s16-p20")),
        (region(short=800.0, long=1365.0), spec("faster_rcnn-resnet50-800-s16-p300")),
        (one_stage(), SSD),
        (one_stage((320, 640)), spec("ssd-mobilenet_v1-320x640")),
        ({}, REGION),
    ],
)
def test_the_rules_of_a_graph_are_those_of_its_name(tensors, made):
    graph_rules.check(tensors, made)
    assert graph_rules.taken_over(tensors, made) == {}


@pytest.mark.parametrize(
    ("changes", "stated", "advice"),
    [
        ({"proposals": 100}, "proposals 100;", "as faster_rcnn-resnet50-600-s16-p100"),
        ({"short": 400.0, "long": 683.0}, "shorter side 400", "as faster_rcnn-resnet50-400-s16-p300"),
        ({"short": 600.0, "long": 1200.0}, "longest side 1200;", "as faster_rcnn-resnet50-600x1200-s16-p300"),
        ({"short": 600.0, "long": 900.0}, "longest side 900;", NO_NAME),
        ({"short": 300.0, "long": 512.0, "proposals": 50}, "longest side 512", "as faster_rcnn-resnet50-300-s16-p50"),
        ({"proposed": 0.5}, "overlap of proposals 0.5;", NO_NAME),
        ({"scores": "Sigmoid"}, "scores Sigmoid;", NO_NAME),
        ({"logits": 2.0}, "divisor of logits 2;", NO_NAME),
        ({"proposals": 2000}, "proposals 2000;", NO_NAME),
    ],
)
def test_other_rules_of_two_stages_are_refused_with_the_name_that_fits(changes, stated, advice):
    message = refused(region(**changes), REGION)
    assert stated in message and advice in message


@pytest.mark.parametrize(
    ("tensors", "stated", "advice"),
    [
        (one_stage((512, 512)), "canvas 512 x 512;", "as ssd-mobilenet_v1-512"),
        (one_stage((256, 384)), "canvas 256 x 384;", "as ssd-mobilenet_v1-256x384"),
        (one_stage(scores="Softmax"), "scores Softmax;", NO_NAME),
        (one_stage() | {RESIZER: torch.tensor(600.0)}, "shorter side 600;", NO_NAME),
    ],
)
def test_other_rules_of_one_stage_are_refused(tensors, stated, advice):
    message = refused(tensors, SSD)
    assert stated in message and advice in message


@pytest.mark.parametrize(("short", "long"), [(400.0, 600.0), (500.0, 800.0), (300.0, 511.0)])
def test_the_part_without_a_name_is_said(short, long):
    own = round(short * 1024 / 600)
    message = refused(region(short=short, long=long), REGION)
    assert f"{NO_NAME} (the nearest, faster_rcnn-resnet50-{short:g}-s16-p300, has longest side {own})" in message


def test_the_name_is_found_of_a_detector_whose_name_says_more():
    released = replace(REGION, name=f"{REGION.name} as released at width 0.5")
    assert "as faster_rcnn-resnet50-600-s16-p20" in refused(region(proposals=20), released)


def test_a_naming_compares_them():
    with torch.device("meta"):
        detector = build(REGION)
    tf_detection.state(region(), detector)
    with pytest.raises(WeightsError, match="-p100"):
        tf_detection.state(region(proposals=100), detector)


def test_a_sigmoid_of_masks_stands_beside_the_scores():
    tensors = region(proposals=100) | {"SecondStagePostprocessor/Sigmoid:Sigmoid": torch.empty(0)}
    graph_rules.check(tensors, MASKS)


def test_the_fit_and_the_final_overlap_are_those_of_the_graph():
    stretched = region(short=None, long=None) | {CANVAS: torch.tensor([600, 600])}
    graph_rules.check(stretched, REGION)
    assert graph_rules.taken_over(stretched, REGION) == {"fit": "stretch"}
    assert graph_rules.taken_over(region(overlap=0.5), REGION) == {"nms": 0.5}
    assert tf_detection.metadata(one_stage(overlap=0.45), SSD) == {"nms": 0.45}
    other = region(short=None, long=None) | {CANVAS: torch.tensor([320, 640])}
    assert "as faster_rcnn-resnet50-320x640-s16-p300" in refused(other, REGION)


def test_what_a_graph_does_not_state_is_named():
    assert graph_rules.assumed(region(), REGION) == () == graph_rules.assumed(one_stage(), SSD)
    (nothing,) = graph_rules.assumed({}, REGION)
    assert all(what in nothing for what in ("canvas", "proposals", "scores", "overlap", REGION.name))
    (some,) = graph_rules.assumed(region(proposals=None, long=None), REGION)
    assert "canvas" in some and " proposals" in some and "scores" not in some
    with torch.device("meta"):
        assert nothing in tf_detection.NAMING.unproved({}, build(REGION))


def test_detections_that_a_graph_leaves_out_are_named():
    (sentence,) = graph_rules.assumed(region(score=0.3, kept=20), REGION)
    assert "score 0.3" in sentence and "detections of a class 20" in sentence


@pytest.mark.parametrize(
    "value", [torch.tensor([]), torch.tensor(float("nan")), torch.tensor([1, 2, 3]), torch.tensor(1e30)]
)
def test_constants_of_another_form_state_nothing(value):
    tensors = dict.fromkeys((CANVAS, RESIZER, f"{FIRST}/Minimum/x"), value)
    graph_rules.check(tensors, REGION)
    assert graph_rules.taken_over(tensors, REGION) == {}


def operator(name, kind):
    return field(1, field(1, name) + field(2, kind))


def test_an_import_reads_the_operators_and_records_what_it_took_over(tmp_path):
    tensors, _ = mobilenet()
    numbers = {name: value for name, value in one_stage(overlap=0.5).items() if ":" not in name}
    graph(tensors | numbers, path := tmp_path / "frozen.pb")
    weights, out = path.read_bytes(), tmp_path / "out.safetensors"
    path.write_bytes(weights + operator("Postprocessor/convert_scores", "Sigmoid"))
    assert "Postprocessor/convert_scores:Sigmoid" in tensorflow_graph.read(path)
    done = import_weights(path, WeightsMetadata(name=SSD.name), out)
    assert read_metadata(out).nms == 0.5 and "state" not in " ".join(done.unproved)
    path.write_bytes(weights + operator("Postprocessor/convert_scores", "Softmax"))
    with pytest.raises(WeightsError, match=r"frozen\.pb: .*Softmax"):
        import_weights(path, WeightsMetadata(name=SSD.name), out)


def test_a_graph_keeps_the_accuracy_that_was_published_of_it(tmp_path):
    tensors, _ = mobilenet()
    graph(tensors | {k: v for k, v in one_stage(overlap=0.5).items() if ":" not in k}, path := tmp_path / "frozen.pb")
    known = {"ap": 21.0, "split": "minival2014"}

    def imported(source, name, **given):
        out = tmp_path / f"{name}.safetensors"
        done = import_weights(source, WeightsMetadata(name=SSD.name, **given), out)
        assert job(CandidateConfig(name=str(out))).about.get("ap") == done.ap
        return done.ap, read_metadata(out).nms, out

    *first, kept = imported(path, "first", **known)
    *again, _ = imported(kept, "again")
    *equal, _ = imported(path, "equal", **known, nms=0.5)
    assert first == again == equal == [21.0, 0.5]
    *chosen, other = imported(path, "chosen", **known, nms=0.6)
    assert chosen == [None, 0.6]
    for source, given in ((path, {"score": 0.3}), (kept, {"nms": 0.6}), (other, known), (other, known | {"nms": 0.6})):
        assert imported(source, "other", **given)[0] is None


def test_a_graph_of_operators_alone_has_no_weights(tmp_path):
    path = tmp_path / "frozen.pb"
    path.write_bytes(operator("Postprocessor/convert_scores", "Sigmoid"))
    with pytest.raises(WeightsError) as error:
        tensorflow_graph.read(path)
    assert error.value.id == "weights-format"
