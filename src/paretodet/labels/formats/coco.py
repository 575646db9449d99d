"""COCO's instances files: https://cocodataset.org/#format-data. Boxes are x, y, width, height in pixels."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, TypedDict

from paretodet.errors import InputError, words
from paretodet.images import read_size
from paretodet.labels.builder import (
    LATER,
    MISSING,
    NUMBERS,
    LabelsBuilder,
    by_value,
    check_inside,
    is_name,
    text_of,
    whole_number,
)
from paretodet.labels.format import Format, Where
from paretodet.labels.formats.coco_checks import (
    area_wrong,
    crowd_of_polygons,
    id_repeated,
    ignore_unread,
    mask_beside_box,
)
from paretodet.labels.formats.coco_files import begins, files_elsewhere, instances_files, only_file
from paretodet.labels.formats.coco_writer import write_coco
from paretodet.labels.image_columns import DEEPEST, without_folders
from paretodet.labels.image_index import PROBED, customary_folder, holder, holds_any, image_folder, with_slashes
from paretodet.labels.json_stream import elements
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.rle import NOTHING, box_around, is_empty, pack
from paretodet.labels.shapes import angle_of, is_marked, is_turned, turned_box
from paretodet.labels.splits import chosen_file
from paretodet.reading import is_file

BOX_TYPES = NUMBERS | {str}  # a number may be written as text
LISTS = ("images", "annotations", "categories")
FIRST_TEXT = -(2**40)  # stands for the first id that is a text: no number in results is that by chance
IGNORE = ("ignore", "difficult", "IsGroupOf", "is_group_of", "is_crowd", "isCrowd", "Ignore")  # of other evaluators
TRUTHS = {"true": 1, "false": 0}
OTHER_TASKS = {  # by a field of annotations that have no box
    "segments_info": "panoptic labels, without boxes: panopticapi's panoptic2detection_coco_format.py writes them",
    "caption": "captions, which have no boxes: name the instances file of these images",
}

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


class _Doubt(NamedTuple):
    """An image of the builder and the reasons to leave it out, unless its file shows that they are none."""

    row: int
    number: int  # in the file
    name: ValueError | None
    size: ValueError | None


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
        self._doubts = list[_Doubt]()
        self._held = list[tuple[int, Element]]()  # images whose ids are texts and no numbers
        self._numbered = False  # whether an image has a number as its id: a text is a mistake then
        self._task, self._boxed = "", False  # another task that annotations are for; whether one has a box
        self._keys, self._texts = dict[str, int](), dict[int, str]()  # by the texts, and of all ids that are texts

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
        if self._task and not self._boxed:
            raise InputError(f"labels: {self.path} holds {self._task}", "labels-format")
        for name in LISTS:
            if name not in lists:
                raise InputError(
                    f"labels: {self.path} has no list of {name}, which a COCO instances file holds", "labels-malformed"
                )
        if not self.categories:
            raise InputError(f"labels: {self.path} has no category, so its classes are unknown", "labels-malformed")
        for number, fields in self._held:
            self._add(number, fields, fields["id"] if self._numbered else self._key(fields["id"]))
        self._find_images()
        self._settle_doubts()
        classes = dict(sorted(self.categories.items()))
        data = self.builder.build(classes, source=self.path, frequency=frequency and frequency())
        return replace(data, text_ids=self._texts) if self._keys and not self._numbered else data

    def _find_images(self) -> None:
        """The folder of the images. If none is found by its name, but some without the first folders of their names
        (train2017/1.jpg in a flat folder) in the folder that was given or a customary one, all images are called so.
        """
        given, names = self.builder.folder, self._names
        self.builder.folder = holder(given, names) if self.images else image_folder(self.path, names)
        deepest = max((name.count("/") for name in names), default=0)
        if holds_any(self.builder.folder, names) or not deepest:
            return
        for count in (*range(1, min(deepest, DEEPEST)), deepest):
            ends = [without_folders(name, count) for name in names]
            flat = given if self.images else customary_folder(self.path, ends)
            if flat and holds_any(flat, ends) and self.builder.images.drop_folders(count):
                self.builder.folder = flat
                return

    def _settle_doubts(self) -> None:
        """Reads the sizes that the labels do not state, and leaves out what is not in the folder of the images."""
        lost = set[int]()
        for doubt in self._doubts:
            if (problem := self._problem(doubt)) is not None:
                place = f"images[{doubt.number}]"
                self.builder.skip(SkipKind.IMAGE, self.path, place, problem, doubt.number)
                lost.add(doubt.row)
        if lost:
            self.builder.images.remove(lost)

    def _problem(self, doubt: _Doubt) -> ValueError | None:
        file = self.builder.folder / self.builder.images.name(doubt.row)
        if doubt.name is not None and not is_file(file):
            return doubt.name
        try:
            if doubt.size is not None:
                self.builder.images.resize(doubt.row, read_size(file))
        except ValueError:
            return doubt.size
        return None

    def _image(self, number: int, image: Any) -> None:
        fields = image if isinstance(image, dict) else {}
        key = fields.get("id")
        self._numbered |= type(key) in NUMBERS
        if _is_text(key):
            self._held.append((number, fields))
        else:
            self._add(number, fields, key)

    def _add(self, number: int, fields: Element, key: Any) -> None:
        """An image whose key is `key`."""
        try:
            looked_for = self._federated(fields) if self._federated else None
            key = whole_number(key, "id")
            name, unsafe = self._name(fields)
            sides, unsized = self._sides(fields)
            self.builder.image(key, name, *sides)
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, self.path, f"images[{number}]", problem, number)
        if unsafe or unsized:
            self._doubts.append(_Doubt(len(self.builder.images) - 1, number, unsafe, unsized))
        if isinstance(fields["id"], str):
            self._texts[key] = fields["id"]
        if len(self._names) < PROBED and isinstance(name, str):
            self._names.append(name)
        if looked_for:
            self.builder.federate(key, *looked_for)

    def _name(self, fields: Element) -> tuple[Any, ValueError | None]:
        """An image's file name. One that leads out of the folder of the images is taken without what leads there, and
        the reason to leave it out is returned, unless it is there.
        """
        name = self._name_of(fields)
        if not isinstance(name, str):
            return name, None
        name = with_slashes(name)
        try:
            if self.purpose is not Purpose.SCORE:
                check_inside(name)
        except ValueError as problem:
            inside = [part for part in PurePosixPath(name).parts if part.strip("/") and part != ".."]
            return ("/".join(inside), problem) if inside else (name, None)
        return name, None

    def _sides(self, fields: Element) -> tuple[list[Any], ValueError | None]:
        """Height and width; if one is none, those of the file, and the reason to leave it out if there is no file."""
        sides = [fields.get(side, MISSING) for side in ("height", "width")]
        try:
            return [self.builder.side(side, name) for side, name in zip(sides, ("height", "width"), strict=True)], None
        except ValueError as problem:
            return [LATER, LATER], problem

    def _key(self, text: str) -> int:
        """The number that stands for an id that is a text."""
        return self._keys.setdefault(text, FIRST_TEXT + len(self._keys))

    def _owner(self, key: Any) -> int:
        """The key of an annotation's image. Raises ValueError."""
        return self._key(key) if _is_text(key) and not self._numbered else whole_number(key, "image_id")

    def _annotation(self, number: int, annotation: Any) -> None:
        try:
            fields = annotation if isinstance(annotation, dict) else {}
            owner = self._owner(fields.get("image_id"))
            category = whole_number(fields.get("category_id"), "category_id")
            box, crowd, angle = _box_of(fields), _crowd(fields), angle_of(fields.get("attributes"))
        except ValueError as problem:
            self._task = self._task or _other_task(fields)
            return self.builder.skip(SkipKind.ANNOTATION, self.path, f"annotations[{number}]", problem, number)
        try:
            outline = pack(fields.get("segmentation"))
        except ValueError as problem:  # the box is sound all the same
            self.builder.skip(SkipKind.OUTLINE, self.path, f"annotations[{number}]", problem, number)
            outline = pack(None)
        more = ExtraValue(area=fields.get("area"), key=fields.get("id"), ignored=_ignored(fields) and not crowd)
        self._boxed = True
        if angle and not outline[0]:
            box = _upright(box, angle)
        self.builder.box(
            owner,
            category,
            box,
            number=number,
            crowd=crowd,
            outline=outline,
            turned=is_turned(angle) and not outline[0],
            **more,
        )

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


