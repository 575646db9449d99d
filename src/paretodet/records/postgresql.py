"""What a store in PostgreSQL needs that one in SQLite does not: a driver, locks of writers, and texts without NUL."""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from paretodet.extras import require
from paretodet.records.row_id import digest
from paretodet.records.sql_rows import LOCK_TIMEOUT_S

NAME = "postgresql"
DRIVER = f"{NAME}+psycopg"
CONNECT_TIMEOUT_S = 10  # to wait for a server, unless the URL has its own connect_timeout
WRITERS = 0x7061726574  # the advisory lock of a database that is held while rows are written


def with_driver(url: sa.URL) -> sa.URL:
    """The URL with the extra's driver, if it names none: SQLAlchemy's default depends on its version."""
    return url.set(drivername=DRIVER) if url.drivername in ("postgres", NAME) else url


def connect_arguments(url: sa.URL) -> dict[str, Any]:
    """What the driver is given beside the URL. Raises MissingExtra if it is not installed."""
    if url.drivername != DRIVER:
        return {}
    require("a store in PostgreSQL", {"psycopg": NAME})
    return {} if "connect_timeout" in url.query else {"connect_timeout": CONNECT_TIMEOUT_S}


def lock_writers(connection: sa.Connection) -> None:
    """Excludes other writers until the transaction ends, as `BEGIN IMMEDIATE` does in SQLite; waits as long as there.

    Rows then become visible in the order of their numbers, and two processes cannot create the same table.
    """
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'")
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITERS})")


def try_lock(connection: sa.Connection, name: str) -> bool:
    """Whether nobody holds the lock of this name; then it is held until the connection ends."""
    return bool(connection.execute(sa.select(sa.func.pg_try_advisory_lock(int(digest(name), 16)))).scalar())


def without_nul(record: dict[str, Any]) -> dict[str, Any]:
    """The record with U+FFFD for NUL, which no text in PostgreSQL has. A row's JSON text escapes it and so keeps it."""
    return {name: value.replace("\0", "\ufffd") if isinstance(value, str) else value for name, value in record.items()}


def storable(connection: sa.Connection, records: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records as the database of this connection can hold them."""
    return list(map(without_nul, records) if connection.dialect.name == NAME else records)
