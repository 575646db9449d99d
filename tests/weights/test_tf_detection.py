"""The names of TensorFlow's Object Detection API: what has a place, what is left out, and the order of anchors.

The variables are those of its SSD MobileNet v1 at width 0.5, by the names in its checkpoints. That outputs are equal
is tested in test_tf_detection_golden.py.
"""

import pytest
import torch

from paretodet.detectors.detector import build
from paretodet.detectors.families import spec
from paretodet.detectors.scale_width import scale_width
from paretodet.weights import files, safe
from paretodet.weights.anchors import second_square
from paretodet.weights.namings import tf_detection
from paretodet.weights.safe import WeightsError
from tensorflow_files import checkpoint, field, graph

ROOT = "FeatureExtractor/MobilenetV1"
RATIOS = "MultipleGridAnchorGenerator/ratios"
LAST, SECOND = [1.0, 2.0, 0.5, 3.0, 0.3333, 1.0], [1.0, 1.0, 2.0, 0.5, 3.0, 0.3333]
DEPTHS = (16, 32, 64, 64, 128, 128, *(256,) * 6, 512, 512)  # of layers 0 to 13
EXTRAS = ((128, 256), (64, 128), (64, 128), (32, 64))
MAPS = (256, 512, 256, 128, 128, 64)  # channels of the maps with predictions


def shapes():
    """The shape of every kernel by its name."""
    kernels = {f"{ROOT}/Conv2d_0/weights": (3, 3, 3, 16)}
    for index, (before, depth) in enumerate(zip(DEPTHS, DEPTHS[1:], strict=False), 1):
        kernels[f"{ROOT}/Conv2d_{index}_depthwise/depthwise_weights"] = (3, 3, before, 1)
        kernels[f"{ROOT}/Conv2d_{index}_pointwise/weights"] = (1, 1, before, depth)
    before = DEPTHS[-1]
    for index, (squeeze, depth) in enumerate(EXTRAS, 2):
        stem = f"{ROOT}/Conv2d_13_pointwise"
        kernels[f"{stem}_1_Conv2d_{index}_1x1_{squeeze}/weights"] = (1, 1, before, squeeze)
        kernels[f"{stem}_2_Conv2d_{index}_3x3_s2_{depth}/weights"] = (3, 3, squeeze, depth)
        before = depth
    return kernels


def mobilenet():
    """All variables with random values and the ratios of anchors, and the detector."""
    tensors = {RATIOS: torch.tensor(LAST)}
    for name, shape in shapes().items():
        tensors[name] = torch.randn(shape)
        scope, leaf = name.rsplit("/", 1)
        channels = shape[2] if leaf == "depthwise_weights" else shape[3]
        norm = ("gamma", "beta", "moving_mean", "moving_variance")
        tensors |= {f"{scope}/BatchNorm/{part}": torch.rand(channels) for part in norm}
    for level, channels in enumerate(MAPS):
        anchors = 6 if level else 3
        for head, width in (("BoxEncodingPredictor", 4), ("ClassPredictor", 91)):
            scope = f"BoxPredictor_{level}/{head}"
            tensors[f"{scope}/weights"] = torch.randn(1, 1, channels, anchors * width)
            tensors[f"{scope}/biases"] = torch.randn(anchors * width)
    return tensors, build(scale_width(spec("ssd-mobilenet_v1-300"), 0.5))


def test_every_variable_has_its_place():
    tensors, detector = mobilenet()
    safe.load_tensors(detector, tf_detection.state(tensors, detector), "file")
    found = detector.state_dict()
    stem = f"{ROOT}/Conv2d_13_pointwise"
    for ours, theirs in (
        ("backbone.stem.conv.weight", f"{ROOT}/Conv2d_0/weights"),
        ("backbone.body.12.pointwise.conv.weight", f"{ROOT}/Conv2d_13_pointwise/weights"),
        ("neck.steps.0.squeeze.conv.weight", f"{stem}_1_Conv2d_2_1x1_128/weights"),
        ("neck.steps.3.grow.conv.weight", f"{stem}_2_Conv2d_5_3x3_s2_64/weights"),
        ("heads.0.scores.5.weight", "BoxPredictor_5/ClassPredictor/weights"),
    ):
        assert torch.equal(found[ours], tensors[theirs].permute(3, 2, 0, 1)), ours
    depthwise = tensors[f"{ROOT}/Conv2d_4_depthwise/depthwise_weights"]
    assert torch.equal(found["backbone.body.3.depthwise.conv.weight"], depthwise.permute(2, 3, 0, 1))
    norm = f"{ROOT}/Conv2d_9_pointwise/BatchNorm"
    for ours, theirs in (("weight", "gamma"), ("bias", "beta"), ("running_var", "moving_variance")):
        assert torch.equal(found[f"backbone.body.8.pointwise.norm.{ours}"], tensors[f"{norm}/{theirs}"])
    y_x_h_w = tensors["BoxPredictor_0/BoxEncodingPredictor/biases"].view(3, 4)
    assert torch.equal(found["heads.0.boxes.0.bias"].view(3, 4), y_x_h_w[:, [1, 0, 3, 2]])


