"""Writes labels in YOLO's format: data.yaml, images/<split> and labels/<split>."""

import json
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from paretodet.labels.formats.yolo_settings import quoted
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.splits import TRAIN, VAL, is_usual, usual
from paretodet.labels.target import ConversionTarget, ImageNames

DIGITS = 8  # behind the point: less than a thousandth of a pixel


def write_yolo(parts: Sequence[LabeledSplit], target: ConversionTarget) -> None:
    """Classes are numbered in the order of the labels. Boxes alone are written, without crowds."""
    agree = len({part.data.labels for part in parts}) == 1
    merged = dict.fromkeys(name for part in parts for name in part.data.labels)
    names = list(parts[0].data.labels if agree else merged)
    lines = ["path: ."]
    for part, split in zip(parts, _splits([part.split for part in parts], target), strict=True):
        _write_part(part, split, names, target)
        lines.append(f"{quoted(split)}: {quoted(f'images/{split}')}")
    lines.append(f"names: {json.dumps(names, ensure_ascii=False)}")
    (target.folder / "data.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    target.note_federated(parts)
    if any(not part.data.named for part in parts):
        target.note("ids are not kept: images have names, and classes count from 0")


def _splits(names: Sequence[str], target: ConversionTarget) -> list[str]:
    """What the splits are called: as they usually are, if no two are called so then; a set without splits is train."""
    if len(names) == 1 and not is_usual(names[0]):
        target.note("the set has no splits, so all images are the split train")
        return ["train"]
    called = list(map(_usual, names))
    return [new if called.count(new) == 1 else name for name, new in zip(names, called, strict=True)]


def _usual(name: str) -> str:
    short = usual(name)
    return next((split for split, names in (("train", TRAIN), ("val", VAL)) if short in names), name)


def _write_part(part: LabeledSplit, split: str, names: list[str], target: ConversionTarget) -> None:
    data = part.data
    flat = any("images" in PurePosixPath(name).parent.parts for name in part.names)  # a text lies in `labels` instead
    images = ImageNames(target, flat=flat).of(part)
    same = list(data.labels) == names
    numbers = list(range(len(names))) if same else [names.index(name) for name in data.labels]
    for index, (file, name) in enumerate(zip(part.files, images, strict=True)):
        target.place(file, f"images/{split}/{name}")
        rows = np.arange(*data.offsets[index : index + 2])
        kept = rows[~data.crowd[rows]]
        height, width = data.sizes[index].tolist()
        boxes = data.boxes[kept].astype(np.float64) / (width, height, width, height)
        centers = np.hstack([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]])
        lines = (_line(numbers[data.classes[row]], box) for row, box in zip(kept.tolist(), centers, strict=True))
        path = target.folder / "labels" / split / PurePosixPath(name).with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
    target.lose("crowds are left out, which no line can mark", int(data.crowd.sum()))
    target.lose("outlines are left out: lines have boxes", int((data.outlined & ~data.crowd).sum()))


def _line(label: int, box: np.ndarray) -> str:
    fractions = (f"{side:.{DIGITS}f}".rstrip("0").rstrip(".") for side in box)
    return f"{label} {' '.join(fractions)}\n"
