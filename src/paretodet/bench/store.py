"""Where rows live: an append-only table behind one SQLAlchemy URL, and JSON lines in and out.

A row is committed whole or not at all, by any number of writers at once, whatever kills them. Nothing is ever
updated but the mark that a run is over.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from paretodet.bench.record import Measurement
from paretodet.bench.seal import REQUIRED, TYPES, canonical, digest, job_key, row_lines, row_text
from paretodet.writing import written

DEFAULT = "paretodet.db"
WAIT_S = 60  # for another writer's transaction

TABLES = sa.MetaData()
ROWS = sa.Table(
    "rows",
    TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("run", sa.String(64), nullable=False, index=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("job", sa.String(64), nullable=False),  # `job_key` of the row
    sa.Column("row", sa.Text, nullable=False),  # JSON, as it came
)
RUNS = sa.Table(
    "runs",
    TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("unfinished", sa.String(64), unique=True),  # digest of plan and machine, NULL once the run is closed
)


class StoreError(OSError):
    """The store cannot be read or written; the message is one sentence. Nothing was half-written."""


class Imported(NamedTuple):
    """How many lines became rows, and how many were in the store already."""

    added: int
    duplicates: int


def _url(target: str | Path) -> sa.URL:
    if "://" in str(target):
        return sa.make_url(str(target))
    return sa.URL.create("sqlite", database=str(target))


@contextmanager
def _named(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Turns what a database says into one sentence about this store."""
    try:
        yield
    except errors as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise StoreError(f"store {name!r}: {reason}") from error


class Store:
    """Rows in a database: a path means SQLite, anything with "://" is an SQLAlchemy URL.

    Raises StoreError from every method when the database cannot be reached, read or written.
    """

    def __init__(self, target: str | Path = DEFAULT) -> None:
        with _named(str(target), SQLAlchemyError, ValueError):
            url = _url(target)
        sqlite = url.get_backend_name() == "sqlite"
        self.name = str(url.database) if sqlite else url.render_as_string(hide_password=True)
        with _named(self.name, SQLAlchemyError, ImportError):
            wait = {"timeout": WAIT_S} if sqlite else {}
            self._engine = sa.create_engine(url, connect_args=wait, poolclass=NullPool)
        with self._transaction() as connection:
            if not sa.inspect(connection).has_table(RUNS.name):
                self._create(connection)

    @staticmethod
    def _create(connection: sa.Connection) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # the file remembers it
        for table in TABLES.sorted_tables:
            connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            for index in table.indexes:
                connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with _named(self.name, SQLAlchemyError), self._engine.begin() as connection:
            yield connection

    # rows

    def append(self, row: Measurement) -> None:
        """Commits one row. Raises StoreError when its id is there already, ValueError where it is not JSON."""
        values = _columns(json.loads(row_text(row)))
        with self._transaction() as connection:
            connection.execute(sa.insert(ROWS).values(values))

    def rows(self, **equal: Any) -> tuple[Measurement, ...]:
        """Rows whose fields equal the given ones, oldest first. Raises ValueError on a field that no row has."""
        return tuple(row for row, _ in self._select(equal))

    def get(self, prefix: str) -> Measurement:
        """The row whose id starts so. Raises LookupError, naming near ids, when there is none or more than one."""
        with self._transaction() as connection:
            ids = list(connection.execute(sa.select(ROWS.c.id).order_by(ROWS.c.id)).scalars())
        found = [each for each in ids if each.startswith(prefix)]
        if len(found) == 1:
            return self.rows(id=found[0])[0]
        if found:
            raise LookupError(f"id {prefix!r} begins {len(found)} ids ({', '.join(found[:5])} ...); give more of it")
        near = ", ".join(get_close_matches(prefix, ids, n=3, cutoff=0)) or "none, the store is empty"
        raise LookupError(f"no row has an id that begins with {prefix!r}; the nearest: {near}")

    def _select(self, equal: Mapping[str, Any]) -> Iterator[tuple[Measurement, str]]:
        if unknown := equal.keys() - TYPES.keys():
            near = get_close_matches(min(unknown), TYPES, cutoff=0)
            raise ValueError(f"{min(unknown)!r} is no field of a row; the nearest: {', '.join(near)}")
        query = sa.select(ROWS.c.row).order_by(ROWS.c.at, ROWS.c.id)
        for name in ("id", "run", "name"):
            query = query.where(ROWS.c[name] == equal[name]) if name in equal else query
        with self._transaction() as connection:
            texts = connection.execute(query).scalars().all()
        for text in texts:
            row = Measurement.from_json(json.loads(text))
            if all(getattr(row, name) == value for name, value in equal.items()):
                yield row, text

    # runs

    def open_run(self, plan: Any, *, machine: str) -> str:
        """Id of the unfinished run of this plan (any JSON) on this machine, or of a new one."""
        key = digest([plan, machine])
        if run := self._unfinished(key):
            return run
        run = uuid4().hex[:12]
        values = {"id": run, "at": _now(), "plan": canonical(plan), "unfinished": key}
        try:
            with self._transaction() as connection:
                connection.execute(sa.insert(RUNS).values(values))
        except StoreError as error:
            # Another process may have opened the same run between the two statements.
            if isinstance(error.__cause__, IntegrityError) and (other := self._unfinished(key)):
                return other
            raise
        return run

    def _unfinished(self, key: str) -> str | None:
        with self._transaction() as connection:
            return connection.execute(sa.select(RUNS.c.id).where(RUNS.c.unfinished == key)).scalar()

    def close_run(self, run: str) -> None:
        """Marks a run as over, so that its plan starts afresh next time."""
        with self._transaction() as connection:
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run).values(unfinished=None))

    def finished(self, run: str) -> set[str]:
        """`job_key` of every job of the run that has a row, an error row included."""
        with self._transaction() as connection:
            return set(connection.execute(sa.select(ROWS.c.job).where(ROWS.c.run == run)).scalars())

    # JSON lines

    def export_jsonl(self, path: str | Path, **equal: Any) -> int:
        """Writes the rows that `rows` would give, one a line, and returns how many; the file appears whole or not."""
        texts = [text for _, text in self._select(equal)]
        _write_whole(Path(path), (f"{text}\n" for text in texts))
        return len(texts)

    def import_jsonl(self, path: str | Path) -> Imported:
        """Adds every row of a file in one transaction; rows that are here already are skipped.

        Raises ValueError naming file, line, field and what is allowed when a line is bad; nothing is added then.
        """
        try:
            found = list(row_lines(Path(path)))
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
        with self._transaction() as connection:
            present = set(connection.execute(sa.select(ROWS.c.id)).scalars())
            new = [_columns(row) for key, row in {row["id"]: row for row in found}.items() if key not in present]
            if new:
                connection.execute(sa.insert(ROWS), new)
        return Imported(added=len(new), duplicates=len(found) - len(new))


def _columns(row: Mapping[str, Any]) -> dict[str, str]:
    job = job_key(row["name"], row.get("job", {}))
    return {**{name: row[name] for name in REQUIRED}, "job": job, "row": canonical(row)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_whole(path: Path, lines: Iterable[str]) -> None:
    try:
        with written(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
