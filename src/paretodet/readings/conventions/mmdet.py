"""Heads of MMDetection without its post-processing: maps [B, C, H, W] of classes and boxes for each stride.

The shapes alone do not tell one head from another, nor which anchors it has: the names of the layers that make the maps
do, which PyTorch writes into the file (`bbox_head.retina_cls.weight`). They are those of MMDetection 2 and 3, and its
configurations' anchors and thresholds. Maps whose layers have lost their names need a layout file.
The file does not say how pixels are scaled.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from paretodet.layouts.layout import FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.evidence import Evidence

RATIOS = (0.5, 1.0, 2.0)  # height to width
OCTAVES = tuple(2 ** (i / 3) for i in range(3))
OBLONG, SQUARE = 4, 8  # sides of anchors in strides: RetinaNet's before its octaves, and ATSS's
NAMED = re.compile(r"(cls_score|bbox_pred|centerness|center_heatmap)")  # in the names of outputs


@dataclass(frozen=True, kw_only=True)
class _MmdetHead:
    """`layers` gives for every word the layers that make its maps, by their names in MMDetection's modules."""

    family: str
    layers: Mapping[str, tuple[str, ...]]
    meaning: Mapping[str, Any]
    anchors: int = 1  # of a cell

    def columns(self, word: str, channels: int) -> tuple[str, ...] | None:
        """The words of a map; None if it has another number of channels."""
        if word == "classes":
            return ("classes",) if channels % self.anchors == 0 else None
        if word == "bins":
            return ("bins",) if channels % 4 == 0 and channels > 4 else None
        width = {"box": 4 * self.anchors, "objectness": 1, "size": 2, "center": 2}[word]
        return (f"{word}*{width}" if self.anchors > 1 else word,) if channels == width else None


CENTERNET = {"coding": "linear", "priors": ((4.0,),), "variances": (1.0, 1.0), "peaks": True, "keep": 100}
HEADS = (
    _MmdetHead(
        family="RetinaNet",
        layers={"classes": ("retina_cls",), "box": ("retina_reg",)},
        meaning={"coding": "priors", "variances": (1.0, 1.0), "offset": 0.0, "suppressed": False, "overlap": 0.5},
        anchors=len(RATIOS) * len(OCTAVES),
    ),
    _MmdetHead(
        family="FCOS",
        layers={
            "classes": ("conv_cls", "fcos_cls"),
            "box": ("conv_reg", "fcos_reg"),
            "objectness": ("conv_centerness", "fcos_centerness"),
        },
        meaning={"coding": "pixel-distances", "suppressed": False, "overlap": 0.5},
    ),
    _MmdetHead(
        family="ATSS",
        layers={"classes": ("atss_cls",), "box": ("atss_reg",), "objectness": ("atss_centerness",)},
        meaning={"coding": "priors", "offset": 0.0, "suppressed": False, "overlap": 0.6},
    ),
    _MmdetHead(
        family="GFL",
        layers={"classes": ("gfl_cls",), "bins": ("gfl_reg",)},
        meaning={"coding": "distances", "offset": 0.0, "suppressed": False, "overlap": 0.6},
    ),
    _MmdetHead(
        family="RTMDet",
        layers={"classes": ("rtm_cls",), "box": ("rtm_reg",)},
        meaning={"coding": "pixel-distances", "offset": 0.0, "suppressed": False, "overlap": 0.65},
    ),
    _MmdetHead(
        family="YOLOX",
        layers={
            "classes": ("multi_level_conv_cls",),
            "box": ("multi_level_conv_reg",),
            "objectness": ("multi_level_conv_obj",),
        },
        meaning={"coding": "grid", "offset": 0.0, "suppressed": False, "overlap": 0.65},
    ),
    _MmdetHead(
        family="CenterNet",
        layers={"classes": ("heatmap_head",), "size": ("wh_head",), "center": ("offset_head",)},
        meaning={**CENTERNET, "offset": 0.0},
    ),
)


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    maps = evidence.rank(4)
    if len(maps) < 2 or len(maps) != len(evidence.outputs):
        return ()
    layers = {name: evidence.graph.weights(name) for name in maps}
    for head in HEADS:
        words = {name: _word(head, layers[name]) for name in maps}
        if set(words.values()) == set(head.layers):
            return _reading(evidence, head, {name: str(word) for name, word in words.items()})
    if any(NAMED.search(name) for name in maps):
        why = (
            f"outputs: got {evidence.described}, as of MMDetection; the file does not say which head and anchors it has"
        )
        raise evidence.refusal(f"{why}: state them in a layout (docs/layouts/mmdet_retinanet.toml)", "onnx-layout")
    return ()


def _word(head: _MmdetHead, names: frozenset[str]) -> str | None:
    """What a map of these layers holds; None if they are none of the head's."""
    parts = {part for name in names for part in name.split(".")}
    return next((word for word, layers in head.layers.items() if parts & set(layers)), None)


def _reading(evidence: Evidence, head: _MmdetHead, words: Mapping[str, str]) -> tuple[Reading, ...]:
    """The reading of a head whose maps are those of a pyramid, from the finest one; none if they are not."""
    shapes = evidence.shapes
    order = sorted(words, key=lambda name: -shapes[name][2] * shapes[name][3])
    levels = {word: [name for name in order if words[name] == word] for word in head.layers}
    strides = [tuple(evidence.stride(shapes[name][2:]) for name in names) for names in levels.values()]
    columns = {name: head.columns(word, shapes[name][1]) for name, word in words.items()}
    if len(set(strides)) > 1 or None in columns.values() or 0 in strides[0]:
        return ()
    classes = {shapes[name][1] // head.anchors for name in levels["classes"]}
    if len(classes) > 1:
        return ()
    outputs = OutputLayout(
        columns=tuple((name, columns[name] or ()) for names in levels.values() for name in names),
        strides=strides[0],
        activation="none" if "Sigmoid" in evidence.graph.tail(levels["classes"][0]) else "sigmoid",
        **{**head.meaning, **_references(head, strides[0])},
    )
    layout = FileLayout(
        family=f"{head.family} of MMDetection",
        outputs=outputs,
        fit="letterbox-corner",
        sampling="opencv",
    )
    names = " and ".join(layer for layers in head.layers.values() for layer in layers)
    reason = f"layers {names} make maps of {classes.pop()} classes for strides {strides[0]}"
    return (Reading(layout=layout, reasons=(reason,), strength=1, pixels_known=False, fit_known=False),)


def _references(head: _MmdetHead, strides: tuple[int, ...]) -> dict[str, Any]:
    """The anchors of every stride, by ratio, then by octave."""
    if head.anchors > 1:
        sides = [OBLONG * octave for octave in OCTAVES]
        oblong = [[(s * side / r**0.5, s * side * r**0.5) for r in RATIOS for side in sides] for s in strides]
        return {"anchors": tuple(map(tuple, oblong))}
    if head.family == "ATSS":
        return {"priors": tuple((float(SQUARE * stride),) for stride in strides)}
    return {}


CONVENTION = Convention(name="mmdet", readings=_readings)
