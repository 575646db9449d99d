"""Label Studio's exports JSON and JSON-MIN: a list of tasks, with regions in percent of the image.

https://labelstud.io/guide/export#JSON. Of several annotations of a task the ground truth is read, else the first that
was not cancelled.
"""

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from paretodet.errors import InputError
from paretodet.images import SUFFIXES, UNREAD
from paretodet.labels.builder import LabelsBuilder, by_value, text_of
from paretodet.labels.format import Format, Where
from paretodet.labels.image_index import PROBED, UPLOADED, ClassNames, ImageIndex
from paretodet.labels.json_stream import items
from paretodet.labels.model import Labels, Purpose, SkipKind
from paretodet.labels.rle import Size
from paretodet.labels.shapes import DrawnShape, is_turned, numbers, polygons, turned_ellipse
from paretodet.labels.splits import chosen_file
from paretodet.reading import is_file, visible_files

END = "labels"  # of the fields of a region that name its classes: rectanglelabels, polygonlabels, labels, ...
IGNORED = ("choices", "taxonomy", "rating", "textarea", "number")  # of the whole image
FEW, FRACTIONS = 3, 1.01  # regions, and percent: as many that reach no farther are in fractions
Task = dict[str, Any]


def read_label_studio(path: Path | str, *, images: Path | str | None = None) -> Labels:
    """All tasks of the file; classes are all that it names, in alphabetical order.

    `images` is the folder that has the image files, or has them below; else that of the file. A turned box is the
    upright box around it. Raises ValueError if no task can be used.
    """
    path = Path(path)
    reading = _TaskReader(path, Path(images) if images else path.parent)
    for number, task in enumerate(items(path)):
        reading.take(number, task)
    reading.check_unit()
    return reading.builder.build(reading.classes.sorted, source=path, named=True)


class _TaskReader:
    def __init__(self, path: Path, folder: Path) -> None:
        self.path, self.classes, self._images = path, ClassNames(), ImageIndex(folder)
        self.builder = LabelsBuilder(folder, where(path))
        self._numbers = 0  # of the regions of the file
        self._percents = list[float]()  # how far every region reaches

    def take(self, number: int, task: Any) -> None:
        about = task if isinstance(task, dict) else {}
        regions = list(_regions(about))
        first, self._numbers = self._numbers, self._numbers + len(regions)
        try:
            stated = _image(about)
            _check_labeled(about, regions)
            name = next(filter(None, map(self._images.find, _names(stated))), None)
            size = self._images.size(name, _size(regions))
            self.builder.image(number, name or _names(stated)[-1], *size)
        except ValueError as problem:
            return self.builder.skip(SkipKind.IMAGE, self.path, f"task[{number}]", problem, number)
        for place, region in enumerate(regions, first):
            self._region(number, place, region, size)

    def check_unit(self) -> None:
        """Raises InputError if all regions are in fractions and not in percent."""
        if len(self._percents) >= FEW and max(self._percents) <= FRACTIONS:
            raise InputError(
                f"labels: {self.path}: all {len(self._percents)} regions lie in 0..1, as fractions of the image do: "
                "x, y, width and height are percent, 0..100",
                "labels-malformed",
            )

    def _region(self, key: int, number: int, region: Task, size: Size) -> None:
        try:
            label, drawn = _label(region), _drawn(region, size)
        except ValueError as problem:
            return self.builder.skip(SkipKind.ANNOTATION, *where(self.path)(None, number), problem, number)
        self._percents.append(
            100 * max(side / whole for side, whole in zip(drawn.corners, (*size[::-1], *size[::-1]), strict=True))
        )
        category = self.classes.number(label)
        self.builder.box(key, category, drawn.corners, number=number, outline=drawn.outline, turned=drawn.turned)


def where(file: Path) -> Where:
    """Of boxes of the file."""
    return lambda name, number: (file, f"region[{number}]")


def _regions(task: Task) -> Iterator[Task]:
    """Of a task, each with the fields of its `value`; a class of its own (`labels`) joins the region of its id."""
    found = dict[Any, Task]()
    for place, each in enumerate(_results(task)):
        if not isinstance(each, dict) or each.get("type") in (*IGNORED, "relation"):
            continue
        value = each["value"] if isinstance(each.get("value"), dict) else {}
        key = each.get("id") if isinstance(each.get("id"), str) else place
        found[key] = found.get(key, {}) | each | value
    return iter(found.values())


def _results(task: Task) -> list[Any]:
    """JSON-MIN has the regions in the task itself, in the field of the control."""
    given = task.get("annotations", task.get("completions"))
    if isinstance(given, list):
        sound = [each for each in given if _is_sound(each)]
        chosen = next((each for each in sound if each.get("ground_truth")), sound[0] if sound else {})
        return chosen["result"] if isinstance(chosen.get("result"), list) else []
    lists = [value for value in task.values() if isinstance(value, list) and value and _is_region(value[0])]
    return [each for value in lists for each in value]


