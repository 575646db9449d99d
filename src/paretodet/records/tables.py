"""The tables of a store. A change of them needs another `sql_rows.LAYOUT`."""

from typing import Any

import sqlalchemy as sa

from paretodet.records.columns import ALL_COLUMNS, DIGEST_COLUMNS, REAL_COLUMNS
from paretodet.records.sql_rows import TABLE


def _column_type(name: str) -> sa.types.TypeEngine[Any]:
    if name == "id":
        return sa.String(64)
    return sa.BigInteger() if name in DIGEST_COLUMNS else sa.Float() if name in REAL_COLUMNS else sa.Text()


TABLES = sa.MetaData()
ROWS = sa.Table(
    "rows",
    TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("run", sa.String(64), nullable=False, index=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("job", sa.String(64), nullable=False),  # `job_key` of the row
    sa.Column("row", sa.Text, nullable=False),  # JSON, unchanged
)
RUNS = sa.Table(
    "runs",
    TABLES,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("at", sa.String(40), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("unfinished", sa.String(64), unique=True),  # digest of plan and machine; NULL after the run
)
COLUMNS = sa.Table(
    TABLE,
    TABLES,
    sa.Column("seq", sa.Integer, primary_key=True),
    *(sa.Column(name, _column_type(name), nullable=name != "id", unique=name == "id" or None) for name in ALL_COLUMNS),
)
LAYOUTS = sa.Table("layout", TABLES, sa.Column("version", sa.Integer, primary_key=True, autoincrement=False))
LAYOUT_VERSION = sa.select(sa.func.max(LAYOUTS.c.version))
