"""A detector of the same form with fewer channels: quick enough for tests, small enough for small machines."""

from dataclasses import fields, is_dataclass, replace
from typing import Any

from paretodet.detectors.spec import DetectorSpec

WIDTHS = ("channels", "squeeze", "depth", "depths", "width")  # what necks and heads call a number of channels
GRAIN = 8  # channels come in multiples, and no layer has fewer


def scale_width(spec: DetectorSpec, factor: float) -> DetectorSpec:
    """The same spec with every number of channels times `factor`: backbone, neck and heads; outputs stay as they are.

    Its weights are its own, so its name is too. Raises ValueError for a factor outside 0..1 or a backbone of fixed
    width.
    """
    if not 0 < factor <= 1:
        raise ValueError(f"factor: got {factor}, allowed more than 0 and up to 1")
    return replace(
        spec,
        name=f"{spec.name} at width {factor:g}",
        backbone=_thin_backbone(spec.backbone, factor),
        neck=_thin(spec.neck, factor),
        stages=tuple(replace(stage, head=_thin(stage.head, factor)) for stage in spec.stages),
        masks=spec.masks and replace(spec.masks, head=_thin(spec.masks.head, factor)),
    )


def _thin_backbone(backbone: Any, factor: float) -> Any:
    if not hasattr(backbone, "width"):
        raise ValueError(f"backbone: got {type(backbone).__name__}, which has no width to change")
    return replace(backbone, width=backbone.width * factor)


def _thin(part: Any, factor: float) -> Any:
    """A dataclass, or a tuple of them, with the fields named in `WIDTHS` scaled at any depth."""
    if isinstance(part, tuple):
        return tuple(_thin(item, factor) for item in part)
    if not is_dataclass(part) or isinstance(part, type):
        return part
    values = {field.name: getattr(part, field.name) for field in fields(part)}
    return replace(part, **{name: (_scaled if name in WIDTHS else _thin)(v, factor) for name, v in values.items()})


def _scaled(value: Any, factor: float) -> Any:
    if isinstance(value, tuple):
        return tuple(_scaled(item, factor) for item in value)
    return None if value is None else max(GRAIN, round(value * factor / GRAIN) * GRAIN)
