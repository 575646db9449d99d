"""Writes `tests/weights/golden/tf-<case>.npz`: variables and raw outputs of TensorFlow's Object Detection API.

    python scripts/record_tf_detection_golden.py [CASE ...]    # names of `CASES` [default: all]

Recorded with tensorflow-cpu 2.21.0, tf_slim 1.1.0, tf_keras 2.21.0 and tf-models-research-object-detection
2.8.0.post1, whose `protos` were generated again for protobuf 7 (unchanged, they load with the variable
PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python). Every file has the names and shapes of all variables;
their values are drawn from the names (`drawn`), so that they need not be stored. Modules that the API imports and these
networks do not need are replaced by stubs.
"""

import builtins
import importlib
import importlib.abc
import importlib.machinery
import os
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

FOLDER = Path(__file__).resolve().parents[1] / "tests/weights/golden"
SIZE = (107, 139)  # of the image
CROPS = 2
KEPT = 5  # every fifth class is in the file
STUBS = (
    "cv2", "lvis", "matplotlib", "official", "pandas", "PIL", "pycocotools", "sentencepiece", "seqeval",
    "tensorflow_addons", "tensorflow_io", "tensorflow_model_optimization",
)  # fmt: skip
Array = np.ndarray

SSD = """ssd {{
  num_classes: {classes}
  image_resizer {{ fixed_shape_resizer {{ height: 300 width: 300 }} }}
  box_coder {{ faster_rcnn_box_coder {{ y_scale: 10 x_scale: 10 height_scale: 5 width_scale: 5 }} }}
  matcher {{ argmax_matcher {{ }} }}
  similarity_calculator {{ iou_similarity {{ }} }}
  anchor_generator {{ ssd_anchor_generator {{ num_layers: 6 min_scale: 0.2 max_scale: 0.95
    aspect_ratios: 1.0 aspect_ratios: 2.0 aspect_ratios: 0.5 aspect_ratios: 3.0 aspect_ratios: 0.3333
    reduce_boxes_in_lowest_layer: true }} }}
  box_predictor {{ convolutional_box_predictor {{ kernel_size: {kernel} {separable} {hyper} }} }}
  feature_extractor {{ type: '{extractor}' depth_multiplier: {width} min_depth: 8 {separable} {hyper}
    override_base_feature_extractor_hyperparams: {override} }}
  loss {{ classification_loss {{ weighted_sigmoid {{ }} }} localization_loss {{ weighted_smooth_l1 {{ }} }} }}
  post_processing {{ score_converter: SIGMOID batch_non_max_suppression {{ }} }}
}}"""
HYPER = """conv_hyperparams { activation: RELU_6 regularizer { l2_regularizer { } }
  initializer { truncated_normal_initializer { } }
  batch_norm { scale: true center: true epsilon: 0.001 decay: 0.9997 train: true } }"""
REGION = """faster_rcnn {{
  number_of_stages: {stages}
  num_classes: {classes}
  image_resizer {{ keep_aspect_ratio_resizer {{ min_dimension: 600 max_dimension: 1024 }} }}
  feature_extractor {{ type: '{extractor}' first_stage_features_stride: {stride} }}
  first_stage_anchor_generator {{ grid_anchor_generator {{ scales: 0.25 scales: 0.5 scales: 1.0 scales: 2.0
    aspect_ratios: 0.5 aspect_ratios: 1.0 aspect_ratios: 2.0 height_stride: {stride} width_stride: {stride} }} }}
  first_stage_atrous_rate: {atrous}
  first_stage_box_predictor_conv_hyperparams {{ op: CONV {plain} }}
  initial_crop_size: {crop} maxpool_kernel_size: {pool} maxpool_stride: {pool}
  second_stage_box_predictor {{ {predictor} }}
  second_stage_post_processing {{ score_converter: SOFTMAX batch_non_max_suppression {{ }} }}
}}"""
PLAIN = "regularizer { l2_regularizer { } } initializer { truncated_normal_initializer { } }"
MASKS = """mask_rcnn_box_predictor {{ fc_hyperparams {{ op: FC {plain} }} conv_hyperparams {{ op: CONV {plain} }}
  predict_instance_masks: true mask_height: {side} mask_width: {side} mask_prediction_conv_depth: 0
  mask_prediction_num_conv_layers: {convs} }}"""
