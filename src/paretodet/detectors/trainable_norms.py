"""The same detector with every norm learned: what can be trained from random weights."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from paretodet.detectors.spec import DetectorSpec
from paretodet.layers.norms import BatchNorm, FrozenNorm, NoNorm

MOMENTUM = 0.1  # of batch norm's averages: TensorFlow's 3e-4 would outlast a short training


def trainable_norms(spec: DetectorSpec) -> DetectorSpec:
    """The spec with every norm learned, and batch norm where a backbone has none (VGG): trainable from random weights.

    Norms fold away, so the finished network costs what the spec's does.
    """
    bare = isinstance(getattr(spec.backbone, "norm", None), NoNorm)
    backbone = _learned(spec.backbone, bare)
    return replace(_learned(spec, False), backbone=backbone, neck=_learned(spec.neck, bare))


def _learned(part: Any, bare: bool) -> Any:
    """The part with its norms learned, at any depth; with `bare`, also where it has none."""
    if isinstance(part, FrozenNorm | BatchNorm):
        return BatchNorm(eps=max(part.eps, 1e-5), momentum=MOMENTUM, scale=part.scale)
    if bare and isinstance(part, NoNorm):
        return BatchNorm(momentum=MOMENTUM)
    if isinstance(part, tuple):
        return tuple(_learned(item, bare) for item in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    return replace(part, **{f.name: _learned(getattr(part, f.name), bare) for f in fields(part) if f.init})
