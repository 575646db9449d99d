"""Where COCO's instances files lie: by their usual names, else wherever files are found that begin as they do."""

import re
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from paretodet.labels.json_stream import elements
from paretodet.labels.splits import distinct, is_usual, split_of_file, usual, words_of
from paretodet.reading import is_file, visible_files

HEAD, LISTED = 2**16, 10_000  # bytes of a file, and files of a set, that are looked at
ANNOTATIONS = "annotations"  # folder
INSTANCES, PREFIX = "instances", "instances_"
CONTENT = (INSTANCES, "coco", "annotation", "annotations", "label", "labels", "box", "boxes", "bbox")  # in files' names
OBJECT = re.compile(rb"(\xef\xbb\xbf)?\s*\{")
OPENING = re.compile(rb"(\xef\xbb\xbf)?\s*\{\s*\"(info|licenses|type|categories|annotations)\"\s*:")
IMAGES = re.compile(rb"\"images\"\s*:\s*\[")  # notes on classes, licenses and the like have no such lists
ROWS = re.compile(rb"\"annotations\"\s*:\s*\[")
ROW = re.compile(rb"\"(image_id|category_id)\"\s*:")  # a list of this name has no such rows in other tools' files
MAPPED = re.compile(rb"\"categories\"\s*:\s*\{")  # as Datumaro has them


def instances_files(path: Path) -> dict[str, Path]:
    """Split -> instances file: the file itself, or those of a folder, of its annotations folder and, as some exports
    write them, of its splits' folders. A file of a folder has the usual name, or that of another split; where none has
    the usual name, it begins as such a file.
    """
    if is_file(path):
        return {_split(path): path} if path.suffix.lower() == ".json" else {}
    listed = _listed(path)
    named = list(filter(_is_named, listed))
    known = set(map(usual, _by_split(named, path)))
    others = [each for each in listed if each not in named and (not named or _is_other(_split(each), known))]
    files = _by_split([*named, *filter(begins, others)], path)
    return files or {each.parent.name: each for each in visible_files(path, "*/_annotations.coco.json")}


def files_elsewhere(path: Path) -> dict[str, Path]:
    """Split -> instances file, in folders of any names below `path`: those that begin as such files do. A file or its
    folder is named as its split.
    """
    if not path.is_dir() or instances_files(path):
        return {}
    listed = sorted(file for pattern in ("*/*.json", "*/*/*.json") for file in islice(path.glob(pattern), LISTED))
    files = [file for file in listed if not file.name.startswith(".") and begins(file)]
    return distinct([split_of_file(file, _split(file)) for file in files], files, path)


def only_file(path: Path) -> dict[str, Path]:
    """The only .json where instances files may lie, whatever it holds."""
    listed = _listed(path)
    return _by_split(listed, path) if len(listed) == 1 else {}


def begins(file: Path) -> bool:
    """Whether the file holds an object with a list of images, or of annotations as COCO has them, as far as its
    beginning tells.
    """
    try:
        with file.open("rb") as opened:
            head = opened.read(HEAD)
        if OBJECT.match(head) is None or MAPPED.search(head) is not None:
            return False
        if IMAGES.search(head) is not None or ROWS.search(head) is not None and ROW.search(head) is not None:
            return True
        more = len(head) == HEAD and OPENING.match(head) is not None
        return more and any(_is_row(key, value) for key, _, value in elements(file))
    except (OSError, ValueError):
        return False


def _is_row(key: str, value: Any) -> bool:
    return key == "images" or key == "annotations" and isinstance(value, dict) and "image_id" in value


def _listed(path: Path) -> list[Path]:
    return visible_files(path, "*.json", f"{ANNOTATIONS}/*.json")


def _split(file: Path) -> str:
    """The split that a file's name says beside what is in the file: val of val_instances and of coco_val; of another
    name what is behind `instances_`.
    """
    others = [word for word in words_of(file.stem) if word.lower() not in CONTENT]
    return others[0] if len(others) == 1 and is_usual(others[0]) else file.stem.removeprefix(PREFIX)


def _is_named(file: Path) -> bool:
    """Whether it is called as instances files are, or begins as one and has their word elsewhere in its name."""
    words = [word.lower() for word in words_of(file.stem)]
    return file.stem.startswith(INSTANCES) or INSTANCES in words and begins(file)


def _is_other(split: str, known: Collection[str]) -> bool:
    """Whether it is what a split is usually called, and none of those that are known."""
    return is_usual(split) and usual(split) not in known


def _by_split(files: Sequence[Path], folder: Path) -> dict[str, Path]:
    return distinct(map(_split, files), files, folder)
