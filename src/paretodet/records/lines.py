"""Files of rows as JSON Lines."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from paretodet.errors import FileError, InputError, words
from paretodet.records.row_id import validated
from paretodet.records.sql_rows import StoreError
from paretodet.writing import written


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file. Raises ValueError with the file, the line and what is wrong."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield validated(json.loads(line, parse_constant=_not_a_number))
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"{path}, line {number}: {words(error)}; correct or delete the line", "row-invalid"
                ) from error


def write_lines(path: Path, texts: Iterable[str]) -> int:
    """Writes the JSON texts of rows, one per line, whole or not at all, and returns their number."""
    try:
        with written(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            return sum(1 for text in texts if file.write(f"{text}\n"))
    except FileError:  # the texts are read from a damaged store, or a file that cannot be read
        raise
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}", "output-unwritable") from error


def _not_a_number(word: str) -> None:
    raise InputError(f"{word} is not JSON; use null for an unknown value", "row-invalid")
