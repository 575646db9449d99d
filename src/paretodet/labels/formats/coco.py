"""COCO's instances files: https://cocodataset.org/#format-data. Boxes are x, y, width, height in pixels."""

import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from paretodet.errors import InputError, words
from paretodet.labels.builder import MISSING, NUMBERS, LabelsBuilder, by_value, text_of, whole_number
from paretodet.labels.format import Format, Where
from paretodet.labels.formats.coco_writer import write_coco
from paretodet.labels.image_index import PROBED, customary_folder, holder, holds_any, image_folder
from paretodet.labels.json_stream import elements
from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit, Subject
from paretodet.labels.model import NO_ID, Labels, Purpose, SkipKind
from paretodet.labels.rle import Polygons, pack
from paretodet.labels.shapes import is_marked
from paretodet.labels.splits import PARTS, chosen_file, usual
from paretodet.labels.unread import is_foreign_json

BOX_TYPES = NUMBERS | {str}  # a number may be written as text
LISTS = ("images", "annotations", "categories")
HEAD, LISTED = 2**16, 10_000  # bytes of a file, and files of a set, that are looked at
OPENING = re.compile(rb"\s*(\xef\xbb\xbf)?\{\s*\"(info|licenses|type|images|annotations|categories)\"\s*:")
IGNORE = ("ignore", "IsGroupOf", "is_group_of")  # marks of other evaluators
APART = 4.0  # px between a box and the bounds of its outline; in COCO's files it is less
SHARE = 0.05  # of the box's side, if that is more
ROOM = 1.01  # an area may be so much of its box's

Element = dict[str, Any]
Elements = Iterable[tuple[str, int, Any]]  # as `json_stream.elements` gives them


class ExtraValue(TypedDict):
    """What only COCO's annotations have, as `LabelsBuilder.box` takes it."""

    area: Any
    key: Any
    ignored: bool


def read_coco(path: Path | str, *, images: Path | str | None = None, purpose: Purpose = Purpose.TRAIN) -> Labels:
    """The labels in the file `path`; `images` is the folder that file names start from, else it is searched for near
    `path`.

    Ids may be sparse; classes are numbered by rising category id. Crowds are kept. What is wrong with one image or
    annotation is left out, and `skipped` says why. Raises ValueError naming the file and what it lacks.
    """
    return InstancesReader(Path(path), images, purpose).read(elements(Path(path)))


def from_json(truth: dict[str, Any], *, images: Path | str = ".", purpose: Purpose = Purpose.SCORE) -> Labels:
    """Labels of a COCO instances file's content."""
    lists = {key: value if isinstance(value, list) else [] for key, value in truth.items()}
    listed: Iterator[tuple[str, int, Any]] = (
        (key, number, value) for key, values in lists.items() for number, value in enumerate(values)
    )
    ends: Iterator[tuple[str, int, Any]] = ((key, -1, []) for key, value in truth.items() if isinstance(value, list))
    return InstancesReader(Path("labels.json"), images, purpose).read(chain(listed, ends))


