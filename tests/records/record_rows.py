"""Rows for tests of the store."""

from typing import Any

from paretodet.records.measurement import Measurement
from paretodet.records.row_id import with_id


def measured(name: str = "ssd", **fields: Any) -> Measurement:
    values = {"run": "r1", "at": "2026-01-02T03:04:05+00:00", "latency_ms_p50": 10.0, "job": {"name": name}}
    return with_id(Measurement(id="", name=name, **{**values, **fields}))
