"""Writes `tests/backbones/golden/slim-<case>.npz`: outputs of TF-slim's networks for random weights.

    python scripts/record_slim_golden.py [CASE ...]    # names of `CASES` [default: all]

Recorded with tensorflow-cpu 2.15.1, tf_slim 1.1.0 and tf-models-research-object-detection 2.8.0.post1, whose
`object_detection` and slim `nets` must be importable; every file has the versions. This TensorFlow imports
`legacy_tf_layers` from `tf_keras`, but tf_keras 2.15.1 has it in `tf_keras/src`: make a link. For region detectors, the
released feature extractors are recorded, trunk and tail. The weights are too large to store: `random_weights.draw`
makes them again. The networks here and slim's have the same layers in the same order.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from paretodet.backbones.inception_resnet_v2 import InceptionResNetV2
from paretodet.backbones.inception_v2 import InceptionV2
from paretodet.backbones.mobilenet_v1 import MobileNetV1
from paretodet.backbones.resnet import ResNet
from paretodet.layers.norms import BatchNorm
from random_weights import calibrated, draw, uniform, values

FOLDER = Path(__file__).resolve().parents[1] / "tests/backbones/golden"
PACKAGES = ("tensorflow-cpu", "tf_slim", "tf-models-research-object-detection")
SEED = 20161130
SIZE = (107, 139)  # height, width of the image: map sizes are both odd and even
KEPT = 8  # every eighth channel is in the file
Points = Callable[[Any, Any], list[Any]]  # TF's image, and crops or None -> the tapped maps, and the tail's


@dataclass(frozen=True, kw_only=True)
class Case:
    """A backbone of this project and TF's equivalent."""

    choice: Any
    points: Points
    crop: int = 0  # side of the tail's input; 0 without a tail
    unused: str = "-"  # part of the names of variables that TF creates but does not use


def extractor(module: str, name: str, stride: int) -> Points:
    """The trunk and the tail of a released feature extractor."""

    def points(pixels: Any, crops: Any) -> list[Any]:
        import importlib

        made = getattr(importlib.import_module(f"object_detection.models.{module}_feature_extractor"), name)
        net = made(is_training=False, first_stage_features_stride=stride)
        first, _ = net.extract_proposal_features(pixels, scope="first")
        return [first, net.extract_box_classifier_features(crops, scope="second")]

    return points


def inception_resnet_v2(*names: str, aligned: bool) -> Points:
    def points(pixels: Any, _: Any) -> list[Any]:
        import tf_slim as slim
        from nets import inception_resnet_v2 as net

        with slim.arg_scope(net.inception_resnet_v2_arg_scope()), slim.arg_scope([slim.batch_norm], is_training=False):
            _, endpoints = net.inception_resnet_v2_base(pixels, align_feature_maps=aligned)
        return [endpoints[name] for name in names]

    return points


def mobilenet_v1(*names: str, width: float) -> Points:
    def points(pixels: Any, _: Any) -> list[Any]:
        import tf_slim as slim
        from nets import mobilenet_v1 as net

        with slim.arg_scope(net.mobilenet_v1_arg_scope(is_training=False)):
            _, endpoints = net.mobilenet_v1_base(pixels, depth_multiplier=width)
        return [endpoints[name] for name in names]

    return points


def _resnet(stride: int) -> Case:
    norm = BatchNorm(eps=1e-5)
    return Case(
        choice=ResNet(depth=50, layout="slim", taps=(4,), tail=True, output_stride=stride, norm=norm),
        points=extractor("faster_rcnn_resnet_v1", "FasterRCNNResnet50FeatureExtractor", stride),
        crop=7,
        unused="first/resnet_v1_50/block4",
    )


def _region_inception_resnet(stride: int) -> Case:
    return Case(
        choice=InceptionResNetV2(taps=("Mixed_6a",), tail=True, output_stride=stride),
        points=extractor("faster_rcnn_inception_resnet_v2", "FasterRCNNInceptionResnetV2FeatureExtractor", stride),
        crop=17,
    )