class InstancesReader:
    """Reads an instances file element by element. For formats with further fields: `name_of` gives an image's file
    name, `federated` the categories that it verifiably lacks and those of which it has more objects than boxes;
    `on_category` is called with each category.
    """

    def __init__(
        self,
        path: Path,
        images: Path | str | None,
        purpose: Purpose,
        *,
        name_of: Callable[[Element], Any] = lambda image: image.get("file_name", MISSING),
        federated: Callable[[Element], tuple[list[int], list[int]]] | None = None,
        on_category: Callable[[int, Element], None] = lambda key, category: None,
    ):
        self.path, self.images, self.purpose = path, images, purpose
        folder = Path(images) if images else path.parent
        self.builder = LabelsBuilder(folder, where(path), form="xywh", purpose=purpose, with_ids=True)
        self.categories = dict[int, str]()
        self._names, self._name_of, self._federated, self._on_category = list[str](), name_of, federated, on_category

    def read(self, listed: Elements, frequency: Callable[[], tuple[str, ...]] | None = None) -> Labels:
        """Raises ValueError as `read_coco` does. `frequency` returns that of every class; it is called at the end."""
        take = dict[str, Callable[[int, Any], None]](
            images=self._image, annotations=self._annotation, categories=self._category
        )
        lists = set()
        for key, number, element in listed:
            if number < 0 and element == []:
                lists.add(key)
            elif number >= 0 and key in take:
                take[key](number, element)
        for name in LISTS:
            if name not in lists:
                raise InputError(
                    f"labels: {self.path} has no list of {name}, which a COCO instances file holds", "labels-malformed"
                )
        if not self.categories:
            raise InputError(f"labels: {self.path} has no category, so its classes are unknown", "labels-malformed")
        self._find_images()
        classes = dict(sorted(self.categories.items()))
        return self.builder.build(classes, source=self.path, frequency=frequency and frequency())

    def _find_images(self) -> None:
        """The folder of the images. If none is found by its name, but some by the ends of their names (train2017/1.jpg
        in a flat folder) in the folder that was given or a customary one, all images are called by the ends.
        """
        given, names = self.builder.folder, self._names
        self.builder.folder = holder(given, names) if self.images else image_folder(self.path, names)
        if not holds_any(self.builder.folder, names):
            ends = [name.rpartition("/")[2] for name in names]
            flat = given if self.images else customary_folder(self.path, ends)
            if flat and holds_any(flat, ends) and self.builder.drop_folders():
                self.builder.folder = flat

    def _image(self, number: int, image: Any) -> None:
        try:
            fields = image if isinstance(image, dict) else {}
            looked_for = self._federated(fields) if self._federated else None
            name, sides = (
                _with_slashes(self._name_of(fields)),
                (fields.get(side, MISSING) for side in ("height", "width")),
            )
            self.builder.image(fields.get("id"), name, *sides)
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, self.path, f"images[{number}]", problem, number)
        if len(self._names) < PROBED and isinstance(name, str):
            self._names.append(name)
        if looked_for:
            self.builder.federate(whole_number(image["id"], "id"), *looked_for)

    def _annotation(self, number: int, annotation: Any) -> None:
        try:
            fields = annotation if isinstance(annotation, dict) else {}
            owner = whole_number(fields.get("image_id"), "image_id")
            category = whole_number(fields.get("category_id"), "category_id")
            box, crowd = _box(fields.get("bbox")), _crowd(fields)
        except ValueError as problem:
            return self.builder.skip(SkipKind.ANNOTATION, self.path, f"annotations[{number}]", problem, number)
        try:
            outline = pack(fields.get("segmentation"))
        except ValueError as problem:  # the box is sound all the same
            self.builder.skip(SkipKind.OUTLINE, self.path, f"annotations[{number}]", problem, number)
            outline = pack(None)
        more = ExtraValue(area=fields.get("area"), key=fields.get("id"), ignored=_ignored(fields) and not crowd)
        self.builder.box(owner, category, box, number=number, crowd=crowd, outline=outline, **more)

    def _category(self, number: int, category: Any) -> None:
        try:
            fields = category if isinstance(category, dict) else {}
            key = whole_number(fields.get("id"), "id")
            optional = self.purpose is Purpose.SCORE and "name" not in fields
            name = str(key) if optional else text_of(fields.get("name"), "name")
            if key in self.categories:
                raise InputError(f"id {key} is another category's already", "labels-malformed")
        except ValueError as problem:
            raise InputError(
                f"labels: {self.path} categories[{number}]: {words(problem)}", "labels-malformed"
            ) from None
        self.categories[key] = name
        self._on_category(key, fields)


def _with_slashes(name: Any) -> Any:
    """A name with the folders of Windows as other systems write them."""
    return name.replace("\\", "/") if isinstance(name, str) else name


def where(file: Path) -> Where:
    """Of boxes of the file."""
    return lambda _, number: (file, f"annotations[{number}]")


def instances_files(path: Path) -> dict[str, Path]:
    """Split -> instances file: the file itself, or those of a folder, of its annotations folder and, as some exports
    write them, of its splits' folders.
    """
    if path.is_file():
        return {path.stem.removeprefix("instances_"): path} if path.suffix.lower() == ".json" else {}
    listed = [*sorted(path.glob("*.json")), *sorted(path.glob("annotations/*.json"))]
    named = [each for each in listed if each.stem.startswith("instances")]
    files = {each.stem.removeprefix("instances_"): each for each in named or listed}
    return files or {each.parent.name: each for each in sorted(path.glob("*/_annotations.coco.json"))}


def files_elsewhere(path: Path) -> dict[str, Path]:
    """Split -> instances file, in folders of any names below `path`: those that begin as such files do. A file or its
    folder is named as its split.
    """
    if not path.is_dir() or instances_files(path):
        return {}
    listed = sorted(file for pattern in ("*/*.json", "*/*/*.json") for file in islice(path.glob(pattern), LISTED))
    found = dict[str, Path]()
    for file in filter(_begins, listed):
        stem = file.stem.removeprefix("instances_")
        found.setdefault(file.parent.name if usual(stem.lower()) not in PARTS and _is_part(file.parent) else stem, file)
    return found


def _is_part(folder: Path) -> bool:
    return usual(folder.name.lower()) in PARTS


def _begins(file: Path) -> bool:
    """Whether the first keys are those of an instances file."""
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD)
    except OSError:
        return False
    return OPENING.match(head) is not None and any(f'"{name}"'.encode() in head for name in LISTS)


def repeated_ids(data: Labels) -> Iterator[tuple[int, int, int]]:
    """(row, its id, the row that has it already) in the file's order; the last is -1 for an id that is missing."""
    assert data.ids is not None
    order = np.argsort(data.numbers, kind="stable")
    known = dict[int, int]()
    for row, key in zip(order.tolist(), data.ids[order].tolist(), strict=True):
        if key == NO_ID or key in known:
            yield row, key, known.get(key, -1)
        known.setdefault(key, row)


