"""Writes labels in Pascal VOC's format: Annotations, JPEGImages and ImageSets/Main."""

from collections.abc import Sequence
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element, ElementTree, SubElement, indent

import numpy as np

from paretodet.labels.formats.voc_layout import IMAGES, SETS, XMLS
from paretodet.labels.image_index import in_order
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.splits import WHOLE
from paretodet.labels.target import ConversionTarget, ImageNames

ROUNDING = 1e-3  # px: less is that of the numbers


def write_voc(parts: Sequence[LabeledSplit], target: ConversionTarget) -> None:
    """Corners are whole pixels counted from 1; crowds are difficult objects."""
    names = ImageNames(target, flat=True)
    (target.folder / XMLS).mkdir()
    for part in parts:
        stems = [_write_image(part, index, name, target) for index, name in enumerate(names.of(part))]
        if part.split != WHOLE:
            path = target.folder / SETS / f"{part.split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
        target.lose("outlines are left out: objects have boxes", int(part.data.outlined.sum()))
    target.note_federated(parts)
    if unused := _unused(parts):
        target.lose(f"classes without a box are left out, the first: {unused[0]!r:.40}", len(unused))
    if any(not part.data.named or list(part.data.labels) != in_order(part.data.labels) for part in parts):
        target.note("ids, and the order of the classes, are not kept: they have names alone")


def _unused(parts: Sequence[LabeledSplit]) -> list[str]:
    """The classes that no split has a box of."""
    used = {part.data.labels[label] for part in parts for label in np.unique(part.data.classes).tolist()}
    return [name for name in dict.fromkeys(name for part in parts for name in part.data.labels) if name not in used]


def _write_image(part: LabeledSplit, index: int, name: str, target: ConversionTarget) -> str:
    """The image's stem."""
    data, stem = part.data, str(PurePosixPath(name).with_suffix(""))
    target.place(part.files[index], f"{IMAGES}/{name}")
    root = Element("annotation")
    SubElement(root, "filename").text = name
    size = SubElement(root, "size")
    for field, value in zip(("height", "width"), data.sizes[index].tolist(), strict=True):
        SubElement(size, field).text = str(value)
    SubElement(size, "depth").text = "3"
    for row in range(*data.offsets[index : index + 2].tolist()):
        about = SubElement(root, "object")
        SubElement(about, "name").text = data.labels[data.classes[row]]
        SubElement(about, "difficult").text = str(int(data.crowd[row]))
        corners = _corners(data.boxes[row].astype(np.float64), target)
        box = SubElement(about, "bndbox")
        for field, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            SubElement(box, field).text = str(value)
    indent(root)
    ElementTree(root).write(target.folder / XMLS / f"{stem}.xml", encoding="utf-8")
    return stem


def _corners(box: np.ndarray, target: ConversionTarget) -> list[int]:
    """Whole pixels from 1, both ends belong to the box, which has two pixels at least: readers take one for none."""
    low, high = np.rint(box[:2]).astype(int) + 1, np.rint(box[2:]).astype(int)
    high = np.maximum(high, low + 1)
    if np.abs(np.concatenate([low - 1, high]) - box).max() > ROUNDING:
        target.lose("boxes are rounded to whole pixels, two at least a side")
    return [*low.tolist(), *high.tolist()]
