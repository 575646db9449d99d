"""Activations, as data."""

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True, kw_only=True)
class Relu:
    """max(x, 0)"""

    def build(self) -> nn.Module:
        return nn.ReLU(inplace=True)


@dataclass(frozen=True, kw_only=True)
class Relu6:
    """min(max(x, 0), 6): MobileNet, Huang's Inception V2 extra layers and region proposal network."""

    def build(self) -> nn.Module:
        return nn.ReLU6(inplace=True)


@dataclass(frozen=True, kw_only=True)
class Leaky:
    """x, or slope * x for negative x: darknet."""

    slope: float = 0.1

    def build(self) -> nn.Module:
        return nn.LeakyReLU(self.slope, inplace=True)


@dataclass(frozen=True, kw_only=True)
class NoActivation:
    """No activation."""

    def build(self) -> nn.Module:
        return nn.Identity()


Activation = Relu | Relu6 | Leaky | NoActivation
