"""A store of rows: append-only tables behind an SQLAlchemy URL, with import from and export to JSON Lines.

Rows are committed in transactions by any number of concurrent writers. Nothing is ever updated except the mark that a
run is finished. A row has its JSON text and, in a second table, columns, so that questions about many rows read no
samples. Rows that an older version wrote without columns get them when the store is opened.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, NoSuchTableError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from paretodet.errors import ErrorId, InputError, words
from paretodet.records import postgresql
from paretodet.records.columns import ALL_COLUMNS, row_columns, without_long_fields
from paretodet.records.lines import read_lines, write_lines
from paretodet.records.location import check_database, is_url, without_password
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import REQUIRED, TYPES, canonical, digest, job_key, row_text, stored_row
from paretodet.records.rows import Rows, resolve_id
from paretodet.records.sql_rows import (
    DAMAGE,
    FETCH_SIZE,
    LAYOUT,
    LOCK_TIMEOUT_S,
    MAX_IDS,
    TABLE,
    SqlRows,
    StoreError,
)
from paretodet.records.tables import COLUMNS, LAYOUT_VERSION, LAYOUTS, ROWS, RUNS

DEFAULT = "paretodet.db"
BATCH = 1000  # rows that are converted in one transaction
NOTIFY_FROM = 2000  # rows without columns, from which on the user is notified
Item = TypeVar("Item")


class StoreLayoutError(StoreError):
    """The store was written by a newer version."""

    def __init__(self, message: str, id: ErrorId = "store-newer") -> None:
        super().__init__(message, id)


class BrokenRowError(StoreError):
    """A row's text is not a row."""

    def __init__(self, message: str, id: ErrorId = "store-damaged") -> None:
        super().__init__(message, id)


class ImportCounts(NamedTuple):
    """The number of rows that were added, and of those that the store already had."""

    added: int
    duplicates: int


def _url(target: str | Path) -> sa.URL:
    if is_url(target):
        return postgresql.with_driver(sa.make_url(str(target)))
    return sa.URL.create("sqlite", database=str(target))


@contextmanager
def _store_errors(name: str, *errors: type[Exception]) -> Iterator[None]:
    """Raises the errors of a database as one sentence about this store."""
    try:
        yield
    except errors as error:
        reason = next(iter(str(getattr(error, "orig", None) or error).splitlines()), type(error).__name__)
        hint = "; files of rows end in .jsonl" if "not a database" in reason else ""
        raise StoreError(f"store {name!r}: {reason}{hint}") from error


