"""Where rows live: an append-only table behind one SQLAlchemy URL, and JSON lines in and out.

A row is committed whole or not at all, by any number of writers at once, whatever kills them. Nothing is ever
updated but the mark that a run is over. Beside its text a row has columns, so that a question about very many rows
reads no samples; rows of a version without them get theirs when the store is opened.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from paretodet.records.columns import DIGESTS, EVERY, REALS, columns, without_long
from paretodet.records.fetched import FETCHED, FOUND, LAYOUT, TABLE, WAIT_S, Fetched
from paretodet.records.measurement import Measurement
from paretodet.records.row_id import REQUIRED, TYPES, canonical, digest, job_key, row_lines, row_text
from paretodet.records.rows import Rows, one_id
from paretodet.writing import written

DEFAULT = "paretodet.db"
BATCH = 1000  # rows that get their columns in one transaction
MANY = 2000  # rows without columns that are worth a word


def _kind(name: str) -> sa.types.TypeEngine[Any]:
    if name == "id":
        return sa.String(64)
    return sa.BigInteger() if name in DIGESTS else sa.Float() if name in REALS else sa.Text()


Item = TypeVar("Item")

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
COLUMNS = sa.Table(
    TABLE,
    TABLES,
    sa.Column("seq", sa.Integer, primary_key=True),
    *(sa.Column(name, _kind(name), nullable=name != "id", unique=name == "id" or None) for name in EVERY),
)
LAYOUTS = sa.Table("layout", TABLES, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
NEWEST = sa.select(sa.func.max(LAYOUTS.c.version))


class StoreError(OSError):
    """The store cannot be read or written; the message is one sentence. Nothing was half-written."""


class StoreLayoutError(StoreError):
    """The store is of a newer version."""


class BrokenRowError(StoreError):
    """A row's text cannot be read."""