LAST = ("PreAuxLogits", "Conv2d_7b_1x1")
CASES = {
    "mobilenet_v1": Case(
        choice=MobileNetV1(taps=(11, 13), width=0.25),
        points=mobilenet_v1("Conv2d_11_pointwise", "Conv2d_13_pointwise", width=0.25),
    ),
    "mobilenet_v1-region": Case(
        choice=MobileNetV1(taps=(11,), tail=True),
        points=extractor("faster_rcnn_mobilenet_v1", "FasterRCNNMobilenetV1FeatureExtractor", 16),
        crop=14,
    ),
    "inception_v2-region": Case(
        choice=InceptionV2(taps=("Mixed_4e",), tail=True),
        points=extractor("faster_rcnn_inception_v2", "FasterRCNNInceptionV2FeatureExtractor", 16),
        crop=14,
    ),
    "resnet50-s16": _resnet(16),
    "resnet50-s8": _resnet(8),
    "inception_resnet_v2-s16": _region_inception_resnet(16),
    "inception_resnet_v2-s8": _region_inception_resnet(8),
    "inception_resnet_v2-same": Case(choice=InceptionResNetV2(), points=inception_resnet_v2(*LAST, aligned=True)),
    "inception_resnet_v2-valid": Case(
        choice=InceptionResNetV2(padding="valid"), points=inception_resnet_v2(*LAST, aligned=False)
    ),
}


def input_image() -> Tensor:
    """[1, 3, H, W] in -1..1"""
    return uniform((1, 3, *SIZE), -1, 1, SEED)


def crops(case: Case, channels: int) -> Tensor:
    """[2, C, n, n] in 0..2"""
    return uniform((2, channels, case.crop, case.crop), 0, 2, SEED + 1)


@torch.no_grad()
def ours(case: Case, net: Any) -> list[Tensor]:
    """The recorded maps of this project's network, and the tail's output for the crops."""
    tail = [net.tail(crops(case, net.info.channels[-1]))] if case.crop else []
    return [*net.trunk(input_image()), *tail]


def slims(case: Case, net: Any) -> list[np.ndarray]:
    """The same of TF's network."""
    import tensorflow.compat.v1 as tf

    fed = crops(case, net.info.channels[-1]) if case.crop else None
    with tf.Graph().as_default(), tf.Session() as session:
        points = case.points(*(tf.constant(_last(x)) if x is not None else None for x in (input_image(), fed)))
        variables = {var.op.name: var for var in tf.global_variables() if case.unused not in var.op.name}
        for name, value in named(net, list(variables)):
            variables.pop(name).load(value, session)
        assert not variables, f"without a value: {list(variables)}"
        return [values.transpose(0, 3, 1, 2) for values in session.run(points)]


def named(net: nn.Module, names: list[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Slim's variable names, in the order of their creation, with the values of `net`."""
    convs = [part for part in net.modules() if isinstance(part, nn.Conv2d)]
    norms = [part for part in net.modules() if isinstance(part, nn.BatchNorm2d)]
    kernels = [name for name in names if name.endswith("weights")]
    biases = [name for name in names if name.endswith("biases")]
    scopes = list(dict.fromkeys(name.rpartition("/")[0] for name in names if "/BatchNorm/" in name))
    for name, conv in zip(kernels, convs, strict=True):
        yield name, kernel(conv, name)
    for name, bias in zip(biases, (conv.bias for conv in convs if conv.bias is not None), strict=True):
        yield name, bias.detach().numpy()
    for scope, norm in zip(scopes, norms, strict=True):
        for leaf, value in zip(("gamma", "beta", "moving_mean", "moving_variance"), values(norm), strict=True):
            if value is not None:
                yield f"{scope}/{leaf}", value.detach().numpy()


def kernel(conv: nn.Conv2d, name: str) -> np.ndarray:
    """[C', C, h, w] as [h, w, C, C'], or for a depthwise layer as [h, w, C, multiplier]."""
    weight = conv.weight.detach().numpy()
    if name.endswith("depthwise_weights"):
        weight = weight.reshape(conv.in_channels, -1, *weight.shape[2:]).swapaxes(0, 1)
    return weight.transpose(2, 3, 1, 0)


def _last(x: Tensor) -> np.ndarray:
    return x.permute(0, 2, 3, 1).numpy()


def record(name: str) -> None:
    case = CASES[name]
    net = case.choice.build()
    gains = calibrated(net, lambda: ours(case, net), SEED)
    net = draw(case.choice.build(), gains, SEED)
    kept: dict[str, Any] = {f"map{i}": values[:, ::KEPT] for i, values in enumerate(slims(case, net))}
    worst = max(
        float(np.abs(mine.numpy()[:, ::KEPT] - theirs).max() / np.abs(theirs).max())
        for mine, theirs in zip(ours(case, net), kept.values(), strict=True)
    )
    print(f"{name}: {worst:.1e} of the largest magnitude apart")
    made_with = np.array([f"{package} {version(package)}" for package in PACKAGES])
    np.savez_compressed(FOLDER / f"slim-{name}.npz", gains=gains, made_with=made_with, **kept)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for case in sys.argv[1:] or CASES:
        record(case)
