"""Writes `tests/backbones/golden/<name>.npz`: outputs of TF-slim and torchvision for random weights.

    python scripts/record_inception_golden.py NAME...  # of RECORDINGS; tensorflow 2.15, tf_slim, torchvision

The weights are too large to store: `random_weights.draw` makes them again. All three libraries have the same layers in
the same order. torchvision's average pooling includes padding and TF-slim's does not; here it is excluded in both.
"""

import importlib
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from paretodet.backbones.inception_v2 import InceptionV2
from paretodet.backbones.inception_v3 import InceptionV3
from paretodet.layers.norms import BatchNorm
from random_weights import calibrated, draw, uniform
from record_slim_golden import named

FOLDER = Path(__file__).resolve().parents[1] / "tests/backbones/golden"
SEED = 20151202
SIZE = (139, 171)  # height, width of the image: map sizes are both odd and even
KEPT = 4  # every fourth channel is in the file
V2 = InceptionV2(taps=("Mixed_4c", "Mixed_4e", "Mixed_5c"), norm=BatchNorm(eps=1e-3))
V3 = InceptionV3(taps=("Mixed_5d", "Mixed_6e", "Mixed_7c"), norm=BatchNorm(eps=1e-3))
Choice = InceptionV2 | InceptionV3


def input_image() -> Tensor:
    """[1, 3, H, W] in -1..1"""
    return uniform((1, 3, *SIZE), -1, 1, SEED)


def drawn(choice: Choice, gains: np.ndarray) -> Any:
    """This project's network with the recording's weights."""
    return draw(choice.build(), gains, SEED)


@torch.no_grad()
def torchvisions(choice: Choice, gains: np.ndarray, pixels: Tensor) -> list[np.ndarray]:
    """The recorded maps of torchvision's network."""
    from torchvision.models import inception

    net = draw(inception.inception_v3(aux_logits=False, transform_input=False, init_weights=False), gains, SEED)
    maps: dict[str, np.ndarray] = {}
    for name in choice.taps:
        net.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: maps.update({name: output.numpy()})
        )
    with mock.patch.object(inception.F, "avg_pool2d", partial(F.avg_pool2d, count_include_pad=False)):
        net(pixels)
    return [maps[name] for name in choice.taps]


def slims(choice: Choice, gains: np.ndarray, pixels: Tensor) -> list[np.ndarray]:
    """The recorded maps of TF-slim's network, with the norm settings of the released detectors."""
    tf, slim = _slim()
    module = {InceptionV2: "inception_v2", InceptionV3: "inception_v3"}[type(choice)]
    base = getattr(importlib.import_module(f"tf_slim.nets.{module}"), f"{module}_base")
    norm = {"is_training": False, "scale": True, "epsilon": 1e-3}
    with tf.Graph().as_default(), tf.Session() as session:
        layers = [slim.conv2d, slim.separable_conv2d]
        with slim.arg_scope(layers, normalizer_fn=slim.batch_norm, normalizer_params=norm):
            _, points = base(tf.constant(pixels.permute(0, 2, 3, 1).numpy()))
        variables = {variable.op.name: variable for variable in tf.global_variables()}
        for name, value in named(drawn(choice, gains), list(variables)):
            variables.pop(name).load(value, session)
        assert not variables, f"without a value: {list(variables)}"
        maps = session.run([points[name] for name in choice.taps])
    return [values.transpose(0, 3, 1, 2) for values in maps]


RECORDINGS: dict[str, tuple[Choice, Callable[[Choice, np.ndarray, Tensor], list[np.ndarray]]]] = {
    "inception_v2-slim": (V2, slims),
    "inception_v3-slim": (V3, slims),
    "inception_v3-torchvision": (V3, torchvisions),
}


def _slim() -> tuple[Any, Any]:
    """TensorFlow and tf_slim, which imports layers that Keras 2.15 has under another name."""
    for part in ("convolutional", "core", "normalization", "pooling"):
        module = importlib.import_module(f"keras.src.legacy_tf_layers.{part}")
        sys.modules[f"tf_keras.legacy_tf_layers.{part}"] = module
    return importlib.import_module("tensorflow.compat.v1"), importlib.import_module("tf_slim")


def record(name: str) -> None:
    choice, oracle = RECORDINGS[name]
    pixels, fresh = input_image(), choice.build()
    gains = calibrated(fresh, lambda: fresh.trunk(pixels), SEED)
    maps = dict(zip(choice.taps, (values[:, ::KEPT] for values in oracle(choice, gains, pixels)), strict=True))
    kept: dict[str, Any] = {"gains": gains, **maps}
    np.savez_compressed(FOLDER / f"{name}.npz", **kept)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in sys.argv[1:]:
        record(name)