@torch.no_grad()
def test_a_norm_without_gamma_or_folded_is_the_same_function():
    tensors, detector = mobilenet()
    scope = f"{ROOT}/Conv2d_0"
    bare = {name: value for name, value in tensors.items() if not name.startswith(f"{scope}/BatchNorm")}
    norm = {n: v for n, v in tensors.items() if n.startswith(f"{scope}/BatchNorm") and not n.endswith("gamma")}
    leaves = ("moving_mean", "moving_variance", "beta")
    mean, variance, beta = (tensors[f"{scope}/BatchNorm/{leaf}"].view(-1, 1, 1) for leaf in leaves)
    offset, x = torch.rand(16), torch.randn(1, 16, 4, 4)
    shifted = x + offset.view(-1, 1, 1)
    for changed, wanted in (
        (bare | norm, (x - mean) / (variance + 1e-3).sqrt() + beta),
        (bare | {f"{scope}/biases": offset}, shifted),
        (bare | {f"{scope}/convolution_bn_offset": offset}, shifted),
        (bare | {f"{scope}/Conv2D_bn_offset": offset}, shifted),
    ):
        safe.load_tensors(detector, tf_detection.state(changed, detector), "file")
        assert torch.allclose(detector.backbone.stem.norm(x), wanted, atol=1e-5)


def test_norms_that_a_tool_of_tensorflow_folded_are_read_by_the_names_of_their_operators():
    tensors, detector = mobilenet()
    folded = {name: value for name, value in tensors.items() if "/BatchNorm/" not in name}
    for name in (name for name in tensors if name.endswith("/BatchNorm/beta")):
        scope = name.removesuffix("/BatchNorm/beta")
        operation = "depthwise" if scope.endswith("_depthwise") else "Conv2D"
        folded[f"{scope}/{operation}_bn_offset"] = tensors[name]
    safe.load_tensors(detector, tf_detection.state(folded, detector), "file")
    found = detector.state_dict()
    for index in (1, 9):
        for part in ("depthwise", "pointwise"):
            beta = tensors[f"{ROOT}/Conv2d_{index}_{part}/BatchNorm/beta"]
            assert torch.equal(found[f"backbone.body.{index - 1}.{part}.norm.bias"], beta)


@pytest.mark.parametrize("name", [f"{ROOT}/Conv2d_0/other_bn_offset", f"{ROOT}/Conv2d_77/Conv2D_bn_offset"])
def test_a_norm_that_was_folded_into_an_unknown_layer_is_named(name):
    tensors, detector = mobilenet()
    with pytest.raises(WeightsError, match=rf"folded .*{name.removeprefix('FeatureExtractor/')}") as refused:
        tf_detection.state(tensors | {name: torch.ones(16)}, detector)
    assert refused.value.id == "weights-shape"


def test_a_checkpoint_of_a_training_is_loaded(tmp_path):
    """Averages of weights in place of the last ones; slots of the optimizer and the step are left out."""
    tensors, detector = mobilenet()
    name = "FeatureExtractor/MobilenetV1/Conv2d_0/weights"
    slots = {f"{name}/RMSProp": tensors[name], f"{name}/RMSProp_1": tensors[name], f"{name}/Momentum": tensors[name]}
    averages = {f"{name}/ExponentialMovingAverage": tensors[name] + 1}
    step = {"global_step": torch.tensor(200_000)}
    checkpoint(tensors | slots | averages | step, path := tmp_path / "model.ckpt.index")
    files.load(detector, path)
    assert torch.equal(detector.state_dict()["backbone.stem.conv.weight"], (tensors[name] + 1).permute(3, 2, 0, 1))


def test_a_checkpoint_that_is_called_as_tensorflow_calls_it_is_found(tmp_path):
    tensors, detector = mobilenet()
    checkpoint(tensors, tmp_path / "model.ckpt.index")
    with pytest.raises(WeightsError, match=r"model\.ckpt: .*model\.ckpt\.index \[file-missing\]"):
        files.load(detector, tmp_path / "model.ckpt")


