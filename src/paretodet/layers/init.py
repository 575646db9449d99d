"""How new layers start."""

import math

from torch import Tensor, nn


def trunc_normal_(module: nn.Module, std: float) -> None:
    """Weights from a normal cut at two deviations, as TensorFlow cuts it; biases zero."""
    for weight in _clear_biases(module):
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def normal_(module: nn.Module, std: float) -> None:
    """Weights from a normal, biases zero: Detectron's heads."""
    for weight in _clear_biases(module):
        nn.init.normal_(weight, std=std)


def xavier_(module: nn.Module) -> None:
    """Glorot-uniform weights, biases zero: SSD's extra layers, Huang's second-stage heads."""
    for weight in _clear_biases(module):
        nn.init.xavier_uniform_(weight)


def caffe_xavier_(module: nn.Module) -> None:
    """Uniform weights within sqrt(3 / fan-in), biases zero: Caffe's and Caffe2's reading of Glorot; Detectron's FPN."""
    for weight in _clear_biases(module):
        nn.init.kaiming_uniform_(weight, a=1)


def he_(module: nn.Module) -> None:
    """N(0, 2 / fan-in) weights, biases zero: darknet, and Mask R-CNN's mask head."""
    for weight in _clear_biases(module):
        nn.init.kaiming_normal_(weight, nonlinearity="relu")


def prior_bias(probability: float) -> float:
    """The bias at which a sigmoid gives `probability` (focal loss, section 4.1).

    Raises ValueError outside 0..1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability: got {probability}, must lie between 0 and 1")
    return -math.log((1 - probability) / probability)


def _clear_biases(module: nn.Module) -> list[Tensor]:
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    for layer in layers:
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return [layer.weight for layer in layers]