class ImportCounts(NamedTuple):
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

    def __init__(self, target: str | Path = DEFAULT, *, tell: Callable[[str], None] = lambda sentence: None) -> None:
        with _named(str(target), SQLAlchemyError, ValueError):
            url = _url(target)
        sqlite = url.get_backend_name() == "sqlite"
        self.name = str(url.database) if sqlite else url.render_as_string(hide_password=True)
        with _named(self.name, SQLAlchemyError, ImportError):
            wait = {"timeout": WAIT_S} if sqlite else {}
            self._engine = sa.create_engine(url, connect_args=wait, poolclass=NullPool)
        self._columned = self._prepared(tell)

    def _prepared(self, tell: Callable[[str], None]) -> bool:
        """Makes what is missing; whether every row has its columns then, which an old store that cannot be written to
        does not give them.
        """
        with self._transaction() as connection:
            there = set(sa.inspect(connection).get_table_names())
        try:
            if LAYOUTS.name not in there:
                self._create()
            self._check_layout()
            self._fill(tell)
        except StoreError as error:
            if ROWS.name not in there or isinstance(error, StoreLayoutError | BrokenRowError):
                raise
            return False
        return True

    def _create(self) -> None:
        """All tables at once; where a database cannot do that, the one that says so last."""
        with self._transaction() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")  # the file remembers it
        with self._writing() as connection:
            for table in (ROWS, RUNS, COLUMNS, LAYOUTS):
                connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                for index in table.indexes:
                    connection.execute(sa.schema.CreateIndex(index, if_not_exists=True))

    def _check_layout(self) -> None:
        with self._transaction() as connection:
            version = connection.execute(NEWEST).scalar()
        if version is None or version < LAYOUT:
            self._renew()
        elif version > LAYOUT:
            raise StoreLayoutError(
                f"store {self.name!r} has layout {version}, of a newer paretodet; this one reads layout {LAYOUT}: "
                "update paretodet"
            )

    def _renew(self) -> None:
        """Columns of an older layout go, for `_fill` makes them from the rows' text."""
        with self._writing() as connection:
            if connection.execute(NEWEST).scalar() == LAYOUT:
                return  # another process was faster
            connection.execute(sa.schema.DropTable(COLUMNS, if_exists=True))
            connection.execute(sa.schema.CreateTable(COLUMNS))
            connection.execute(sa.insert(LAYOUTS).values(version=LAYOUT))

    def _fill(self, tell: Callable[[str], None]) -> None:
        """Gives columns to rows without, as an older version writes them; stopped anywhere, it goes on next time."""
        with self._transaction() as connection:
            rows, full = (
                connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in (ROWS, COLUMNS)
            )
        if rows - full > MANY:
            tell(f"{self.name}: {rows - full} rows of an older version get their columns, once.")
        if rows > full:
            for some in _parts(self._lacking(), BATCH):
                self._fill_some(some)

    def _lacking(self) -> list[str]:
        """Ids of rows without columns, oldest first."""
        lacking = sa.select(ROWS.c.id).where(~sa.exists().where(COLUMNS.c.id == ROWS.c.id))
        with self._transaction() as connection:
            return list(connection.execute(lacking.order_by(ROWS.c.at, ROWS.c.id)).scalars())

    def _fill_some(self, ids: Sequence[str]) -> None:
        """Of these, others may have filled some meanwhile."""
        with self._writing() as connection:
            there = set(connection.execute(sa.select(COLUMNS.c.id).where(COLUMNS.c.id.in_(ids))).scalars())
            left = [each for each in ids if each not in there]
            texts = connection.execute(sa.select(ROWS.c.id, ROWS.c.row).where(ROWS.c.id.in_(left))).all()
            found = {record.id: record.row for record in texts}
            if left:
                connection.execute(sa.insert(COLUMNS), [self._columns(each, found[each]) for each in left])

    def _columns(self, row: str, text: str) -> dict[str, Any]:
        try:
            return columns(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise BrokenRowError(f"store {self.name!r}: row {row} is no JSON ({error})") from error

    @contextmanager
    def _transaction(self) -> Iterator[sa.Connection]:
        with _named(self.name, SQLAlchemyError), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that no other writer comes between, from its first statement on."""
        with self._transaction() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection

    # rows

    def append(self, row: Measurement) -> None:
        """Commits one row. Raises StoreError when its id is there already, ValueError where it is not JSON."""
        values = json.loads(row_text(row))
        with self._writing() as connection:
            _insert(connection, [values])

    def rows(self, **equal: Any) -> tuple[Measurement, ...]:
        """Rows whose fields equal the given ones, oldest first. Raises ValueError on a field that no row has."""
        return tuple(row for row, _ in self._select(equal))

    def get(self, prefix: str) -> Measurement:
        """The row whose id starts so. Raises LookupError, naming near ids, when there is none or more than one."""
        return self.rows(id=one_id(prefix, self._ids))[0]

    def _ids(self, prefix: str) -> list[str]:
        query = sa.select(ROWS.c.id).where(_begins(ROWS.c.id, prefix)).order_by(ROWS.c.id)
        with self._transaction() as connection:
            return list(connection.execute(query).scalars())

    def whole(self, ids: Iterable[str]) -> dict[str, Measurement]:
        """Rows by id, with everything that they hold; an id that is not there is left out."""
        found: dict[str, Measurement] = {}
        for some in _parts(tuple(ids), FOUND):
            with self._transaction() as connection:
                texts = connection.execute(sa.select(ROWS.c.row).where(ROWS.c.id.in_(some))).scalars().all()
            found |= {row.id: row for row in map(_read, texts)}
        return found

    def light(self) -> Rows:
        """Every row as written: columns for questions about very many.

        What is long in a row (`columns.LONG`) is at its default here; `whole` reads it.
        """
        if not self._columned:
            return Rows.of([without_long(row) for row, _ in self._select({})])
        return Rows(Fetched(self._query, quote=self._engine.dialect.identifier_preparer.quote))

    def _query(self, statement: str) -> Iterator[Sequence[Sequence[Any]]]:
        with self._transaction() as connection:
            cursor = connection.exec_driver_sql(statement).cursor  # plain tuples: SQLAlchemy's take twice the time
            while records := cursor.fetchmany(FETCHED):
                yield records

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
            row = _read(text)
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

    def import_jsonl(self, path: str | Path) -> ImportCounts:
        """Adds every row of a file in one transaction; rows that are here already are skipped.

        Raises ValueError naming file, line, field and what is allowed when a line is bad; nothing is added then.
        """
        try:
            found = list(row_lines(Path(path)))
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
        with self._writing() as connection:
            present = set(connection.execute(sa.select(ROWS.c.id)).scalars())
            new = [row for key, row in {row["id"]: row for row in found}.items() if key not in present]
            for some in _parts(new, BATCH):
                _insert(connection, some)
        return ImportCounts(added=len(new), duplicates=len(found) - len(new))


def _insert(connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    connection.execute(sa.insert(ROWS), [_record(row) for row in rows])
    connection.execute(sa.insert(COLUMNS), [columns(row) for row in rows])


def _record(row: Mapping[str, Any]) -> dict[str, str]:
    job = job_key(row["name"], row.get("job", {}))
    return {**{name: row[name] for name in REQUIRED}, "job": job, "row": canonical(row)}


def _read(text: str) -> Measurement:
    return Measurement.from_json(json.loads(text))


def _begins(column: sa.ColumnElement[str], prefix: str) -> sa.ColumnElement[bool]:
    """Exact, where LIKE may not tell upper from lower case."""
    return sa.func.substr(column, 1, len(prefix)) == prefix


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_whole(path: Path, lines: Iterable[str]) -> None:
    try:
        with written(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
