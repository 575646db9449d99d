"""JSON files of results, within limits."""

import gc
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paretodet.errors import InputError, words
from paretodet.reading import read_bytes

MAX_BYTES = 2 * 2**30
DETECTIONS = ("annotations", "detections", "predictions", "results")  # lists of a document


def read_json(path: Path, *, what: str, max_bytes: int = MAX_BYTES) -> Any:
    """What a JSON file holds. Raises ValueError that begins with `what` and names the file and its fault."""
    try:
        content = read_bytes(path, max_bytes)
        with _no_collection():
            return json.loads(content)
    except FileNotFoundError:
        raise InputError(f"{what}: {path}: no such file", "file-missing") from None
    except (OSError, ValueError, RecursionError, MemoryError) as problem:
        raise InputError(
            f"{what}: {path} cannot be read as JSON ({words(problem) or type(problem).__name__})", "json-invalid"
        ) from None


@contextmanager
def _no_collection() -> Iterator[None]:
    """Half of the time to read many small objects goes into looking for garbage, and there is none."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def read_results(path: Path, *, max_bytes: int = MAX_BYTES) -> list[dict[str, Any]]:
    """A COCO results file: one object a detection; or the list of detections in a document with images and categories,
    whose names the rows then have. Raises ValueError naming the file and what it is instead.
    """
    if path.is_dir():
        raise InputError(
            f"results: {path} is a folder, and COCO results are one .json, such as `yolo val save_json=True` writes",
            "results-malformed",
        )
    try:
        rows = read_json(path, what="results", max_bytes=max_bytes)
    except InputError as problem:
        if problem.id != "json-invalid":
            raise
        text = "COCO results are one JSON list with an object for every detection"
        raise InputError(f"{problem.message}; {text}", problem.id) from None
    if isinstance(rows, dict):
        rows = _detections_of(rows)
    if not isinstance(rows, list):
        raise InputError(
            f"results: {path} holds no list; a COCO results file is a list with an object for each detection",
            "results-malformed",
        )
    return rows


def _detections_of(document: dict[str, Any]) -> list[Any] | None:
    """The rows of a document's only list of detections; None if it has none."""
    lists = [document[name] for name in DETECTIONS if isinstance(document.get(name), list)]
    if len(lists) != 1:
        return None
    images = _names(document.get("images"), "file_name")
    categories = _names(document.get("categories"), "name")
    return [
        _named(_named(row, "image_id", images, "file_name"), "category_id", categories, "category_name")
        for row in lists[0]
    ]


def _names(listed: Any, field: str) -> dict[Any, str]:
    """Names by the ids of a list of objects."""
    rows = listed if isinstance(listed, list) else []
    known = ((row.get("id"), row.get(field)) for row in rows if isinstance(row, dict))
    return {key: name for key, name in known if isinstance(key, int | str) and isinstance(name, str)}


def _named(row: Any, key: str, names: dict[Any, str], field: str) -> Any:
    """A row with the name of what its id stands for, if it has none."""
    if not isinstance(row, dict) or field in row or not isinstance(row.get(key), int | str) or row[key] not in names:
        return row
    return row | {field: names[row[key]]}
