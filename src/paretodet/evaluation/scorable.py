"""What of a COCO file detections can be scored by: small gaps are filled, images and annotations that are of no use are
left out, and both are told, in one sentence a kind.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

from paretodet.evaluation.checks import MOST, is_outline, run_lengths
from paretodet.labels.builder import MAX_SIDE, check_inside, left_out
from paretodet.labels.formats.coco import box_of, crowd_of, name_of, whole_number
from paretodet.labels.rle import area, pack

Row = dict[str, Any]
IMAGES = "images of {file} cannot be used"
UNUSABLE = "annotations of {file} cannot be scored"
SHAPELESS = "outlines of {file} cannot be read, their boxes stay"
AREA = "annotations of {file} have no area, their outline's or box's is taken"
NUMBERED = "annotations of {file} have no id of their own, all are numbered anew"


def scorable(
    truth: Row, file: Path, *, pictured: bool = False, images: Path | None = None
) -> tuple[Row, tuple[str, ...]]:
    """`truth`, whose categories are sound, with the images and annotations that `check_labels` takes, each outline a
    sound one; and what was changed. `pictured`: an image needs a sound size and a file's name that stays in its folder;
    else what is unsound of these is not said. `images` is the folder that was given beside the file.

    Raises ValueError naming the file where no annotation is left.
    """
    found = _ScorableImages(truth["categories"], pictured)
    seen = [row for number, each in enumerate(truth["images"]) if (row := found.image(number, each)) is not None]
    rows = [row for number, each in enumerate(truth["annotations"]) if (row := found.sound(number, each)) is not None]
    told = tuple(
        left_out(number, kind.format(file=file), first, file, images) for kind, (number, first) in found.told.items()
    )
    if not rows:
        raise ValueError(f"labels: none is left: {told[0]}")
    if NUMBERED in found.told:
        rows = [row | {"id": number} for number, row in enumerate(rows, 1)]
    return truth | {"images": seen, "annotations": rows}, told


class _ScorableImages:
    def __init__(self, categories: list[Row], pictured: bool) -> None:
        self.categories, self.pictured = {category["id"] for category in categories}, pictured
        self.sizes = dict[int, tuple[int | None, int | None]]()  # of the images by id: height, width
        self.told = dict[str, tuple[int, str]]()  # kind -> how many, and the first
        self._ids = set[Hashable]()

    def image(self, number: int, image: Any) -> Row | None:
        """The image, without what is unsound of it where no picture is asked for; None where it is of no use."""
        try:
            key = whole_number(image, "id")
            if key in self.sizes:
                raise ValueError(f"id {key} is another image's already")
            unsound = _unsound(image, self.pictured)
            if unsound and self.pictured:
                raise next(iter(unsound.values()))
        except ValueError as problem:
            self._tell(IMAGES, f"images[{number}]", str(problem))
            return None
        kept = {name: value for name, value in image.items() if name not in unsound}
        self.sizes[key] = kept.get("height"), kept.get("width")
        return kept

    def sound(self, number: int, row: Any) -> Row | None:
        """The annotation, mended where it takes that; None where it is of no use."""
        place = f"annotations[{number}]"
        try:
            crowd = self._checked(row)
        except ValueError as problem:
            self._tell(UNUSABLE, place, str(problem))
            return None
        changed = row if type(row.get("iscrowd", 0)) is int else row | {"iscrowd": int(crowd)}
        if shapeless := self._shapeless(row):
            changed = {key: value for key, value in changed.items() if key != "segmentation"}
            self._tell(SHAPELESS, place, shapeless)
        if not _is_finite(row.get("area")):
            self._tell(AREA, place, f"area is {row.get('area')!r:.40}")
            changed = changed | {"area": _area(changed, self.sizes[row["image_id"]])}
        self._number(place, row.get("id"))
        return changed

    def _checked(self, row: Any) -> bool:
        """Whether it is a crowd. Raises ValueError where that, its box, its image or its class cannot be told."""
        if whole_number(row, "image_id") not in self.sizes:
            raise ValueError("its image is not among the images")
        if whole_number(row, "category_id") not in self.categories:
            raise ValueError("its category is not among the categories")
        box = box_of(row.get("bbox"))
        if not all(map(_is_finite, box)):
            raise ValueError("the box holds a number that is not finite")
        if min(box[2:]) < 0:
            raise ValueError("the box has swapped corners or a negative side")
        return crowd_of(row)

    def _shapeless(self, row: Row) -> str:
        """What is wrong with the outline; nothing where it is sound or there is none."""
        if not (outline := row.get("segmentation")):
            return ""
        try:
            pack(outline)
        except ValueError as problem:
            return str(problem)
        fills = is_outline(outline, self.sizes[row["image_id"]])
        return "" if fills else "segmentation: numbers of polygons, or run lengths that fill its image, are needed"

    def _number(self, place: str, key: Any) -> None:
        if type(key) is not int or abs(key) >= 2**63 or key in self._ids:
            self._tell(NUMBERED, place, f"id is {key!r:.40}")
        else:
            self._ids.add(key)

    def _tell(self, kind: str, place: str, reason: str) -> None:
        count, first = self.told.get(kind, (0, f"{place}: {reason}"))
        self.told[kind] = count + 1, first


def _unsound(image: Row, pictured: bool) -> dict[str, ValueError]:
    """What an image says of its file and its size that cannot be so, and why."""
    found = dict[str, ValueError]()
    file = _check_file if pictured else name_of
    for name, check in (("file_name", file), ("height", _check_side), ("width", _check_side)):
        try:
            if name in image or (pictured and name == "file_name"):
                check(image, name)
        except ValueError as problem:
            found[name] = problem
    return found


def _check_file(image: Row, name: str) -> None:
    check_inside(name_of(image, name))


def _check_side(image: Row, name: str) -> None:
    if not 1 <= (side := whole_number(image, name)) <= MAX_SIDE:
        raise ValueError(f"{name} is {side}, 1 to {MAX_SIDE} px are needed")


def _is_finite(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) <= MOST**2


def _area(row: Row, size: tuple[int | None, int | None]) -> float:
    """px² of the outline, which is sound, else of the box."""
    outline = row.get("segmentation")
    if isinstance(outline, dict):
        counts = outline["counts"]
        return sum((run_lengths(counts) or [] if isinstance(counts, str) else counts)[1::2])
    _, _, width, height = row["bbox"]
    return area(outline, (size[0], size[1])) if outline and size[0] and size[1] else width * height
