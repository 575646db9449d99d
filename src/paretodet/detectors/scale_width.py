"""A detector with fewer channels in every layer, for tests and for small machines."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from paretodet.detectors.spec import DetectorSpec
from paretodet.errors import InputError

WIDTHS = ("channels", "squeeze", "depth", "depths", "width")  # fields of necks and heads that are numbers of channels
MULTIPLE = 8  # scaled channels are multiples of it, and at least it


def scale_width(spec: DetectorSpec, factor: float) -> DetectorSpec:
    """The spec with the channels of backbone, neck and heads multiplied by `factor`; outputs keep their size.

    It has another name, as other weights do not fit it. Raises ValueError for a factor outside 0..1, or a backbone of
    fixed width.
    """
    if not 0 < factor <= 1:
        raise InputError(f"factor: got {factor}, allowed more than 0 and up to 1", "option-range")
    return replace(
        spec,
        name=f"{spec.name} at width {factor:g}",
        backbone=_scale_backbone(spec.backbone, factor),
        neck=_scale_fields(spec.neck, factor),
        stages=tuple(replace(stage, head=_scale_fields(stage.head, factor)) for stage in spec.stages),
        masks=spec.masks and replace(spec.masks, head=_scale_fields(spec.masks.head, factor)),
    )


def _scale_backbone(backbone: Any, factor: float) -> Any:
    if not hasattr(backbone, "width"):
        raise InputError(
            f"backbone: got {type(backbone).__name__}, which has a fixed width; use width 1", "option-unsupported"
        )
    return replace(backbone, width=backbone.width * factor)


def _scale_fields(part: Any, factor: float) -> Any:
    """A dataclass, or a tuple of them, with the fields in `WIDTHS` scaled at any depth."""
    if isinstance(part, tuple):
        return tuple(_scale_fields(item, factor) for item in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return replace(
        part, **{name: (_scale_channels if name in WIDTHS else _scale_fields)(v, factor) for name, v in values.items()}
    )


def _scale_channels(value: Any, factor: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_scale_channels(item, factor) for item in value)
    return None if value is None else max(MULTIPLE, round(value * factor / MULTIPLE) * MULTIPLE)
