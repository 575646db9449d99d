"""Gradient clipping, as data."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class NoClip:
    """No clipping."""

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        return None


@dataclass(frozen=True, kw_only=True)
class ClipEach:
    """The norm of each parameter's gradient is at most `norm`: slim's `clip_gradient_norms`, used by Huang et al."""

    norm: float

    def __post_init__(self) -> None:
        _check(self.norm)

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        for gradient in gradients:
            gradient.mul_(self.norm / gradient.norm().clamp(min=self.norm))


@dataclass(frozen=True, kw_only=True)
class ClipTotal:
    """The norm of all gradients together is at most `norm` (Pascanu et al. 2013, algorithm 1)."""

    norm: float

    def __post_init__(self) -> None:
        _check(self.norm)

    def __call__(self, gradients: Sequence[Tensor]) -> None:
        scale = self.norm / total_norm(gradients).clamp(min=self.norm)
        for gradient in gradients:
            gradient.mul_(scale)


Clip = NoClip | ClipEach | ClipTotal


def total_norm(gradients: Sequence[Tensor]) -> Tensor:
    """The Euclidean norm of all gradients together, a scalar."""
    return torch.nn.utils.get_total_norm(list(gradients))


def _check(norm: float) -> None:
    if not 0 < norm < float("inf"):
        raise ValueError(f"norm: got {norm}, allowed more than 0")
