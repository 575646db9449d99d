"""FiftyOne's own exports: samples.json of a whole dataset, and labels.json of its image detections.

FiftyOneDataset and FiftyOneImageDetectionDataset of https://docs.voxel51.com/user_guide/export_datasets.html. Boxes
are x, y, width, height as fractions of the image. A sample with a tag that is named as a split is of that split.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from paretodet.errors import InputError
from paretodet.labels.builder import LabelsBuilder, by_value, is_name, text_of
from paretodet.labels.format import Format, Where
from paretodet.labels.image_index import ClassNames, ImageIndex
from paretodet.labels.json_stream import elements
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.rle import Size
from paretodet.labels.shapes import is_marked, numbers
from paretodet.labels.splits import is_usual, named
from paretodet.reading import is_file

SAMPLES, LABELS = "samples.json", "labels.json"
HEAD = 2**16
TRUTH = "ground_truth"
DETECTIONS = "Detections"
OTHER_KINDS = ("Detection", "Polyline", "Polylines", "Keypoint", "Keypoints", "Segmentation", "Heatmap")  # of labels
Sample = dict[str, Any]


def read_fiftyone(path: Path | str, *, split: str | None = None, images: Path | str | None = None) -> Labels:
    """The samples of one split, or all. Boxes are those of the field `ground_truth`, else of the file's only field of
    detections; classes are all that are named, in alphabetical order.

    `images` is the folder that has the image files, or has them below; else the file's. Raises ValueError naming the
    file and what it lacks.
    """
    path = Path(path)
    known = splits(path) if split is not None else ()
    split = named(split, known)
    if split is not None and split not in known:
        raise InputError(f"split: got {split!r:.80}, {path} has {', '.join(known) or 'none'}", "split-unknown")
    reading = _SampleReader(path, Path(images) if images else path.parent, _field(path))
    for number, sample in enumerate(_samples(path)):
        reading.take(number, sample, wanted=split is None or split in _tags(sample))
    return reading.builder.build(reading.classes.sorted, source=path, named=True)


class _SampleReader:
    def __init__(self, path: Path, folder: Path, field: str) -> None:
        self.path, self.classes, self._images, self._field = path, ClassNames(), ImageIndex(folder), field
        self.builder, self._numbers = LabelsBuilder(folder, where(path), written="xywh"), 0

    def take(self, key: int, sample: Sample, *, wanted: bool) -> None:
        detections = _detections(sample, self._field)
        first, self._numbers = self._numbers, self._numbers + len(detections)
        labels = [each.get("label") for each in detections]
        if not wanted:
            for label in labels:
                if isinstance(label, str) and is_name(label):
                    self.classes.number(label)
            return
        try:
            stated = text_of(sample.get("filepath"), "filepath")
            name = self._images.find(stated)
            size = self._images.size(name, _size(sample.get("metadata")))
            self.builder.image(key, name or stated.lstrip("/"), *size)
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, self.path, f"samples[{key}]", problem, key)
        for number, each in enumerate(detections, first):
            self._detection(key, number, each, size)

    def _detection(self, key: int, number: int, detection: Sample, size: Size) -> None:
        try:
            label = text_of(detection.get("label"), "label")
            x, y, wide, high = numbers(detection.get("bounding_box"), 4, "bounding_box")
        except ValueError as problem:
            return self.builder.skip(SkipKind.ANNOTATION, *where(self.path)(None, number), problem, number)
        down, across = size
        corners = [x * across, y * down, (x + wide) * across, (y + high) * down]
        crowd = is_marked(detection) or is_marked(_attributes(detection))
        self.builder.box(key, self.classes.number(label), corners, number=number, crowd=crowd)


def where(file: Path) -> Where:
    """Of boxes of the file."""
    return lambda name, number: (file, f"detection[{number}]")


def _samples(path: Path) -> Iterator[Sample]:
    """The samples of either file, as those of samples.json are."""
    classes: Any = None
    for key, number, value in elements(path):
        if key == "samples" and number >= 0:
            yield value if isinstance(value, dict) else {}
        elif key == "classes" and number >= 0:
            classes = [*(classes or ()), value]
        elif key == "labels" and isinstance(value, dict):
            for name, detections in value.items():
                yield {"filepath": name, TRUTH: _named(detections, classes)}


def _named(detections: Any, classes: list[Any] | None) -> Sample:
    """With the names of the classes in place of their numbers."""
    found = [dict(each) for each in detections or () if isinstance(each, dict)]
    for each in found:
        number = by_value(each.get("label")) if not isinstance(each.get("label"), int) else each["label"]
        if classes and number is not None and 0 <= number < len(classes):
            each["label"] = classes[number]
    return {"_cls": DETECTIONS, "detections": found}


def _field(path: Path) -> str:
    """The field that holds the labels. Raises InputError if several may, and none is named as usual, or if the usual
    one or all of them hold something other than boxes.
    """
    fields, others = dict[str, None](), dict[str, str]()
    for sample in _samples(path):
        for name, value in sample.items():
            kind = value.get("_cls") if isinstance(value, dict) else None
            if kind == DETECTIONS or name == TRUTH and value is None:
                fields[name] = None
            elif kind in OTHER_KINDS:
                others[name] = str(kind)
    if TRUTH in others or others and not fields:
        name = TRUTH if TRUTH in others else next(iter(others))
        raise InputError(
            f"labels: {path} has {others[name]} in {name}, and boxes are {DETECTIONS}: export a field of {DETECTIONS}",
            "labels-malformed",
        )
    if len(fields) > 1 and TRUTH not in fields:
        raise InputError(
            f"labels: {path} has detections in {', '.join(fields)}: export the one field that holds the labels",
            "labels-malformed",
        )
    return TRUTH if TRUTH in fields else next(iter(fields), TRUTH)


def _detections(sample: Sample, field: str) -> list[Sample]:
    held = sample.get(field)
    listed = held.get("detections") if isinstance(held, dict) else None
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _attributes(detection: Sample) -> Sample:
    """By name; those of older versions are objects with a `value`."""
    stated = detection.get("attributes")
    items = stated.items() if isinstance(stated, dict) else ()
    return {name: value.get("value") if isinstance(value, dict) else value for name, value in items}


def _size(metadata: Any) -> Size | None:
    sides = [metadata.get(side) if isinstance(metadata, dict) else None for side in ("height", "width")]
    height, width = (side if isinstance(side, int) else by_value(side) or 0 for side in sides)
    return (height, width) if height > 0 and width > 0 else None


def _tags(sample: Sample) -> list[str]:
    tags = sample.get("tags")
    return [tag for tag in tags if isinstance(tag, str)] if isinstance(tags, list) else []


def splits(path: Path) -> tuple[str, ...]:
    """The tags that are named as splits are."""
    return tuple(dict.fromkeys(tag for sample in _samples(path) for tag in _tags(sample) if is_usual(tag)))


def _file(path: Path, split: str | None = None) -> Path:
    if not path.is_dir():
        return path
    return next((path / name for name in (SAMPLES, LABELS) if is_file(path / name)), path)


def _matches(path: Path) -> bool:
    file = _file(path)
    if file.suffix.lower() != ".json" or not is_file(file):
        return False
    try:
        with file.open("rb") as opened:
            text = opened.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return False
    return (
        _begins(text, "samples", "[")
        and '"_cls"' in text
        or _begins(text, "classes", "[")
        and _begins(text, "labels", "{")
    )


def _begins(text: str, key: str, value: str) -> bool:
    """Whether the value of the first such key begins so."""
    _, found, rest = text.partition(json.dumps(key))
    return bool(found) and rest.lstrip().removeprefix(":").lstrip().startswith(value)


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_fiftyone(_file(path), split=split, images=images)


FORMAT = Format(
    name="fiftyone",
    title="FiftyOne",
    layout=f"a folder with {SAMPLES} or {LABELS}, as FiftyOneDataset and FiftyOneImageDetectionDataset are exported",
    suffixes=(".json",),
    matches=_matches,
    splits=lambda path: splits(_file(path)),
    read=_read,
    file=_file,
    where=where,
    takes_images=True,
    loose=True,
    not_carried=lambda path: "masks, attributes, tags, other fields, keypoints and classifications",
)
