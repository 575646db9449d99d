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
    """A COCO results file: one object a detection. Raises ValueError naming the file and what it is instead."""
    rows = read_json(path, what="results", max_bytes=max_bytes)
    if not isinstance(rows, list):
        raise InputError(
            f"results: {path} holds no list, which a COCO results file is, one object a detection", "results-malformed"
        )
    return rows
