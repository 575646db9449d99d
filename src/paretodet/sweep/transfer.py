"""Copies rows between stores and files of JSON lines."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from paretodet.errors import InputError
from paretodet.records.lines import write_lines
from paretodet.records.location import LINES, is_lines, is_url, without_password
from paretodet.records.row_id import canonical
from paretodet.records.store import ImportCounts, Store
from paretodet.sweep.read import contents
from paretodet.writing import check_target

DATABASES = (".db", ".db3", ".sqlite", ".sqlite3")
BATCH = 500  # rows that are added in one transaction, which excludes other writers


def copy_rows(source: str, target: str) -> ImportCounts:
    """Adds every row of `source`, with its samples, to `target`; rows that it has are skipped.

    Both are an SQLite file, an SQLAlchemy URL or a file of JSON lines. A store is made if needed; other processes can
    write to it meanwhile, and a copy that was interrupted is continued by the same call. A file of lines must be new;
    it gets all rows or none. Raises InputError, before a row is added, if `source` does not exist or has a line that is
    not a row, or `target` cannot be written, and StoreError if a database fails.
    """
    _check(source, target)
    if is_lines(target):
        return _copy_to_lines(source, Path(target))
    for _ in contents(source):  # refuses what is not a row
        pass
    store, counts, rows = Store(target), ImportCounts(0, 0), contents(source)
    while some := list(islice(rows, BATCH)):  # read before the transaction begins
        new = store.add(some)
        counts = ImportCounts(counts.added + new.added, counts.duplicates + new.duplicates)
    return counts


def _copy_to_lines(source: str, target: Path) -> ImportCounts:
    copied, read = set[str](), 0

    def texts() -> Iterator[str]:
        nonlocal read
        for row in contents(source):
            read += 1
            if row["id"] not in copied:
                copied.add(row["id"])
                yield canonical(row)

    added = write_lines(target, texts())  # one by one: all rows may be more than the memory holds
    return ImportCounts(added=added, duplicates=read - added)


def _check(source: str, target: str) -> None:
    """Raises InputError if the target is the source, or no place for rows."""
    if source == target or os.path.realpath(source) == os.path.realpath(target):
        message = f"to: {without_password(target)} is an input of this command; name another store or file"
        raise InputError(message, "output-is-input")
    if is_lines(target) or not (is_url(target) or Path(target).exists()):
        check_target(Path(target), "to", endings=(LINES, *DATABASES), new=True)
