"""What a question asks of a row, one plain value a column. Samples and all that is long stay in the row's text."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Any, get_args

from paretodet.records.disturbance import disturbed_pct
from paretodet.records.measurement import SUBJECT, Measurement
from paretodet.records.row_id import DEFAULTS, TYPES, canonical
from paretodet.records.rows import entry, seconds

LONG = ("spec", "machine_facts", "versions", "settings", "raw")  # read for the rows that are shown, and no others
_KINDS = {
    name: set(get_args(hint) if isinstance(hint, UnionType) else (hint,))
    for name, hint in TYPES.items()
    if name not in LONG
}
TEXTS = tuple(name for name, kinds in _KINDS.items() if str in kinds)
NUMBERS = tuple(name for name, kinds in _KINDS.items() if kinds & {int, float, bool})
WHOLE = {name: int if int in _KINDS[name] else bool for name in NUMBERS if float not in _KINDS[name]}
SHORT = tuple(name for name in _KINDS if name not in (*TEXTS, *NUMBERS))  # together in the column `rest`, as JSON
ASKED = {"job_score": "job.score", "job_nms": "job.nms", "job_file": "job.file"}  # as JSON
# Together these take few values in however many rows, so a store reads each of them from one row a `setting`.
SETTING = (
    "name", "height", "width", "proposals", "classes", "device", "runtime", "precision", "batch", "threads",
    "processes", "load", "machine", "validity", "ap_split", "ap_source", "ap_rounding", "ap_measured", "job_score",
    "job_nms",
)  # fmt: skip
# What nearly every question needs beside them.
CORE = (
    "setting", "subject", "second", "latency_ms_p50", "latency_ms_p50_low", "latency_ms_p50_high", "disturbed_pct",
    "ap",
)  # fmt: skip
DIGESTS = ("setting", "subject")
REALS = (*NUMBERS, "second")  # when, as `rows.seconds`
EVERY = (*CORE, *(name for name in (*TEXTS, *NUMBERS, *ASKED, "rest") if name not in CORE))


def columns(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row's JSON -> the value of every column. What is of another type than its field is unknown here."""
    known = {**DEFAULTS, **row}
    job = known["job"] if isinstance(known["job"], dict) else {}
    found = {
        **{name: known[name] if isinstance(known[name], str) else None for name in TEXTS},
        **{name: number(known[name]) for name in NUMBERS},
        **{name: entry(job, field.partition(".")[2]) for name, field in ASKED.items()},
        "disturbed_pct": number(disturbed(known)),
        "rest": canonical({name: known[name] for name in SHORT if known[name] != DEFAULTS[name]}),
    }
    found["second"] = number(seconds(str(known["at"])))
    return found | {"subject": _bits(found, SUBJECT), "setting": _bits(found, SETTING)}


def disturbed(row: Mapping[str, Any]) -> Any:
    """What the column `disturbed_pct` holds, of rows of before that field too. The only place that fills it."""
    known = number(row["disturbed_pct"])
    return disturbed_pct(Measurement.from_json({**row, "disturbed_pct": known}))


def number(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if not isinstance(value, int | float) or (isinstance(value, int) and value.bit_length() > 1000):
        return None
    return float(value) if math.isfinite(value) else None


def light(record: Mapping[str, Any]) -> Measurement:
    """The row of a record of columns, without what is long: those fields are at their defaults."""
    values = {name: record[name] for name in (*TEXTS, *NUMBERS) if record[name] is not None}
    values |= {name: kind(values[name]) for name, kind in WHOLE.items() if name in values}
    return Measurement.from_json(values | json.loads(record["rest"]))


def without_long(row: Measurement) -> Measurement:
    """The same as `light` of a whole row."""
    return light(columns(row.to_json()))


def _bits(values: Mapping[str, Any], names: Sequence[str]) -> int:
    """60 bits, equal where all of these are."""
    text = canonical([values[name] for name in names])
    return int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)