def test_missing_and_unused_variables_are_named():
    tensors, detector = mobilenet()
    tensors["BoxPredictor_7/ClassPredictor/weights"] = tensors.pop("BoxPredictor_0/ClassPredictor/weights")
    with pytest.raises(WeightsError, match=r"missing heads\.0\.scores\.0\.weight; unused BoxPredictor_7/Class"):
        safe.load_tensors(detector, tf_detection.state(tensors, detector), "file")


SHAPES = [(), (0,), (5,), (1, 1), (0, 0, 0, 0), (2, 2, 2, 2, 2)]
NAMES = (
    "BoxPredictor_1/BoxEncodingPredictor/weights",
    "BoxPredictor_1/ClassPredictor/biases",
    "FeatureExtractor/MobilenetV1/Conv2d_0/weights",
    "FeatureExtractor/MobilenetV1/Conv2d_1_depthwise/depthwise_weights",
    "FeatureExtractor/MobilenetV1/Conv2d_3_pointwise/BatchNorm/beta",
)


def test_variables_of_any_shape_are_refused_by_name():
    tensors, detector = mobilenet()
    for name in NAMES:
        for shape in SHAPES:
            changed = tensors | {name: torch.zeros(shape)}
            with pytest.raises(WeightsError, match="has shape"):
                safe.load_tensors(detector, tf_detection.state(changed, detector), "file")
            assert tf_detection.metadata(changed, detector.spec) is not None


def test_width_and_classes_are_those_of_the_tensors():
    tensors, detector = mobilenet()
    assert tf_detection.metadata(tensors, detector.spec) == {"width": 0.5, "classes": 90}


def test_the_released_rfcn_is_told_by_its_bins():
    shapes = {"refined_locations": 9 * 90 * 4, "class_predictions": 9 * 91}
    tensors = {f"SecondStageBoxPredictor/{n}/biases": torch.empty(size) for n, size in shapes.items()}
    wanted = {"classes": 90, "released": True}
    assert tf_detection.metadata(tensors, spec("rfcn-resnet101-600-s16-p300")) == wanted
    metadata = files.WeightsMetadata(name="rfcn-resnet101-600-s16-p300", released=True)
    assert metadata.apply_to(spec(metadata.name)).stages[-1].head.bins == 3
    assert metadata.display_name(metadata.name).endswith("as released")


# The order of the anchors


def corners(ratios):
    """Anchors of three cells as (y, x, y, x)."""
    sides = torch.tensor([[r**-0.5, r**0.5] for r in ratios]) / 4
    return torch.cat([0.5 - sides, 0.5 + sides], 1).repeat(3, 1)


@pytest.mark.parametrize(("order", "ratios"), [("last", LAST), ("second", SECOND)])
def test_the_order_of_anchors_is_told_by_the_graph_or_by_the_anchors(order, ratios):
    boxes = corners(ratios)
    centers = torch.cat([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1)
    for tensors in ({RATIOS: torch.tensor(ratios)}, {"boxes": boxes}, {"x": centers[None]}):
        assert second_square({"other": torch.ones(6)} | tensors) == order
    assert second_square({"w": torch.ones(3, 9, 4)}) is None


def test_weights_of_2017_are_put_in_todays_order():
    tensors, detector = mobilenet()
    tensors = {name: value for name, value in tensors.items() if "AnchorGenerator" not in name}
    found = [tf_detection.state(tensors | {RATIOS: torch.tensor(r)}, detector) for r in (LAST, SECOND)]
    for name, width in (("heads.0.boxes.1.weight", 4), ("heads.0.scores.5.bias", 91)):
        last, second = (state[name].unflatten(0, (6, width)) for state in found)
        assert torch.equal(second, last[[0, 2, 3, 4, 5, 1]])
    for name in ("heads.0.boxes.0.weight", "neck.steps.0.grow.conv.weight"):
        assert torch.equal(found[0][name], found[1][name])


def test_an_unknown_order_is_an_error_that_says_what_to_do(tmp_path):
    tensors, detector = mobilenet()
    checkpoint({n: t for n, t in tensors.items() if "Anchor" not in n}, path := tmp_path / "model.ckpt.index")
    with pytest.raises(WeightsError, match=r"\.meta .*\[weights-anchors\]"):
        files.load(detector, path)
    graph({RATIOS: torch.tensor(LAST)}, meta := tmp_path / "model.ckpt.meta")
    meta.write_bytes(field(2, meta.read_bytes()))  # as a MetaGraphDef
    files.load(detector, path)


def test_more_layers_than_a_network_has_are_refused():
    _, detector = mobilenet()
    with pytest.raises(WeightsError, match="it has 10,000 layers, allowed 8,192"):
        tf_detection.state({f"{ROOT}/{index}/weights": torch.ones(1) for index in range(10_000)}, detector)