@check(
    "annotation-id-repeated",
    "fault",
    "Give every annotation a different id: evaluators identify annotations by their ids.",
)
def id_repeated(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for row, key, first in repeated_ids(part.data):
            known = f"id {key} is that of {part.at(first, '').place}"
            yield part.at(row, "it has no whole number as id" if key == NO_ID else known)


@check("area-wrong", "warning", "Write the area of the outline, or of the box if there is none, in px².")
def area_wrong(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        assert part.data.areas is not None
        sides = (part.data.boxes[:, 2:] - part.data.boxes[:, :2]).astype(np.float64)
        areas, boxes = part.data.areas, sides.prod(1)
        whole = part.data.outside <= APART
        wrong = np.isnan(areas) | (areas <= 0) | (whole & (areas > boxes * ROOM + sides.sum(1)))
        for row in np.flatnonzero(wrong).tolist():
            stated = "none, and COCO's evaluators need one" if np.isnan(areas[row]) else f"{areas[row]:.1f} px²"
            yield part.at(row, f"its area is {stated}; its box has {boxes[row]:.1f} px²")


@check("mask-beside-box", "warning", "Take the bounds of the outline as the box, or draw the outline again.")
def mask_beside_box(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for row, bounds in _polygon_bounds(part):
            box, (height, width) = part.data.boxes[row], part.data.sizes[part.owners[row]].tolist()
            gaps = np.abs(bounds.clip(0, [width, height] * 2) - box)
            if (gaps > np.maximum(APART, SHARE * np.tile(box[2:] - box[:2], 2))).any():
                yield part.at(row, f"its outline ends {gaps.max():.1f} px from its box")


@check("crowd-of-polygons", "warning", "Set iscrowd to 0 if it is one object: crowds are neither learned nor required.")
def crowd_of_polygons(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        for row in np.flatnonzero(part.data.crowd & part.data.outlined).tolist():
            if isinstance(part.data.mask(row), Polygons):
                yield part.at(row, "it is a crowd, but has polygons as one object has")


@check(
    "ignore-unread",
    "warning",
    "Set iscrowd to 1 if the object is neither to be learned nor required: COCO's evaluators do not read `ignore`.",
)
def ignore_unread(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        assert part.data.ignored is not None
        for row in np.flatnonzero(part.data.ignored).tolist():
            yield part.at(row, "it is marked to be ignored, and counts as any other object")


def _polygon_bounds(part: LabeledSplit) -> Iterator[tuple[int, np.ndarray]]:
    """(row, [4] xyxy px) of every box that has polygons."""
    for row in np.flatnonzero(part.data.outlined).tolist():
        if isinstance(mask := part.data.mask(row), Polygons):
            points = np.concatenate(mask.rings).reshape(-1, 2)
            yield row, np.concatenate([points.min(0), points.max(0)])


def _box(box: Any) -> list[float]:
    """x, y, width, height. Raises ValueError."""
    if not isinstance(box, list) or len(box) != 4 or not BOX_TYPES.issuperset(map(type, box)):
        raise InputError(f"bbox is {box!r:.80}, four numbers x, y, width, height are needed", "box-malformed")
    try:
        return list(map(float, box))
    except OverflowError:
        raise InputError("bbox holds a number that is too large", "box-malformed") from None
    except ValueError:
        raise InputError(f"bbox is {box!r:.80}, and a text in it is no number", "box-malformed") from None


def _crowd(annotation: Element) -> bool:
    """Whether it is a crowd; False if it does not say. Raises ValueError."""
    value = annotation.get("iscrowd")
    crowd = by_value(value) if isinstance(value, str) else value
    if value is not None and crowd not in (0, 1):
        raise InputError(f"iscrowd is {value!r:.40}, 0 or 1 is needed", "field-malformed")
    return bool(crowd)


def _ignored(annotation: Element) -> bool:
    """Whether it has a mark that to find it is neither needed nor a mistake, which COCO's evaluators do not read."""
    values = [annotation.get(name) for name in IGNORE if name in annotation]
    marked = any((by_value(value) if isinstance(value, str) else value) == 1 for value in values)
    return marked or is_marked(annotation.get("attributes"))


def _matches(path: Path) -> bool:
    """Any JSON file is taken for one, so that what it lacks is said; except those that are known to be others."""
    files = instances_files(path)
    return bool(files) and not is_foreign_json(next(iter(files.values())))


def _files(path: Path) -> dict[str, Path]:
    return instances_files(path) or files_elsewhere(path)


def _file(path: Path, split: str | None) -> Path:
    return chosen_file(_files(path), split, path)


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_coco(_file(path, split), images=images, purpose=purpose)


FORMAT = Format(
    name="coco",
    write=write_coco,
    title="COCO",
    layout="an instances .json, or a folder with some, or with annotations/instances_<split>.json",
    suffixes=(".json",),
    matches=_matches,
    resembles=lambda path: bool(files_elsewhere(path)),
    splits=lambda path: tuple(_files(path)) if path.is_dir() else (),
    read=_read,
    file=_file,
    where=where,
    single_files=True,
    takes_images=True,
    checks=(id_repeated, area_wrong, mask_beside_box, crowd_of_polygons, ignore_unread),
    not_carried=lambda path: (
        "ids of annotations, keypoints, supercategories, attributes, licenses and whatever else no box needs"
    ),
)
