"""Where rows live: an append-only table behind one SQLAlchemy URL, and JSON lines in and out.

A row is committed whole or not at all, by any number of writers at once, whatever kills them. Nothing is ever
updated but the mark that a run is over.
"""

import hashlib
import json
import os
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from paretodet.bench.record import VALIDITY, Measurement

DEFAULT = "paretodet.db"
TYPES = get_type_hints(Measurement)
REQUIRED = ("id", "run", "at", "name")
DEFAULTS: dict[str, Any] = json.loads(json.dumps(Measurement(id="", run="", at="", name="").to_json()))
PERCENT = ("ap", "ap50", "mask_ap", "mask_ap50")
WAIT_S = 60  # for another writer's transaction

TABLES = sa.MetaData()
ROWS = sa.Table(
    "rows",
    TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("run", sa.String(64), nullable=False, index=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("job", sa.String(64), nullable=False),  # `job_key` of the row's job
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
SAMPLES = sa.Table(
    "samples",
    TABLES,
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("run", sa.String(64), nullable=False, index=True),
    sa.Column("job", sa.String(64), nullable=False),
    sa.Column("sample", sa.Text, nullable=False),
)


class StoreError(OSError):
    """The store cannot be read or written; the message is one sentence. Nothing was half-written."""


class Imported(NamedTuple):
    """How many lines became rows, and how many were in the store already."""

    added: int
    duplicates: int


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _digest(value: Any) -> str:
    return hashlib.sha256(_canonical(value).encode()).hexdigest()[:12]


def job_key(job: Any) -> str:
    """What `Store.finished` calls a job: a digest of its JSON, whatever the order of its keys."""
    return _digest(job)


def _row_id(row: Mapping[str, Any]) -> str:
    """Digest of a row's JSON. Fields at their default do not enter: a row keeps its id when fields are added."""
    return _digest({k: v for k, v in row.items() if k != "id" and not (k in DEFAULTS and v == DEFAULTS[k])})


def sealed(row: Measurement) -> Measurement:
    """The row with the id that its content gives it. Raises ValueError where a value is no JSON (NaN, an object)."""
    return replace(row, id=_row_id(json.loads(_text(row))))


def _text(row: Measurement) -> str:
    for name, value in row.to_json().items():
        try:
            _canonical(value).encode()
        except (TypeError, ValueError) as error:
            shown = reprlib.repr(value)
            raise ValueError(f"row {row.name!r}: {name} is {shown}, not JSON ({error}); unknown is None") from error
    return _canonical(row.to_json())


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value can stand in a field of this type."""
    kind, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if kind is UnionType:
        return any(_fits(value, each) for each in inner)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(each, inner[1]) for each in value.values())
    if kind is tuple:
        return isinstance(value, list) and all(_fits(each, inner[0]) for each in value)
    return type(value) is int or type(value) is float if hint is float else type(value) is hint


def _spoken(hint: Any) -> str:
    return (hint.__name__ if isinstance(hint, type) else str(hint)).replace("None", "null").replace("typing.", "")


def _is_date(text: str) -> bool:
    try:
        return bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def _checked(row: Any) -> dict[str, Any]:
    """A JSON value that is a whole and valid row, or ValueError naming the field, its value and what is allowed."""
    if not isinstance(row, dict):
        raise ValueError(f"a row is a JSON object, not {reprlib.repr(row)}")
    if missing := [name for name in REQUIRED if not row.get(name)]:
        raise ValueError(f"{missing[0]} is missing; every row needs {', '.join(REQUIRED)}")
    for name in [name for name in TYPES if name in row]:
        if not _fits(row[name], TYPES[name]):
            raise _bad(row, name, f"must be {_spoken(TYPES[name])}")
        if type(row[name]) in (int, float) and row[name] < 0:
            raise _bad(row, name, "must not be negative")
        if name in PERCENT and row[name] is not None and row[name] > 100:
            raise _bad(row, name, "must be at most 100 (percent)")
    if row.get("validity", "valid") not in VALIDITY:
        raise _bad(row, "validity", f"must be one of {', '.join(VALIDITY)}")
    if not _is_date(row["at"]):
        raise _bad(row, "at", "must be a date in ISO 8601")
    low, high = row.get("latency_ms_p50_low"), row.get("latency_ms_p50_high")
    if low is not None and high is not None and low > high:
        raise _bad(row, "latency_ms_p50_low", f"must not exceed latency_ms_p50_high ({high})")
    if row["id"] != (digest := _row_id(row)):
        raise _bad(row, "id", f"the content's is '{digest}': undo the change, or write that id if it is meant")
    return row


def _bad(row: Mapping[str, Any], name: str, allowed: str) -> ValueError:
    return ValueError(f"{name} is {reprlib.repr(row[name])}; {allowed}")


def _not_a_number(word: str) -> None:
    raise ValueError(f"{word} is not JSON; unknown is null")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every row of a file of JSON lines. Raises ValueError naming file, line and what is wrong with it."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                yield _checked(json.loads(line, parse_constant=_not_a_number))
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: {error}; mend or delete the line") from error


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
            if not sa.inspect(connection).has_table(SAMPLES.name):
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
        """Commits one row, and drops what `keep` held for its job. Raises StoreError when its id is there already."""
        values = _columns(json.loads(_text(row)))
        with self._transaction() as connection:
            connection.execute(sa.insert(ROWS).values(values))
            mine = (values["run"] == SAMPLES.c.run) & (values["job"] == SAMPLES.c.job)
            connection.execute(sa.delete(SAMPLES).where(mine))

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
        digest = _digest([plan, machine])
        if run := self._unfinished(digest):
            return run
        run = uuid4().hex[:12]
        values = {"id": run, "at": _now(), "plan": _canonical(plan), "unfinished": digest}
        try:
            with self._transaction() as connection:
                connection.execute(sa.insert(RUNS).values(values))
        except StoreError as error:
            # Another process may have opened the same run between the two statements.
            if isinstance(error.__cause__, IntegrityError) and (other := self._unfinished(digest)):
                return other
            raise
        return run

    def _unfinished(self, digest: str) -> str | None:
        with self._transaction() as connection:
            return connection.execute(sa.select(RUNS.c.id).where(RUNS.c.unfinished == digest)).scalar()

    def close_run(self, run: str) -> None:
        """Marks a run as over, so that its plan starts afresh next time."""
        with self._transaction() as connection:
            connection.execute(sa.update(RUNS).where(RUNS.c.id == run).values(unfinished=None))
            connection.execute(sa.delete(SAMPLES).where(SAMPLES.c.run == run))

    def finished(self, run: str) -> set[str]:
        """`job_key` of every job of the run that has a row, an error row included."""
        with self._transaction() as connection:
            return set(connection.execute(sa.select(ROWS.c.job).where(ROWS.c.run == run)).scalars())

    def keep(self, run: str, job: str, sample: Mapping[str, Any]) -> None:
        """Commits what one process measured for a job (by its key) whose row is still to come."""
        with self._transaction() as connection:
            connection.execute(sa.insert(SAMPLES).values(run=run, job=job, sample=_canonical(sample)))

    def kept(self, run: str, job: str) -> tuple[dict[str, Any], ...]:
        """What `keep` was given for the job, in that order; empty once the job has its row."""
        mine = (SAMPLES.c.run == run) & (SAMPLES.c.job == job)
        with self._transaction() as connection:
            texts = connection.execute(sa.select(SAMPLES.c.sample).where(mine).order_by(SAMPLES.c.number)).scalars()
            return tuple(json.loads(text) for text in texts)

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
            found = list(_lines(Path(path)))
        except OSError as error:
            raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
        with self._transaction() as connection:
            present = set(connection.execute(sa.select(ROWS.c.id)).scalars())
            new = [_columns(row) for key, row in {row["id"]: row for row in found}.items() if key not in present]
            if new:
                connection.execute(sa.insert(ROWS), new)
        return Imported(added=len(new), duplicates=len(found) - len(new))


def _columns(row: Mapping[str, Any]) -> dict[str, str]:
    job = job_key(row.get("job", {}))
    return {**{name: row[name] for name in REQUIRED}, "job": job, "row": _canonical(row)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _write_whole(path: Path, lines: Iterable[str]) -> None:
    """Writes beside the file, to disk, then renames."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}")
    try:
        with partial.open("x", encoding="utf-8", newline="\n") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