class Store:
    """Rows in a database: `target` is the path of an SQLite file, or an SQLAlchemy URL if it contains "://".

    `postgresql://` needs the extra `postgresql`; that database is tested like SQLite, others are not. `notify` receives
    sentences for the user. Raises InputError for a .jsonl file; methods raise StoreError if the database fails.
    """

    def __init__(self, target: str | Path = DEFAULT, *, notify: Callable[[str], None] = lambda message: None) -> None:
        check_database(target)
        with _store_errors(without_password(target), SQLAlchemyError, ValueError):
            url = _url(target)
            sqlite = url.get_backend_name() == "sqlite"
        arguments = {"timeout": LOCK_TIMEOUT_S} if sqlite else postgresql.connect_arguments(url)
        self.name = str(url.database) if sqlite else without_password(target)
        self.file = Path(self.name).resolve() if sqlite else None  # None: a database server
        with _store_errors(self.name, SQLAlchemyError, ImportError):
            self._engine = sa.create_engine(url, connect_args=arguments, poolclass=NullPool)
        self._has_columns = self._prepare(notify)

    def _prepare(self, notify: Callable[[str], None]) -> bool:
        """Creates missing tables and columns. Returns whether every row has columns: in an old store that is read-only,
        they cannot be added.
        """
        with self._transaction() as connection:
            tables = set(sa.inspect(connection).get_table_names())
        try:
            if LAYOUTS.name not in tables:
                self._create()
            self._check_layout()
            self._add_columns(notify)
        except StoreError as error:
            if ROWS.name not in tables or isinstance(error, StoreLayoutError | BrokenRowError):
                raise
            return False
        return True

    def _create(self) -> None:
        """Creates all tables in one transaction; the layout table is last for databases that cannot do that."""
        with self._transaction() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # stored in the file
        with self._writing() as connection:
            for table in (ROWS, RUNS, COLUMNS, LAYOUTS):
                connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))

    def _check_layout(self) -> None:
        with self._transaction() as connection:
            version = connection.execute(LAYOUT_VERSION).scalar()
            is_current = self._is_current(connection)
        if version is not None and version > LAYOUT:
            raise StoreLayoutError(
                f"store {self.name!r} has layout {version}, which a newer paretodet wrote; this version reads layout "
                f"{LAYOUT}: update paretodet"
            )
        if not is_current:
            self._renew()

    def _is_current(self, connection: sa.Connection) -> bool:
        """Whether the table has the columns of this version, some of which may be newer than its layout."""
        present = set[str]()
        with suppress(NoSuchTableError):  # another process may be renewing it
            present = {each["name"] for each in sa.inspect(connection).get_columns(TABLE)}
        return connection.execute(LAYOUT_VERSION).scalar() == LAYOUT and present >= {*ALL_COLUMNS}

    def _renew(self) -> None:
        """Drops the columns of an older layout; `_add_columns` computes the new ones from the rows' text."""
        with self._writing() as connection:
            if self._is_current(connection):
                return  # another process has done it
            connection.execute(sa.schema.DropTable(COLUMNS, if_exists=True))
            connection.execute(sa.schema.CreateTable(COLUMNS))
            if connection.execute(LAYOUT_VERSION).scalar() != LAYOUT:
                connection.execute(sa.insert(LAYOUTS).values(version=LAYOUT))

    def _add_columns(self, notify: Callable[[str], None]) -> None:
        """Adds columns to rows without any, which an older version wrote. If interrupted, it continues next time."""
        with self._transaction() as connection:
            rows, complete = (
                connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in (ROWS, COLUMNS)
            )
        if rows - complete > NOTIFY_FROM:
            notify(f"{self.name}: converting {rows - complete} rows that an older version wrote; this happens once.")
        if rows > complete:
            for ids in _parts(self._ids_without_columns(), BATCH):
                self._add_columns_to(ids)

    def _ids_without_columns(self) -> list[str]:
        """Ids of rows without columns, oldest first."""
        missing = sa.select(ROWS.c.id).where(~sa.exists().where(COLUMNS.c.id == ROWS.c.id))
        with self._transaction() as connection:
            return list(connection.execute(missing.order_by(ROWS.c.at, ROWS.c.id)).scalars())

    def _add_columns_to(self, ids: Sequence[str]) -> None:
        """Skips rows to which another process has added columns in the meantime."""
        with self._writing() as connection:
            present = set(connection.execute(sa.select(COLUMNS.c.id).where(COLUMNS.c.id.in_(ids))).scalars())
            missing = [row_id for row_id in ids if row_id not in present]
            records = connection.execute(sa.select(ROWS.c.id, ROWS.c.row).where(ROWS.c.id.in_(missing))).all()
            texts = {record.id: record.row for record in records}
            if missing:
                columns = (self._columns(row_id, texts[row_id]) for row_id in missing)
                connection.execute(sa.insert(COLUMNS), postgresql.storable(connection, columns))

    def _columns(self, row_id: str, text: str) -> dict[str, Any]:
        try:
            return row_columns(json.loads(text))
        except DAMAGE as error:
            what = "JSON" if isinstance(error, ValueError) else "a row"
            raise BrokenRowError(f"store {self.name!r}: row {row_id} is not {what} ({words(error)})") from error

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with _store_errors(self.name, SQLAlchemyError), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that excludes other writers from its first statement on."""
        with self._transaction() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            elif connection.dialect.name == postgresql.NAME:
                postgresql.lock_writers(connection)
            yield connection

    # rows

    def append(self, row: Measurement) -> None:
        """Commits one row. Raises StoreError if the store has its id, ValueError if the row is not JSON."""
        values = json.loads(row_text(row))
        with self._writing() as connection:
            _insert(connection, [values])

    def rows(self, **equal: Any) -> tuple[Measurement, ...]:
        """Rows whose fields equal the given ones, oldest first. Raises ValueError for an unknown field."""
        return tuple(row for row, _ in self._select(equal))

    def get(self, prefix: str) -> Measurement:
        """The row whose id begins with `prefix`. Raises LookupError with near ids if none or several do."""
        return self.rows(id=resolve_id(prefix, self._ids))[0]

    def _ids(self, prefix: str) -> list[str]:
        query = sa.select(ROWS.c.id).where(_begins_with(ROWS.c.id, prefix)).order_by(ROWS.c.id)
        with self._transaction() as connection:
            return list(connection.execute(query).scalars())

    def complete_rows(self, ids: Iterable[str]) -> dict[str, Measurement]:
        """Rows by id, with all fields; unknown ids are left out."""
        rows: dict[str, Measurement] = {}
        for some in _parts(tuple(ids), MAX_IDS):
            with self._transaction() as connection:
                texts = connection.execute(sa.select(ROWS.c.row).where(ROWS.c.id.in_(some))).scalars().all()
            rows |= {row.id: row for row in map(self._row, texts)}
        return rows

    def all_rows(self) -> Rows:
        """All rows in the order of their insertion, for questions about many rows.

        Long fields (`columns.LONG_FIELDS`) have their defaults; `complete_rows` reads them.
        """
        if not self._has_columns:
            return Rows.of([without_long_fields(row) for row, _ in self._select({})])
        return Rows(SqlRows(self._query, self.name, quote=self._engine.dialect.identifier_preparer.quote))

    def _query(self, statement: str) -> Iterator[Sequence[Sequence[Any]]]:
        with self._transaction() as connection:
            cursor = connection.exec_driver_sql(statement).cursor  # plain tuples: twice as fast as SQLAlchemy's rows
            while records := cursor.fetchmany(FETCH_SIZE):
                yield records

    def _select(self, equal: Mapping[str, Any]) -> Iterator[tuple[Measurement, str]]:
        if unknown := equal.keys() - TYPES.keys():
            near = get_close_matches(min(unknown), TYPES, cutoff=0)
            raise InputError(
                f"{min(unknown)!r} is not a field of a row; did you mean: {', '.join(near)}?", "field-unknown"
            )
        query = sa.select(ROWS.c.row).order_by(ROWS.c.at, ROWS.c.id)
        for name in ("id", "run", "name"):
            query = query.where(ROWS.c[name] == equal[name]) if name in equal else query
        with self._transaction() as connection:
            texts = connection.execute(query).scalars().all()
        for text in texts:
            row = self._row(text)
            if all(getattr(row, name) == value for name, value in equal.items()):
                yield row, text

    def _row(self, text: str) -> Measurement:
        try:
            return stored_row(text)
        except DAMAGE as error:
            raise BrokenRowError(f"store {self.name!r}: a row cannot be read ({words(error)})") from error

    # runs

    def open_run(self, plan: Any, *, machine: str) -> str:
        """The id of the unfinished run of this plan (any JSON) on this machine, or of a new run."""
        key = digest([plan, machine])
        if run := self._unfinished(key):
            return run
        run = uuid4().hex[:12]
        values = {"id": run, "at": _now(), "plan": canonical(plan), "unfinished": key}
        try:
            with self._transaction() as connection:
                connection.execute(sa.insert(RUNS).values(values))
        except StoreError as error:  # another process may have opened the same run between the two statements
            if isinstance(error.__cause__, IntegrityError) and (other := self._unfinished(key)):
                return other
            raise
        return run

    def _unfinished(self, key: str) -> str | None:
        with self._transaction() as connection:
            return connection.execute(sa.select(RUNS.c.id).where(RUNS.c.unfinished == key)).scalar()

    def unfinished(self) -> list[Any]:
        """The plans of all unfinished runs, oldest first."""
        query = sa.select(RUNS.c.plan).where(RUNS.c.unfinished.is_not(None)).order_by(RUNS.c.at, RUNS.c.id)
        with self._transaction() as connection:
            return list(map(json.loads, connection.execute(query).scalars()))

    def close_run(self, run: str) -> None:
        """Marks a run as finished, so that its plan starts a new run next time."""
        with self._transaction() as connection:
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run).values(unfinished=None))

    @contextmanager
    def only_process(self, run: str) -> Iterator[bool]:
        """Whether no other process measures this run, on any machine; then none can until the end of the block.

        Only PostgreSQL can tell; of other servers the answer is always yes.
        """
        if self._engine.dialect.name != postgresql.NAME:
            yield True
            return
        with _store_errors(self.name, SQLAlchemyError):
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        with connection:  # the lock ends with the connection, and with it if this process is killed
            with _store_errors(self.name, SQLAlchemyError):
                alone = postgresql.try_lock(connection, run)
            yield alone

    def finished(self, run: str) -> set[str]:
        """`job_key` of every job of the run that has a row, an error row included."""
        with self._transaction() as connection:
            return set(connection.execute(sa.select(ROWS.c.job).where(ROWS.c.run == run)).scalars())

    # JSON lines

    def export_jsonl(self, path: str | Path, **equal: Any) -> int:
        """Writes the rows of `rows(**equal)`, one per line, and returns their number; the write is atomic."""
        return write_lines(Path(path), (text for _, text in self._select(equal)))

    def import_jsonl(self, path: str | Path) -> ImportCounts:
        """Adds the rows of a file in one transaction; rows that the store already has are skipped.

        Raises ValueError with file, line, field and what is allowed if a line is invalid; then no row is added.
        """
        try:
            return self.add(read_lines(Path(path)))
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}", "file-unreadable") from error

    def contents(self) -> Iterator[dict[str, Any]]:
        """The JSON of every row, oldest first. Rows that are added meanwhile are left out."""
        with self._transaction() as connection:
            ids = connection.execute(sa.select(ROWS.c.id).order_by(ROWS.c.at, ROWS.c.id)).scalars().all()
        for some in _parts(ids, MAX_IDS):
            with self._transaction() as connection:
                texts = connection.execute(sa.select(ROWS.c.id, ROWS.c.row).where(ROWS.c.id.in_(some))).all()
            by_id = {record.id: record.row for record in texts}
            for text in map(by_id.__getitem__, some):
                self._row(text)  # refuses what is not a row
                yield json.loads(text)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> ImportCounts:
        """Adds rows, as JSON with their ids, in one transaction; those that the store already has are skipped.

        If `rows` raises, no row is added.
        """
        remaining, counts = iter(rows), ImportCounts(0, 0)
        with self._writing() as connection:
            while some := list(islice(remaining, MAX_IDS)):
                distinct = {row["id"]: row for row in some}
                known = connection.execute(sa.select(ROWS.c.id).where(ROWS.c.id.in_(distinct))).scalars().all()
                new = [row for key, row in distinct.items() if key not in known]
                if new:
                    _insert(connection, new)
                counts = ImportCounts(counts.added + len(new), counts.duplicates + len(some) - len(new))
        return counts


def _insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(sa.insert(ROWS), postgresql.storable(connection, map(_record, rows)))
    connection.execute(sa.insert(COLUMNS), postgresql.storable(connection, map(row_columns, rows)))


def _record(row: Mapping[str, Any]) -> dict[str, str]:
    job = job_key(row["name"], row.get("job", {}))
    return {**{name: row[name] for name in REQUIRED}, "job": job, "row": canonical(row)}


def _begins_with(column: sa.ColumnElement[str], prefix: str) -> sa.ColumnElement[bool]:
    """Case-sensitive, which LIKE is not in every database."""
    return sa.func.substr(column, 1, len(prefix)) == prefix


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
