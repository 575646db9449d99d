"""Moves rows between a store and a file of JSON lines."""

from pathlib import Path

from paretodet.errors import InputError
from paretodet.records.store import ImportCounts, Store
from paretodet.sweep.read import open_store
from paretodet.writing import check_target

LINES = ".jsonl"


def export_rows(store: str, path: Path) -> int:
    """Writes every row of `store` to the new file `path`, one JSON object per line, and returns their number.

    Raises InputError if the store is a file of lines or `path` exists, ValueError if there is no such store.
    """
    _check_store(store)
    check_target(path, "out", endings=[LINES], read=[Path(store)], new=True)
    return open_store(store).export_jsonl(path)


def import_rows(path: Path, store: str) -> ImportCounts:
    """Adds every row of the file `path` to `store`, all of them or none. Rows that the store has are skipped.

    Raises InputError if the store is a file of lines, StoreError if the file cannot be read, and ValueError naming
    file, line and field if a line is not a row.
    """
    _check_store(store)
    if not path.is_file():
        raise InputError(f"{path}: no such file; `paretodet export-rows` writes one", "rows-missing")
    return Store(store).import_jsonl(path)


def _check_store(store: str) -> None:
    if store.endswith(LINES):
        raise InputError(f"store: {store} is a file of rows; give a .db file or a database URL", "store-format")
