"""COCO's instances files: https://cocodataset.org/#format-data. Boxes are x, y, width, height in pixels."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from paretodet.labels.builder import Labels, LabelsBuilder, is_name
from paretodet.labels.json_stream import elements
from paretodet.labels.rle import pack
from paretodet.reading import is_file

SCHEMAS = (
    "",
    "images",
    "..",
    "../images",
    "../{split}",
    "../images/{split}",
    "../../images",
    "{split}",
    "images/{split}",
)
PROBED = 100  # names that images are looked for by: some of them may be missing


def read_coco(path: Path | str, *, images: Path | str | None = None) -> Labels:
    """The labels in the file `path`; `images` is the folder that file names start from, else found near `path`.

    Ids may be sparse; labels are numbered by rising category id. Crowds stay, marked. What is wrong with one image or
    annotation is skipped and told in `skipped`. Raises ValueError naming the file and what it lacks.
    """
    path = Path(path)
    rows = LabelsBuilder(Path(images or path.parent), lambda _, number: (path, f"annotations[{number}]"))
    pictures, boxes, categories = _Images(rows, path), _Boxes(rows, path), _Categories(path)
    take = dict[str, Callable[[int, Any], None]](images=pictures, annotations=boxes, categories=categories)
    lists = set()
    for key, number, element in elements(path):
        if number < 0 and element == []:
            lists.add(key)
        elif number >= 0 and key in take:
            take[key](number, element)
    for name in take:
        if name not in lists:
            raise ValueError(f"labels: {path} has no list of {name}, which a COCO instances file holds")
    if not categories.names:
        raise ValueError(f"labels: {path} has no category, so no class can be told")
    rows.folder = Path(images) if images else image_folder(path, pictures.names)
    return rows.build(dict(sorted(categories.names.items())), source=path)


def image_folder(path: Path, names: Sequence[str]) -> Path:
    """Where the images of the labels `path` lie: the customary folder that holds the first of the first `names` that
    any holds, else the labels' own."""
    split = path.stem.removeprefix("instances_")
    folders = [path.parent / schema.format(split=split) for schema in SCHEMAS]
    for name in names[:PROBED]:
        for folder in folders:
            if is_file(folder / name):
                return folder
    return path.parent


class _Images:
    def __init__(self, rows: LabelsBuilder, path: Path):
        self.rows, self.path, self.names, self._seen = rows, path, list[str](), set[int]()

    def __call__(self, number: int, image: Any) -> None:
        try:
            key, name = whole_number(image, "id"), name_of(image, "file_name")
            size = whole_number(image, "height"), whole_number(image, "width")
            if key in self._seen:
                raise ValueError(f"id {key} is another image's already")
            self.rows.image(name, key, size)
        except ValueError as problem:
            return self.rows.skip(self.path, f"images[{number}]", str(problem))
        self._seen.add(key)
        if len(self.names) < PROBED:
            self.names.append(name)


class _Boxes:
    def __init__(self, rows: LabelsBuilder, path: Path):
        self.rows, self.path = rows, path

    def __call__(self, number: int, annotation: Any) -> None:
        try:
            owner, category = whole_number(annotation, "image_id"), whole_number(annotation, "category_id")
            x, y, width, height = box_of(annotation.get("bbox"))
            crowd = crowd_of(annotation)
        except ValueError as problem:
            return self.rows.skip(self.path, f"annotations[{number}]", str(problem))
        try:
            outline = pack(annotation.get("segmentation"))
        except ValueError as problem:  # the box is sound all the same
            self.rows.skip(self.path, f"annotations[{number}]", str(problem))
            outline = pack(None)
        self.rows.box(owner, category, (x, y, x + width, y + height), number=number, crowd=crowd, outline=outline)


class _Categories:
    def __init__(self, path: Path):
        self.path, self.names = path, dict[int, str]()

    def __call__(self, number: int, category: Any) -> None:
        try:
            key, name = whole_number(category, "id"), name_of(category, "name")
        except ValueError as problem:
            raise ValueError(f"labels: {self.path} categories[{number}]: {problem}") from None
        if key in self.names:
            raise ValueError(f"labels: {self.path} categories[{number}]: id {key} is another category's already")
        self.names[key] = name


def whole_number(element: Any, field: str) -> int:
    """The field of an element. Raises ValueError where it holds anything else."""
    value = element.get(field) if isinstance(element, dict) else None
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError(f"{field} is {value!r:.80}, a whole number is needed")
    return value


def name_of(element: Any, field: str) -> str:
    """The field of an element. Raises ValueError where it can be no name."""
    value = element.get(field) if isinstance(element, dict) else None
    if not isinstance(value, str) or not is_name(value):
        raise ValueError(f"{field} is {value!r:.80}, a name is needed")
    return value


def crowd_of(annotation: dict[str, Any]) -> bool:
    """Whether it is a crowd; nothing written is none. Raises ValueError where that cannot be told."""
    value = annotation.get("iscrowd")
    if value is not None and value not in (0, 1):
        raise ValueError(f"iscrowd is {value!r:.40}, 0 or 1 is needed")
    return bool(value)


def box_of(box: Any) -> list[float]:
    """x, y, width, height. Raises ValueError where they are none."""
    if not isinstance(box, list) or len(box) != 4 or not all(type(each) in (int, float) for each in box):
        raise ValueError(f"bbox is {box!r:.80}, four numbers x, y, width, height are needed")
    try:
        return [float(each) for each in box]
    except OverflowError:
        raise ValueError("bbox holds a number that is too large") from None