BOX = f"mask_rcnn_box_predictor {{ fc_hyperparams {{ op: FC {PLAIN} }} }}"
SPATIAL = "num_spatial_bins_height: 3 num_spatial_bins_width: 3 crop_height: 18 crop_width: 18"  # of the zoo
RFCN = f"rfcn_box_predictor {{ conv_hyperparams {{ op: CONV {PLAIN} }} {SPATIAL} }}"


@dataclass(frozen=True, kw_only=True)
class TfCase:
    """A network of the API, and its name and form here."""

    name: str
    config: str
    width: float = 1.0
    classes: int = 5
    crop: int = 0  # side of the crops of a region head, channels below
    channels: int = 0
    released: bool = False  # the spec here is that of `as_released`

    @property
    def masked(self) -> bool:
        return "predict_instance_masks" in self.config


def _ssd(
    extractor: str, *, kernel: int, classes: int, width: float = 1.0, override: bool = False, separable: bool = False
) -> str:
    return SSD.format(
        extractor=extractor, kernel=kernel, classes=classes, width=width, hyper=HYPER, override=str(override).lower(),
        separable="use_depthwise: true" if separable else "",
    )  # fmt: skip


def _region(extractor: str, *, predictor: str = BOX, stride: int = 16, crop: int = 14, classes: int = 5) -> str:
    pool, atrous = 2 if crop == 14 else 1, 2 if stride == 8 else 1
    return REGION.format(
        extractor=extractor, predictor=predictor, stride=stride, crop=crop, pool=pool, atrous=atrous, plain=PLAIN,
        classes=classes, stages=3 if "predict_instance_masks" in predictor else 2,
    )  # fmt: skip


def _masks(*, side: int, convs: int) -> str:
    return MASKS.format(plain=PLAIN, side=side, convs=convs)


CASES = {
    "ssd_mobilenet_v1": TfCase(
        name="ssd-mobilenet_v1-300", width=0.5, classes=90,
        config=_ssd("ssd_mobilenet_v1", kernel=1, classes=90, width=0.5),
    ),
    "ssd_inception_v2": TfCase(
        name="ssd-inception_v2-300", config=_ssd("ssd_inception_v2", kernel=3, classes=5, override=True)
    ),
    "ssdlite_mobilenet_v2": TfCase(
        name="ssdlite-mobilenet_v2-300", width=0.5,
        config=_ssd("ssd_mobilenet_v2", kernel=3, classes=5, width=0.5, separable=True),
    ),
    "faster_rcnn_inception_v2": TfCase(
        name="faster_rcnn-inception_v2-600-s16-p300", config=_region("faster_rcnn_inception_v2"), crop=7, channels=576
    ),
    "faster_rcnn_resnet101": TfCase(
        name="faster_rcnn-resnet101-600-s16-p300", classes=90, config=_region("faster_rcnn_resnet101", classes=90),
        crop=7, channels=1024,
    ),
    "faster_rcnn_inception_resnet_v2": TfCase(
        name="faster_rcnn-inception_resnet_v2-600-s8-p300",
        config=_region("faster_rcnn_inception_resnet_v2", stride=8, crop=17), crop=17, channels=1088,
    ),
    "faster_rcnn_resnet50": TfCase(
        name="faster_rcnn-resnet50-600-s16-p300", config=_region("faster_rcnn_resnet50"), crop=7, channels=1024
    ),
    "mask_rcnn_inception_v2": TfCase(
        name="mask_rcnn_zoo-inception_v2-800x1365-s16", crop=7, channels=576,
        config=_region("faster_rcnn_inception_v2", predictor=_masks(side=15, convs=2)),
    ),
    "mask_rcnn_resnet50": TfCase(
        name="mask_rcnn_zoo-resnet50-800x1365-s8", classes=90, crop=7, channels=1024,
        config=_region("faster_rcnn_resnet50", predictor=_masks(side=33, convs=4), stride=8, classes=90),
    ),
    "rfcn_resnet101": TfCase(
        name="rfcn-resnet101-600-s16-p300", config=_region("faster_rcnn_resnet101", predictor=RFCN), released=True
    ),
}  # fmt: skip
CLASSIFIERS = {  # of slim: the module, its argument scope, the last map, and the side of the image
    "mobilenet_v1": ("mobilenet_v1", "mobilenet_v1_arg_scope", "Conv2d_13_pointwise", 224),
    "vgg_16": ("vgg", "vgg_arg_scope", "vgg_16/conv5/conv5_3", 224),
    "inception_v2": ("inception", "inception_v2_arg_scope", "Mixed_5c", 224),
    "inception_v3": ("inception", "inception_v3_arg_scope", "Mixed_7c", 107),
    "inception_resnet_v2": ("inception", "inception_resnet_v2_arg_scope", "Conv2d_7b_1x1", 107),
    "resnet_v1_101": ("resnet_v1", "resnet_arg_scope", "resnet_v1_101/block4", 107),
}