def where(file: Path) -> Where:
    """Of boxes of the file."""
    return lambda _, number: (file, f"annotations[{number}]")


def _is_text(key: Any) -> bool:
    """Whether an id is a text that is no number."""
    return isinstance(key, str) and is_name(key) and by_value(key) is None


def _box_of(annotation: Element) -> list[float]:
    """x, y, width, height, if they are missing those of the box around the outline. Raises ValueError."""
    stated, outline = annotation.get("bbox"), annotation.get("segmentation")
    return box_around(pack(outline)[0]) if not stated and not is_empty(outline) else _box(stated)


def _upright(box: list[float], angle: float) -> list[float]:
    """x, y, width, height of the box around one that is turned about its middle."""
    x, y, width, height = box
    x1, y1, x2, y2 = turned_box(x, y, x + width, y + height, angle)
    return [x1, y1, x2 - x1, y2 - y1]


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


def _other_task(annotation: Element) -> str:
    """What an annotation without a box is for; empty if its fields do not say."""
    found = (what for field, what in OTHER_TASKS.items() if field in annotation and "bbox" not in annotation)
    return next(found, "")


def _crowd(annotation: Element) -> bool:
    """Whether it is a crowd; False if it does not say. Raises ValueError."""
    if (value := annotation.get("iscrowd")) in NOTHING:
        return False
    crowd = TRUTHS.get(value.strip().lower(), by_value(value)) if isinstance(value, str) else value
    if crowd not in (0, 1):
        raise InputError(f"iscrowd is {value!r:.40}, 0 or 1 is needed", "field-malformed")
    return bool(crowd)


def _ignored(annotation: Element) -> bool:
    """Whether it has a mark that to find it is neither needed nor a mistake, which COCO's evaluators do not read."""
    values = [annotation.get(name) for name in IGNORE if name in annotation]
    marked = any((by_value(value) if isinstance(value, str) else value) == 1 for value in values)
    return marked or is_marked(annotation.get("attributes"))


def _matches(path: Path) -> bool:
    files = instances_files(path)
    return bool(files) and (path.is_dir() or begins(path))


def _files(path: Path) -> dict[str, Path]:
    return instances_files(path) or files_elsewhere(path) or only_file(path)


def _file(path: Path, split: str | None) -> Path:
    files = _files(path)
    own = (file for file in files.values() if split and split not in files and file.stem == split)
    return next(own, None) or chosen_file(files, split, path)


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
    may_be=lambda path: bool(_files(path)),
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
