"""Raw maps of YOLOv8 and later, whose boxes are distributions over 16 distances for each side: 64 numbers a cell.

Without its decoding such a head has for each stride one map [B, 64 + K, H, W], or [B, 64, H, W] and [B, K, H, W]; in
Rockchip's export also the sum of the scores, [B, 1, H, W], which is not used. Only the numbers tell the former from
the maps of a YOLO with three anchors, which have an objectness in the place of the fifth distance.
Source: `Detect` and `DFL` of ultralytics 8.4; the yolov8 of airockchip/rknn_model_zoo.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from paretodet.layouts.layout import FileLayout, OutputLayout, Reading
from paretodet.readings.convention import Convention
from paretodet.readings.conventions import ultralytics
from paretodet.readings.conventions.raw_yolo import USUAL
from paretodet.readings.evidence import Evidence
from paretodet.readings.look import FAINT

BINS = 64  # channels of four distributions over 16 distances
LEAST = 2  # strides
OBJECTNESS, MOST = 4, 0.5  # where an anchor has it, and the share of cells that are most
Columns = Mapping[str, tuple[str, ...]]  # by output


def _readings(evidence: Evidence) -> tuple[Reading, ...]:
    maps = evidence.rank(4)
    if len(maps) != len(evidence.outputs):
        return ()
    levels: dict[int, list[str]] = {}
    for name in maps:
        levels.setdefault(evidence.stride(evidence.shapes[name][2:]), []).append(name)
    columns = [_columns(evidence, names) for names in levels.values()]
    kinds = {frozenset(each.values()) for each in columns}
    if 0 in levels or len(levels) < LEAST or len(kinds) != 1 or not columns[0]:
        return ()
    names, classes = ultralytics.stated_names(evidence.metadata), _classes(columns[0])
    if len(names) != classes if names else _may_have_anchors(evidence, columns):
        return ()
    outputs = OutputLayout(
        columns=tuple((name, words) for each in columns for name, words in each.items()),
        coding="distances",
        strides=tuple(levels),
        activation="none" if _activated(evidence, columns) else "sigmoid",
        suppressed=False,
    )
    layout = FileLayout(family="YOLOv8 or later, raw", outputs=outputs, fit="letterbox", sampling="opencv")
    reason = f"maps of strides {tuple(levels)} have {BINS} numbers of distributions and {classes} classes a cell"
    return (Reading(layout=layout, reasons=(reason,), labels=names),)


def _columns(evidence: Evidence, names: Sequence[str]) -> Columns:
    """What the maps of a stride hold; empty if they are others."""
    channels = {name: evidence.shapes[name][1] for name in names}
    if len(names) == 1:
        (name,) = names
        return {name: (f"bins*{BINS}", f"classes*{channels[name] - BINS}")} if channels[name] > BINS else {}
    bins = [name for name in names if channels[name] == BINS]
    scores = [name for name in names if channels[name] not in (BINS, 1 if len(names) > 2 else 0)]
    if len(bins) != 1 or len(scores) != 1 or len(names) > 3:
        return {}
    return {bins[0]: (f"bins*{BINS}",), scores[0]: (f"classes*{channels[scores[0]]}",)}


def _may_have_anchors(evidence: Evidence, columns: Sequence[Columns]) -> bool:
    """Whether joined maps may be of three anchors: the fifth channel is low in most cells, as an objectness is, or all
    numbers are shares.
    """
    parts = [evidence.outputs[name].float() for each in columns for name in each]
    if len(columns[0]) > 1 or parts[0].shape[1] % USUAL:
        return False
    high = torch.cat([part[:, OBJECTNESS].sigmoid().flatten() > FAINT for part in parts])
    return _are_shares(parts) or float(high.float().mean()) < MOST


def _classes(columns: Columns) -> int:
    return int(next(word for words in columns.values() for word in words if "classes" in word).partition("*")[2])


def _activated(evidence: Evidence, columns: Sequence[Columns]) -> bool:
    """Whether the scores are in 0..1 already."""
    found = [
        evidence.outputs[name][:, -_classes(each) :].float()
        for each in columns
        for name, words in each.items()
        if "classes" in words[-1]
    ]
    return _are_shares(found)


def _are_shares(parts: Sequence[Tensor]) -> bool:
    """Whether all numbers are in 0..1."""
    return all(bool((part >= 0).all() and (part <= 1).all()) for part in parts)


CONVENTION = Convention(name="raw-distributions", readings=_readings)
