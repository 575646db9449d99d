"""A cleaned copy of a data set, in COCO's form: what the checks call faults is not in it."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from paretodet.data.doctor.coco_text import written
from paretodet.data.doctor.examine import Examination
from paretodet.data.doctor.finding import Place
from paretodet.data.doctor.pictures import Picture
from paretodet.data.doctor.subject import Part, Subject
from paretodet.data.masks import Polygons, Runs
from paretodet.data.sample import Mask

FIRST = ("test", "val", "dev", "train")  # a picture of several splits stays in the first of these, so none that tests
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cleaned:
    """What was written, and what was not."""

    folder: Path
    files: tuple[Path, ...]  # of labels
    images: int
    boxes: int
    cut: int  # boxes at the border of their images
    left_out: tuple[Place, ...]  # images and splits; what else was left out, the findings tell

    def to_json(self) -> Row:
        left = [{"file": str(each.file), "place": each.place, "text": each.text} for each in self.left_out]
        files = [str(file) for file in self.files]
        return {"folder": str(self.folder), "files": files, "images": self.images, "boxes": self.boxes} | {
            "boxes_cut": self.cut,
            "left_out": left,
        }


def write_clean(found: Examination, folder: Path | str) -> Cleaned:
    """annotations/instances_<split>.json and images/<split>/ in `folder`, which is new or empty. Pictures are linked
    where the file system can, else copied.

    Raises ValueError where the folder holds something, pictures were not decoded, or nothing would be left.
    """
    folder, subject = Path(folder), found.subject
    if not found.decoded:
        raise ValueError("fix: pictures must be decoded to know which are sound, leave --quick away")
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise ValueError(f"fix: {folder} holds something already, name a new folder")
    sieve = _Sieve(subject)
    kept = {part.split: list(sieve.sound(part)) for part in sorted(subject.parts, key=_rank)}
    whole = [part for part in subject.parts if kept[part.split]]
    if not whole:
        raise ValueError(f"fix: no image of {subject.path} is sound, so there is nothing to write")
    left = sieve.left_out + [
        Place(part.file, part.split, "no image is left") for part in subject.parts if part not in whole
    ]
    categories = _Categories(whole)
    rows = [_write_part(part, kept[part.split], categories, folder) for part in whole]
    return Cleaned(
        folder=folder,
        files=tuple(_labels_file(folder, part) for part in whole),
        images=sum(len(truth["images"]) for truth in rows),
        boxes=sum(len(truth["annotations"]) for truth in rows),
        cut=sum(_cut(part, kept[part.split]) for part in whole),
        left_out=tuple(left),
    )


class _Sieve:
    """Which images are sound, and why the others are not."""

    def __init__(self, subject: Subject) -> None:
        self.subject, self.left_out = subject, list[Place]()
        self._split_of = dict[Path | bytes | None, str]()

    def sound(self, part: Part) -> Iterator[int]:
        for index, file in enumerate(part.files):
            picture = self.subject.pictures[file]
            fault = self._fault(part, index, picture) or self._seen_in(part, file, picture)
            if fault:
                self.left_out.append(Place(file, "", fault))
            else:
                self._split_of.setdefault(picture.digest, part.split)
                self._split_of[file] = part.split
                yield index

    def _fault(self, part: Part, index: int, picture: Picture) -> str:
        if picture.problem or picture.head is None:
            return picture.problem or "it has no head"
        same = [picture.head.height, picture.head.width] == part.data.sizes[index].tolist()
        return "" if same else "its size is not that of its labels"

    def _seen_in(self, part: Part, file: Path, picture: Picture) -> str:
        if file in self._split_of:
            return f"{self._split_of[file]} has it already"
        other = self._split_of.get(picture.digest, part.split)
        return "" if other == part.split else f"{other} has a copy of it"


class _Categories:
    """The categories of all parts: as they are where the parts agree, else by name with new ids."""

    def __init__(self, parts: list[Part]) -> None:
        pairs = [list(zip(part.data.category_ids, part.data.labels, strict=True)) for part in parts]
        self._agree = all(each == pairs[0] for each in pairs)
        names = dict.fromkeys(name for each in pairs for _, name in each)
        self._ids = {name: number for number, name in enumerate(names, 1)}
        found = pairs[0] if self._agree else [(number, name) for name, number in self._ids.items()]
        self.rows = [{"id": key, "name": _printable(name)} for key, name in found]

    def key(self, part: Part, label: int) -> int:
        return part.data.category_ids[label] if self._agree else self._ids[part.data.labels[label]]


def _write_part(part: Part, kept: list[int], categories: _Categories, folder: Path) -> Row:
    truth: Row = {"images": [], "annotations": [], "categories": categories.rows}
    names = _Names()
    (folder / "images" / part.split).mkdir(parents=True)
    for key, index in enumerate(kept, 1):
        sample, name = part.data[index], names.new(part.files[index], key)
        _link(sample.image, folder / "images" / part.split / name)
        truth["images"].append({"id": key, "file_name": name, "height": sample.size[0], "width": sample.size[1]})
        for row in range(*part.data.offsets[index : index + 2].tolist()):
            about = {"id": len(truth["annotations"]) + 1, "image_id": key}
            mask = sample.masks[row - part.data.offsets[index]] if sample.masks else None
            category = categories.key(part, int(part.data.classes[row]))
            truth["annotations"].append(about | {"category_id": category} | _box(part, row) | _outline(mask))
    _write_json(_labels_file(folder, part), truth)
    return truth


def _box(part: Part, row: int) -> Row:
    x1, y1, x2, y2 = part.data.boxes[row].tolist()
    area = (x2 - x1) * (y2 - y1)
    if part.file.suffix.lower() == ".json":
        said = written(part).areas[part.data.numbers[row]]
        area = said if 0 < said <= area else area
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "iscrowd": int(part.data.crowd[row])}


def _outline(mask: Mask | None) -> Row:
    if isinstance(mask, Runs):
        return {"segmentation": {"size": list(mask.size), "counts": mask.text.decode("ascii")}}
    rings = [ring.tolist() for ring in mask.rings] if isinstance(mask, Polygons) else []
    return {"segmentation": rings} if rings else {}


class _Names:
    """File names that are safe, printable and differ by more than their case."""

    def __init__(self) -> None:
        self._taken = set[str]()

    def new(self, file: Path, key: int) -> str:
        suffix = file.suffix if file.suffix.isascii() and file.suffix.isprintable() else ""
        name = file.name if file.name.isprintable() and "\\" not in file.name else f"{key:08}{suffix}"
        while name.casefold() in self._taken:
            name = f"{key:08}_{name}"
        self._taken.add(name.casefold())
        return name


def _link(source: Path, target: Path) -> None:
    source = source.resolve()
    try:
        os.link(source, target)
    except OSError:  # another file system, or one that has no links
        shutil.copyfile(source, target)


def _write_json(path: Path, value: Row) -> None:
    """Whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".part", delete=False) as file:
        try:
            json.dump(value, file, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, 0o644)
            os.replace(file.name, path)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise


def _labels_file(folder: Path, part: Part) -> Path:
    return folder / "annotations" / f"instances_{part.split}.json"


def _rank(part: Part) -> int:
    return next((place for place, name in enumerate(FIRST) if part.split.startswith(name)), len(FIRST))


def _cut(part: Part, kept: list[int]) -> int:
    return int((part.data.outside[np.isin(part.owners, kept)] > 0).sum())


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)