def drawn(name: str, shape: tuple[int, ...]) -> Array:
    """The value of a variable: float32, from its name; every map has about unit scale."""
    leaf = name.rpartition("/")[2]
    reach = (6 / max(1, prod(shape[:2] if leaf == "depthwise_weights" else shape[:-1]))) ** 0.5
    ranges = {"gamma": (0.5, 1.5), "moving_variance": (0.5, 1.5)}
    low, high = (-reach, reach) if leaf.endswith("weights") else ranges.get(leaf, (-0.5, 0.5))
    return uniform(shape, low, high, zlib.crc32(name.encode()))


def uniform(shape: tuple[int, ...], low: float, high: float, seed: int) -> Array:
    values: Array = np.random.default_rng(seed).random(shape, np.float32)
    return values * np.float32(high - low) + np.float32(low)


def image() -> Array:
    """[1, H, W, 3] in -1..1"""
    return uniform((1, *SIZE, 3), -1, 1, 1)


def crops(case: TfCase) -> Array:
    """[CROPS, n, n, C] in 0..2"""
    return uniform((CROPS, case.crop, case.crop, case.channels), 0, 2, 2)


def regions() -> Array:
    """[1, 6, 4] y, x, y, x in 0..1"""
    corner, side = uniform((1, 6, 2), 0.0, 0.5, 3), uniform((1, 6, 2), 0.1, 0.5, 4)
    return np.concatenate([corner, corner + side], -1)


def ssd_outputs(model: Any, case: TfCase, tf: Any) -> dict[str, Any]:
    found = model.predict(tf.constant(image()), tf.constant([[*SIZE, 3]]))
    return {
        "codes0": tf.reshape(found["box_encodings"], [1, -1, 4]),
        "logits0": found["class_predictions_with_background"][..., ::KEPT],
    }


def region_outputs(model: Any, case: TfCase, tf: Any) -> dict[str, Any]:
    pixels = tf.placeholder_with_default(image(), [1, None, None, 3])  # TF's crops differ where sides are known
    first = model._predict_first_stage(pixels)
    result = {
        "codes0": first["rpn_box_encodings"],
        "logits0": first["rpn_objectness_predictions_with_background"],
    }
    scopes = (model.second_stage_feature_extractor_scope, model.second_stage_box_predictor_scope)
    if case.crop:
        maps = model._feature_extractor.extract_box_classifier_features(tf.constant(crops(case)), scope=scopes[0])
        predictor = model._mask_rcnn_box_predictor
        head = predictor.predict([maps], [1], scope=scopes[1], prediction_stage=2)
        if case.masked:
            third = predictor.predict([maps], [1], scope=scopes[1], prediction_stage=3)
            result["masks"] = tf.squeeze(third["mask_predictions"], 1)[:, ::KEPT]
    else:
        (shared,) = first["rpn_features_to_crop"]
        maps = model._feature_extractor.extract_box_classifier_features(shared, scope=scopes[0])
        boxes = tf.constant(regions())
        head = model._rfcn_box_predictor.predict([maps], [1], scope=scopes[1], proposal_boxes=boxes)
    codes, logits = head["box_encodings"], head["class_predictions_with_background"]
    codes, logits = (part[0] if isinstance(part, list) else part for part in (codes, logits))
    return result | {"codes1": tf.squeeze(codes)[:, ::KEPT], "logits1": tf.squeeze(logits)[:, ::KEPT]}


