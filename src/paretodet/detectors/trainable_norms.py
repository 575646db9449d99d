"""A detector with trainable norms, which can be trained from random weights."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from paretodet.detectors.spec import DetectorSpec
from paretodet.layers.norms import BatchNorm, FrozenNorm, NoNorm

MOMENTUM = 0.1  # of batch norm: TensorFlow's 3e-4 is too slow for a short training


def trainable_norms(spec: DetectorSpec) -> DetectorSpec:
    """The spec with every norm trainable, and batch norm in backbones without norms (VGG).

    Norms are folded into convolutions for inference, so the cost of the network is that of the spec.
    """
    without_norm = isinstance(getattr(spec.backbone, "norm", None), NoNorm)
    backbone = _trainable(spec.backbone, without_norm)
    return replace(_trainable(spec, False), backbone=backbone, neck=_trainable(spec.neck, without_norm))


def _trainable(part: Any, add: bool) -> Any:
    """The part with trainable norms, at any depth; with `add`, also in place of no norm."""
    if isinstance(part, FrozenNorm | BatchNorm):
        return BatchNorm(eps=max(part.eps, 1e-5), momentum=MOMENTUM, scale=part.scale)
    if add and isinstance(part, NoNorm):
        return BatchNorm(momentum=MOMENTUM)
    if isinstance(part, tuple):
        return tuple(_trainable(item, add) for item in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    return replace(part, **{f.name: _trainable(getattr(part, f.name), add) for f in fields(part) if f.init})
