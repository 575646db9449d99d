"""The columns of a row: one plain value per column. Long fields, such as samples, stay in the row's JSON text."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, get_args

from paretodet.records.disturbance import disturbed_pct
from paretodet.records.measurement import SUBJECT, Measurement
from paretodet.records.row_id import DEFAULTS, TYPES, canonical
from paretodet.records.rows import json_text, timestamp

LONG_FIELDS = ("spec", "machine_facts", "versions", "settings", "raw")  # read only for the rows that are shown
_FIELD_TYPES = {
    name: set(get_args(hint) if isinstance(hint, UnionType) else (hint,))
    for name, hint in TYPES.items()
    if name not in LONG_FIELDS
}
TEXT_FIELDS = tuple(name for name, types in _FIELD_TYPES.items() if str in types)
NUMBER_FIELDS = tuple(name for name, types in _FIELD_TYPES.items() if types & {int, float, bool})
INTEGER_TYPES = {
    name: int if int in _FIELD_TYPES[name] else bool for name in NUMBER_FIELDS if float not in _FIELD_TYPES[name]
}
OTHER_FIELDS = tuple(name for name in _FIELD_TYPES if name not in (*TEXT_FIELDS, *NUMBER_FIELDS))  # column `rest`
JOB_COLUMNS = {"job_score": "job.score", "job_nms": "job.nms", "job_file": "job.file"}  # values as JSON
# Together these have few distinct values, however many rows there are: a store reads them from one row per `setting`.
SETTING_COLUMNS = (
    "name", "height", "width", "proposals", "classes", "device", "runtime", "precision", "batch", "threads",
    "processes", "load", "machine", "validity", "ap_split", "ap_source", "ap_rounding", "ap_measured", "job_score",
    "job_nms",
)  # fmt: skip
# What nearly every question needs in addition.
CORE_COLUMNS = (
    "setting", "subject", "second", "latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high", "disturbed_pct",
    "ap",
)  # fmt: skip
DIGEST_COLUMNS = ("setting", "subject")
REAL_COLUMNS = (*NUMBER_FIELDS, "second")  # `second` is `rows.timestamp`
ALL_COLUMNS = (
    *CORE_COLUMNS,
    *(name for name in (*TEXT_FIELDS, *NUMBER_FIELDS, *JOB_COLUMNS, "rest") if name not in CORE_COLUMNS),
)


def row_columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's JSON -> the value of every column; None for a value that does not have its field's type."""
    row = {**DEFAULTS, **row}
    job = row["job"] if isinstance(row["job"], dict) else {}
    values = {
        **{name: row[name] if isinstance(row[name], str) else None for name in TEXT_FIELDS},
        **{name: finite_number(row[name]) for name in NUMBER_FIELDS},
        **{name: json_text(job, field.partition(".")[2]) for name, field in JOB_COLUMNS.items()},
        "disturbed_pct": finite_number(_disturbed_pct(row)),
        "rest": canonical({name: row[name] for name in OTHER_FIELDS if row[name] != DEFAULTS[name]}),
    }
    values["second"] = finite_number(timestamp(str(row["at"])))
    return values | {"subject": _digest(values, SUBJECT), "setting": _digest(values, SETTING_COLUMNS)}


def _disturbed_pct(row: Mapping[str, Any]) -> float:
    """The column `disturbed_pct`, computed for rows that are older than the field."""
    stored = finite_number(row["disturbed_pct"])
    return disturbed_pct(Measurement.from_json({**row, "disturbed_pct": stored}))


def finite_number(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if not isinstance(value, int | float) or (isinstance(value, int) and value.bit_length() > 1000):
        return None
    return float(value) if math.isfinite(value) else None


def row_from_columns(record: Mapping[str, Any]) -> Measurement:
    """The row of these columns, with the long fields at their defaults."""
    values = {name: record[name] for name in (*TEXT_FIELDS, *NUMBER_FIELDS) if record[name] is not None}
    values |= {name: kind(values[name]) for name, kind in INTEGER_TYPES.items() if name in values}
    return Measurement.from_json(values | json.loads(record["rest"]))


def without_long_fields(row: Measurement) -> Measurement:
    """The row with the long fields at their defaults, as `row_from_columns` gives it."""
    return row_from_columns(row_columns(row.to_json()))


def _digest(values: Mapping[str, Any], names: Sequence[str]) -> int:
    """60 bits that are equal if all of these values are equal."""
    text = canonical([values[name] for name in names])
    return int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)
