"""Configurations of detectors from the transformers library in files, with what their image processors state.

Source: `AutoModelForObjectDetection` of transformers 5 and the image processors of its models.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from paretodet.errors import InputError, words
from paretodet.reading import read_bytes
from paretodet.sources.hub_models import IMAGENET_MEAN, IMAGENET_STD, HubRule
from paretodet.transforms.resize_policy import PaddedSides, ResizePolicy, ShortSide, Stretch

CONFIG, PROCESSOR = "config.json", "preprocessor_config.json"
MAX_BYTES = 2**24
TASK = "ForObjectDetection"
SOFTMAX, QUERIES = HubRule(softmax=True, masked=True), HubRule()
BEST = HubRule(top=100, masked=True)
SHORT, SQUARE = {"shortest_edge": 800, "longest_edge": 1333}, {"height": 640, "width": 640}
MOST = {"max_height": 480, "max_width": 480}
KNOWN = "known are height and width, shortest_edge and longest_edge, and max_height and max_width with a pad_size"
TIMM_BACKBONE = "timm_backbone"
TIMM = (
    "detr",
    "conditional_detr",
    "deformable_detr",
    "dab-detr",
    "table-transformer",
)  # take backbones of timm by name
RULES = {  # model_type: how the library's image processor selects
    "detr": SOFTMAX,
    "table-transformer": SOFTMAX,
    "yolos": HubRule(softmax=True),
    "conditional_detr": BEST,
    "dab-detr": BEST,
    "deformable_detr": BEST,
    "lw_detr": BEST,
    "rf_detr": HubRule(masked=True),
    "rt_detr": QUERIES,
    "rt_detr_v2": QUERIES,
    "d_fine": QUERIES,
    "deimv2": QUERIES,
}
Pixels = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class HubConfig:
    """A configuration, and what the image processor beside it states."""

    path: Path
    data: Mapping[str, Any]
    rule: HubRule
    mean: Pixels
    std: Pixels
    processor: Mapping[str, Any]  # the image processor beside it

    @cached_property
    def fit(self) -> ResizePolicy:
        """How the image processor fits images. Raises InputError naming its file if it is not known."""
        try:
            return _fit(self.processor)
        except (TypeError, ValueError, LookupError) as error:  # InputError too
            why = f"{self.path.with_name(PROCESSOR)}: {words(error)}"
            raise InputError(f"{why}; --size with --fit stretch or letterbox replaces it", "cfg-unsupported") from None

    @property
    def needs_timm(self) -> bool:
        """Whether its backbone is one of timm's."""
        backbone = self.data.get("backbone_config") or {}
        kind = backbone.get("model_type") if isinstance(backbone, dict) else None
        return kind == TIMM_BACKBONE if backbone else self.data["model_type"] in TIMM


def read_config(path: Path) -> HubConfig:
    """The configuration in a file. Raises InputError naming the file, and what it has that is not known."""
    data = _read(path)
    kind, tasks = data.get("model_type"), data.get("architectures") or [TASK]
    if kind not in RULES or not any(str(task).endswith(TASK) for task in tasks):
        what = f"{kind!r} ({', '.join(map(str, tasks))})"
        raise InputError(f"{path}: is of {what:.100}; known detectors are {', '.join(RULES)}", "cfg-unsupported")
    named = data.get("backbone") and not data.get("backbone_config")
    if named and (kind not in TIMM or data.get("use_timm_backbone") is False):
        message = f"backbone {data['backbone']!r:.80} is only named, and its configuration would be downloaded"
        raise InputError(f"{path}: {message}; save it in backbone_config", "cfg-unsupported")
    beside = path.with_name(PROCESSOR)
    processor = _read(beside) if beside.is_file() else _usual(RULES[kind])
    try:
        mean, std = _pixels(processor)
    except (TypeError, ValueError) as error:  # InputError too
        raise InputError(f"{beside}: {words(error)}", "cfg-unsupported") from None
    return HubConfig(path=path, data=data, rule=RULES[kind], mean=mean, std=std, processor=processor)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(read_bytes(path, MAX_BYTES))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file", "file-missing") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not JSON ({words(error)})", "json-invalid") from None
    if not isinstance(found, dict):
        raise InputError(f"{path}: not a configuration, which is a JSON object", "cfg-malformed")
    return found


def _usual(rule: HubRule) -> dict[str, Any]:
    """What the library's image processor does by default."""
    return {"do_normalize": False, "size": SQUARE} if rule is QUERIES else {"size": SHORT}


def _pixels(processor: Mapping[str, Any]) -> tuple[Pixels, Pixels]:
    """Mean and deviation of pixels in 0..1."""
    if processor.get("do_rescale") is False:
        raise InputError("do_rescale: got false, true is needed", "cfg-unsupported")
    if processor.get("do_normalize") is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    red, green, blue = (float(value) for value in processor.get("image_mean") or IMAGENET_MEAN)
    scales = tuple(float(value) for value in processor.get("image_std") or IMAGENET_STD)
    if len(scales) != 3 or not all(scales):
        raise InputError(f"image_std: got {scales}, expected three numbers above 0", "cfg-unsupported")
    return (red, green, blue), (scales[0], scales[1], scales[2])


def _fit(processor: Mapping[str, Any]) -> ResizePolicy:
    """Old image processors state the shorter side as a number."""
    size, longest = processor.get("size"), processor.get("max_size")
    size = {"shortest_edge": size, "longest_edge": longest or SHORT["longest_edge"]} if isinstance(size, int) else size
    if processor.get("do_resize") is False or not isinstance(size, dict):
        raise InputError(f"size: got {size}, do_resize: {processor.get('do_resize')}; {KNOWN}", "cfg-unsupported")
    padded = processor.get("pad_size") if processor.get("do_pad") is not False else None
    if MOST.keys() <= size.keys() and padded:
        canvas, most = _sides(padded, SQUARE), _sides(size, MOST)
        return PaddedSides(height=canvas[0], width=canvas[1], max_height=most[0], max_width=most[1])
    if SQUARE.keys() <= size.keys() and (not padded or _sides(padded, SQUARE) == _sides(size, SQUARE)):
        height, width = _sides(size, SQUARE)
        return Stretch(height=height, width=width)
    if SHORT.keys() <= size.keys() and not padded:
        short, long = _sides(size, SHORT)
        return ShortSide(short=short, long=long, whole="transformers")
    raise InputError(f"size: got {size}, pad_size: {padded}; {KNOWN}", "cfg-unsupported")


def _sides(stated: Mapping[str, Any], names: Iterable[str]) -> tuple[int, int]:
    first, second = (int(stated[name]) for name in names)
    return first, second