class _Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        stubbed = name.partition(".")[0] in STUBS or f"{name}.".startswith("tensorflow.contrib.")
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if stubbed else None

    def create_module(self, spec: Any) -> Any:
        module = mock.MagicMock()
        module.__path__, module.__spec__, module.__name__ = [], spec, spec.name
        return module

    def exec_module(self, module: Any) -> None:
        pass


def tensorflow() -> Any:
    """TensorFlow 1's interface, with the layers of Keras 2 that tf_slim needs."""
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    tf = importlib.import_module("tensorflow.compat.v1")
    tf.disable_v2_behavior()
    for part in ("base", "convolutional", "core", "normalization", "pooling"):
        module = importlib.import_module(f"tf_keras.src.legacy_tf_layers.{part}")
        sys.modules[f"tf_keras.legacy_tf_layers.{part}"] = module
    for alias in ("bool", "float", "int"):  # which the API uses and numpy 2 lacks
        vars(np).setdefault(alias, getattr(builtins, alias))
    sys.meta_path.insert(0, _Stubs())
    package = importlib.util.find_spec("object_detection")  # type: ignore[attr-defined]
    sys.path.append(package.submodule_search_locations[0])  # slim's `nets` are inside
    return tf


def _run(tf: Any, build: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The outputs of a graph whose variables are drawn, and the names and shapes of these."""
    with tf.Graph().as_default() as graph, tf.Session() as session:
        wanted = build()
        variables = [variable for variable in tf.global_variables() if "global_step" not in variable.op.name]
        feed = {each.initializer.inputs[1]: drawn(each.op.name, tuple(each.shape.as_list())) for each in variables}
        session.run([variable.initializer for variable in variables], feed)  # one run: each one plans the whole graph
        found = {name: np.asarray(value) for name, value in session.run(wanted).items()}
        shapes = [",".join(map(str, variable.shape.as_list())) for variable in variables]
        anchors = [node for node in graph.as_graph_def().node if "AnchorGenerator" in node.name and node.op == "Const"]
        values = {node.name: tf.make_ndarray(node.attr["value"].tensor) for node in anchors}
    constants = {f"constant:{name}": value for name, value in values.items() if value.shape == (6,)}
    return found | constants | {"names": [variable.op.name for variable in variables], "shapes": shapes}


def record(tf: Any, name: str) -> None:
    if name in CLASSIFIERS:
        kept = _run(tf, lambda: classifier(tf, name))
    else:
        kept = _run(tf, lambda: detector(tf, CASES[name]))
    print(name, {key: value.shape for key, value in kept.items() if isinstance(value, np.ndarray)}, flush=True)
    np.savez_compressed(FOLDER / f"tf-{name}.npz", **kept)


def detector(tf: Any, case: TfCase) -> dict[str, Any]:
    from google.protobuf import text_format
    from object_detection.builders import model_builder
    from object_detection.protos import model_pb2

    model = model_builder.build(text_format.Parse(case.config, model_pb2.DetectionModel()), is_training=False)
    return (ssd_outputs if case.name.startswith("ssd") else region_outputs)(model, case, tf)


def classifier(tf: Any, name: str) -> dict[str, Any]:
    """The last map of a classifier of slim, every eighth channel."""
    import tf_slim as slim

    module, scope, point, side = CLASSIFIERS[name]
    nets = importlib.import_module(f"nets.{module}")
    classes = 1000 if name in ("vgg_16", "resnet_v1_101") else 1001
    with slim.arg_scope(getattr(nets, scope)()):
        _, points = getattr(nets, name)(tf.constant(classified(side)), classes, is_training=False)
    return {"map": points[point][..., ::8]}


def classified(side: int) -> Array:
    """[1, side, side, 3] in -1..1"""
    return uniform((1, side, side, 3), -1, 1, 1)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    library = tensorflow()
    for case_name in sys.argv[1:] or [*CASES, *CLASSIFIERS]:
        record(library, case_name)
