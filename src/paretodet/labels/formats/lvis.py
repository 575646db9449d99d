"""LVIS's instances files: COCO's, with the classes that were looked for in each image (Gupta et al. 2019).

The labels say nothing about a class that an image neither has nor lists in `neg_category_ids`. Of a class that it lists
in `not_exhaustive_category_ids`, some objects have no box. https://www.lvisdataset.org/dataset.
"""

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from paretodet.errors import InputError
from paretodet.labels.builder import MISSING, whole_number
from paretodet.labels.format import Format
from paretodet.labels.formats import coco
from paretodet.labels.formats.coco_files import files_elsewhere, instances_files, only_file
from paretodet.labels.json_stream import elements
from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import Subject
from paretodet.labels.model import ABSENT, PARTIAL, Labels, Purpose
from paretodet.labels.splits import chosen_file

MARKS = tuple(f'"{field}"'.encode() for field in (ABSENT, PARTIAL))
CHUNK = 2**24
FREQUENCIES = ("r", "c", "f")


def read_lvis(path: Path | str, *, images: Path | str | None = None, purpose: Purpose = Purpose.TRAIN) -> Labels:
    """As `read_coco`. Images without a file name have that of their `coco_url`, with its folder: train2017/1.jpg."""
    path, frequency = Path(path), dict[int, Any]()
    reader = coco.InstancesReader(
        path,
        images,
        purpose,
        name_of=_name,
        federated=lambda image: (_ids(image, ABSENT), _ids(image, PARTIAL)),
        on_category=lambda key, category: frequency.update({key: category.get("frequency")}),
    )
    return reader.read(elements(path), lambda: _frequencies(frequency))


def _name(image: coco.Element) -> Any:
    if (name := image.get("file_name", MISSING)) not in (MISSING, None, "") or not isinstance(
        image.get("coco_url"), str
    ):
        return name
    return "/".join(urlsplit(image["coco_url"]).path.split("/")[-2:])


def _ids(image: coco.Element, field: str) -> list[int]:
    """Raises ValueError if it is no list of whole numbers."""
    values = [] if image.get(field) is None else image[field]
    if not isinstance(values, list):
        raise InputError(f"{field} is {values!r:.80}, a list of category ids is needed", "field-malformed")
    return [whole_number(each, field) for each in values]


def _frequencies(known: dict[int, Any]) -> tuple[str, ...]:
    """Of the classes by rising id; empty if one of them states none."""
    values = tuple(known[key] for key in sorted(known))
    return values if all(each in FREQUENCIES for each in values) else ()


@check("absent-class-labeled", "fault", f"Remove the class from {ABSENT}, or its box from the image.")
def absent_class_labeled(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        if (known := part.data.federated) is None:
            continue
        span = len(part.data.labels)
        absent = known.absent[:, 0] * span + known.absent[:, 1]
        for row in np.flatnonzero(np.isin(part.owners * span + part.data.classes, absent)).tolist():
            yield part.at(row, f"its image has {part.data.labels[part.data.classes[row]]!r} in {ABSENT}")


def is_lvis(file: Path) -> bool:
    """Whether an instances file has the fields of LVIS."""
    try:
        state = file.stat()
    except OSError:
        return False
    return _has_mark(file, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _has_mark(file: Path, changed: int, size: int) -> bool:
    """Cached by the time of the last change and the size."""
    before = b""
    try:
        with file.open("rb") as opened:
            while chunk := opened.read(CHUNK):
                text = before + chunk
                if any(mark in text for mark in MARKS):
                    return True
                before = chunk[-max(map(len, MARKS)) :]
    except OSError:
        pass
    return False


def _files(path: Path) -> dict[str, Path]:
    """Split -> file; lvis_v1_val.json is val, unless another version of val lies beside it."""
    files = instances_files(path) or files_elsewhere(path) or only_file(path)
    short = {split: re.sub(r"^lvis_v[\d.]+_", "", split) for split in files}
    times = Counter(short.values())
    return {short[split] if times[short[split]] == 1 else split: file for split, file in files.items()}


def _are_lvis(files: dict[str, Path]) -> bool:
    return bool(files) and all(map(is_lvis, files.values()))


def _file(path: Path, split: str | None) -> Path:
    return chosen_file(_files(path), split, path)


def _read(
    path: Path, *, split: str | None = None, images: Path | None = None, purpose: Purpose = Purpose.TRAIN
) -> Labels:
    return read_lvis(_file(path, split), images=images, purpose=purpose)


FORMAT = Format(
    name="lvis",
    title="LVIS",
    layout=f"as COCO, with {ABSENT} or {PARTIAL} in the images",
    suffixes=(".json",),
    matches=lambda path: _are_lvis(instances_files(path)),
    resembles=lambda path: _are_lvis(files_elsewhere(path)),
    may_be=lambda path: _are_lvis(only_file(path)),
    splits=lambda path: tuple(_files(path)) if path.is_dir() else (),
    read=_read,
    file=_file,
    where=coco.where,
    single_files=True,
    takes_images=True,
    checks=(*coco.FORMAT.checks, absent_class_labeled),
    not_carried=coco.FORMAT.not_carried,
)
