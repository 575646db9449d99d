"""Where COCO's instances files lie: by their usual names, else wherever files are found that begin as they do."""

import re
from itertools import islice
from pathlib import Path
from typing import Any

from paretodet.labels.json_stream import elements
from paretodet.labels.splits import is_usual, split_of_file, usual
from paretodet.reading import is_file, visible_files

HEAD, LISTED = 2**16, 10_000  # bytes of a file, and files of a set, that are looked at
ANNOTATIONS = "annotations"  # folder
PREFIX = "instances_"
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
        return {_stem(path): path} if path.suffix.lower() == ".json" else {}
    listed = _listed(path)
    named = [each for each in listed if each.stem.startswith("instances")]
    files = {_stem(each): each for each in named or filter(begins, listed)}
    for each in listed if named else ():
        if is_usual(each.stem) and usual(each.stem) not in map(usual, files) and begins(each):
            files[each.stem] = each
    return files or {each.parent.name: each for each in visible_files(path, "*/_annotations.coco.json")}


def files_elsewhere(path: Path) -> dict[str, Path]:
    """Split -> instances file, in folders of any names below `path`: those that begin as such files do. A file or its
    folder is named as its split.
    """
    if not path.is_dir() or instances_files(path):
        return {}
    listed = sorted(file for pattern in ("*/*.json", "*/*/*.json") for file in islice(path.glob(pattern), LISTED))
    found = dict[str, Path]()
    for file in listed:
        if not file.name.startswith(".") and begins(file):
            found.setdefault(split_of_file(file, _stem(file)), file)
    return found


def only_file(path: Path) -> dict[str, Path]:
    """The only .json where instances files may lie, whatever it holds."""
    listed = _listed(path)
    return {_stem(each): each for each in listed} if len(listed) == 1 else {}


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


def _stem(file: Path) -> str:
    return file.stem.removeprefix(PREFIX)
