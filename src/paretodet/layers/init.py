"""Initialization of layers: functions on modules, and some of them as frozen data for specs."""

import math
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class TruncatedNormal:
    """`trunc_normal_` with standard deviation `std`: Huang et al.'s new layers."""

    std: float

    def __post_init__(self) -> None:
        _check_deviation(self.std)

    def __call__(self, module: nn.Module) -> None:
        trunc_normal_(module, self.std)


@dataclass(frozen=True, kw_only=True)
class Normal:
    """`normal_` with standard deviation `std`: Ren et al.'s, Detectron's and torchvision's proposal heads."""

    std: float

    def __post_init__(self) -> None:
        _check_deviation(self.std)

    def __call__(self, module: nn.Module) -> None:
        normal_(module, self.std)


@dataclass(frozen=True, kw_only=True)
class CaffeXavier:
    """`caffe_xavier_`: all new layers of Liu et al.'s SSD (section 3)."""

    def __call__(self, module: nn.Module) -> None:
        caffe_xavier_(module)


Init = TruncatedNormal | Normal | CaffeXavier


def trunc_normal_(module: nn.Module, std: float) -> None:
    """Weights from a normal truncated at two standard deviations, as in TensorFlow; biases zero."""
    for weight in _clear_biases(module):
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


def normal_(module: nn.Module, std: float) -> None:
    """Weights from a normal, biases zero: RetinaNet's subnets, py-faster-rcnn's and Detectron's heads."""
    for weight in _clear_biases(module):
        nn.init.normal_(weight, std=std)


def xavier_(module: nn.Module) -> None:
    """Uniform weights within sqrt(6 / (fan-in + fan-out)), biases zero: Huang et al.'s second-stage box heads."""
    for weight in _clear_biases(module):
        nn.init.xavier_uniform_(weight)


def caffe_xavier_(module: nn.Module) -> None:
    """Uniform weights within sqrt(3 / fan-in), biases zero: Glorot's rule as Caffe implements it; Liu et al.'s new
    layers, Detectron's FPN and the connected layers behind it.
    """
    for weight in _clear_biases(module):
        nn.init.kaiming_uniform_(weight, a=1)


def he_(module: nn.Module) -> None:
    """N(0, 2 / fan-in) weights, biases zero: darknet, Mask R-CNN's mask head, most backbones."""
    for weight in _clear_biases(module):
        nn.init.kaiming_normal_(weight, nonlinearity="relu")


def prior_bias(probability: float) -> float:
    """The bias with which a sigmoid is `probability` (focal loss, section 4.1).

    Raises ValueError outside 0..1.
    """
    if not 0 < probability < 1:
        raise ValueError(f"probability: got {probability}, allowed more than 0 and less than 1")
    return -math.log((1 - probability) / probability)


def _check_deviation(std: float) -> None:
    if not 0 < std < math.inf:
        raise ValueError(f"std: got {std}, allowed more than 0")


def _clear_biases(module: nn.Module) -> list[Tensor]:
    """The weights to be drawn. Those on the meta device have no values; drawing them makes torch import its compiler,
    which takes a second.
    """
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)]
    for layer in layers:
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return [layer.weight for layer in layers if not layer.weight.is_meta]