def _check_labeled(task: Task, regions: list[Task]) -> None:
    """Raises InputError if nobody has labeled the image of a task, or if its regions lie on several."""
    given = task.get("annotations", task.get("completions"))
    if isinstance(given, list) and not any(_is_sound(each) for each in given):
        what = "its annotations were canceled" if given else "it has no annotation"
        raise InputError(f"{what}, so the objects of its image are unknown", "entry-unusable")
    if len(images := sorted({str(each["to_name"]) for each in regions if each.get("to_name")})) > 1:
        raise InputError(
            f"its regions lie on several images, {', '.join(images):.80}: export one image per task", "entry-unusable"
        )


def _is_sound(annotation: Any) -> bool:
    return isinstance(annotation, dict) and not annotation.get("was_cancelled")


def _is_region(value: Any) -> bool:
    return isinstance(value, dict) and any(field.endswith(END) for field in value)


def _image(task: Task) -> str:
    """What a task calls its image: the first text of its data that ends as an image does. Raises InputError."""
    data = task["data"] if isinstance(task.get("data"), dict) else task
    texts = [value for value in data.values() if isinstance(value, str)]
    for text in texts:
        if _names(text)[-1].lower().endswith(SUFFIXES + UNREAD):
            return text
    raise InputError("its data names no image file", "field-malformed")


def _names(stated: str) -> list[str]:
    """The paths that may be meant by an address: of a query `d`, of a path, and without what an upload adds."""
    address = urlsplit(stated)
    path = unquote(parse_qs(address.query).get("d", [address.path])[0]).replace("\\", "/")
    name = PurePosixPath(path).name
    return [path.lstrip("/"), name, UPLOADED.sub("", name)]


def _size(regions: list[Task]) -> Size | None:
    for region in regions:
        height, width = (by_value(region.get(f"original_{side}")) or 0 for side in ("height", "width"))
        if height > 0 and width > 0:
            return height, width
    return None


def _label(region: Task) -> str:
    named = [value for field, value in region.items() if field.endswith(END) and isinstance(value, list) and value]
    if not named:
        raise InputError(f"a region of type {region.get('type')!r:.40} has no label", "field-malformed")
    return text_of(named[0][0], "label")


def _drawn(region: Task, size: Size) -> DrawnShape:
    """In pixels. Raises InputError."""
    across, down = size[1] / 100, size[0] / 100
    if "points" in region:
        points = region["points"] if isinstance(region["points"], list) else []
        return polygons([[(x * across, y * down) for x, y in (numbers(point, 2, "points") for point in points)]])
    (angle,) = numbers([region.get("rotation") or 0], 1, "rotation")
    if "radiusX" in region:
        x, y, wide, high = numbers([region.get(field) for field in ("x", "y", "radiusX", "radiusY")], 4, "ellipse")
        return DrawnShape(turned_ellipse(x * across, y * down, wide * across, high * down, angle))
    if "rle" in region or not {"x", "y", "width", "height"} <= region.keys() or "keypointlabels" in region:
        kind = region.get("type")
        raise InputError(f"a region of type {kind!r:.40} is not a rectangle, polygon or ellipse", "shape-unread")
    x, y, wide, high = numbers([region.get(field) for field in ("x", "y", "width", "height")], 4, "rectangle")
    corners = _turned(x * across, y * down, wide * across, high * down, angle)
    return DrawnShape(corners, turned=is_turned(angle))


def _turned(x: float, y: float, wide: float, high: float, angle: float) -> list[float]:
    """The upright box around a box that is turned about its first corner, clockwise, in degrees."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    corners = [(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx in (0.0, wide) for dy in (0.0, high)]
    return [*map(min, zip(*corners, strict=True)), *map(max, zip(*corners, strict=True))]


def is_label_studio(file: Path) -> bool:
    """Whether one of the first elements of the file's list is a task; JSON-MIN has some without regions."""
    try:
        return _begins(file) and any(map(_is_task, islice(items(file), PROBED)))
    except ValueError:
        return False


def _is_task(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    exported = isinstance(value.get("data"), dict) and ("annotations" in value or "completions" in value)
    return exported or any(isinstance(each, list) and each and _is_region(each[0]) for each in value.values())


def _begins(file: Path) -> bool:
    """Whether it begins with a list, so that no other file is read."""
    try:
        with file.open("rb") as opened:
            return opened.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"["
    except OSError:
        return False


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in visible_files(path, "*.json") if is_label_studio(file)]
    return [path] if path.suffix.lower() == ".json" and is_file(path) and is_label_studio(path) else []


def _by_split(path: Path) -> dict[str, Path]:
    return {file.stem: file for file in _files(path)}


def _file(path: Path, split: str | None) -> Path:
    return chosen_file(_by_split(path), split, path)


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_label_studio(_file(path, split), images=images)


FORMAT = Format(
    name="labelstudio",
    title="Label Studio",
    layout="a .json of its export JSON or JSON-MIN",
    suffixes=(".json",),
    matches=lambda path: bool(_files(path)),
    splits=lambda path: tuple(_by_split(path)) if path.is_dir() else (),
    read=_read,
    file=_file,
    where=where,
    single_files=True,
    takes_images=True,
    not_carried=lambda path: "brush masks, keypoints, choices of whole images, and other annotations of a task",
)
