"""Copies rows between stores and files of JSON lines."""

import os
from collections.abc import Iterator
from pathlib import Path

from paretodet.errors import InputError
from paretodet.records.lines import write_lines
from paretodet.records.location import LINES, is_lines, is_url, without_password
from paretodet.records.row_id import canonical
from paretodet.records.store import ImportCounts, Store
from paretodet.sweep.read import contents
from paretodet.writing import check_target

DATABASES = (".db", ".db3", ".sqlite", ".sqlite3")


def copy_rows(source: str, target: str) -> ImportCounts:
    """Adds every row of `source`, with its samples, to `target`, all of them or none; rows that it has are skipped.

    Both are an SQLite file, an SQLAlchemy URL or a file of JSON lines. A store is made if needed; a file of lines must
    be new. Raises InputError if `source` does not exist or has a line that is not a row, or `target` cannot be written,
    and StoreError if a database fails.
    """
    _check(source, target)
    rows = contents(source)
    if not is_lines(target):
        return Store(target).add(rows)
    copied, read = set[str](), 0

    def texts() -> Iterator[str]:
        nonlocal read
        for row in rows:
            read += 1
            if row["id"] not in copied:
                copied.add(row["id"])
                yield canonical(row)

    added = write_lines(Path(target), texts())  # one by one: all rows may be more than the memory holds
    return ImportCounts(added=added, duplicates=read - added)


def _check(source: str, target: str) -> None:
    """Raises InputError if the target is the source, or no place for rows."""
    if source == target or os.path.realpath(source) == os.path.realpath(target):
        message = f"to: {without_password(target)} is an input of this command; name another store or file"
        raise InputError(message, "output-is-input")
    if is_lines(target) or not (is_url(target) or Path(target).exists()):
        check_target(Path(target), "to", endings=(LINES, *DATABASES), new=True)
