"""Fields, units and groups of rows."""

from dataclasses import fields
from typing import Any

import pytest

from paretodet.bench.record import Measurement
from paretodet.frontier.values import COSTS, COUNTS, GAINS, JOB, Value, amount, columns, groups, noun, value


def row(**values: Any) -> Measurement:
    return Measurement(id="i", run="r", at="2026", name="n", **values)


def test_every_field_exists_in_a_row() -> None:
    assert set(COSTS + GAINS + COUNTS) - {JOB} <= {field.name for field in fields(Measurement)}


def test_intervals_hold_their_point() -> None:
    measured = row(latency_ms_p50=10.0, latency_ms_p50_low=10.5, latency_ms_p50_high=11.0, ap=30.0, ap_rounding=0.05)
    assert value(measured, "latency_ms_p50") == Value(10.0, 10.0, 11.0)
    assert value(measured, "-latency_ms_p50") == Value(-10.0, -11.0, -10.0)
    assert value(measured, "ap") == Value(30.0, 29.95, 30.05)
    assert value(measured, "ap", slack=0.5) == Value(30.0, 29.5, 30.5)
    assert value(measured, "macs") is None and value(measured, "-macs") is None
    assert value(row(ap=float("nan")), "ap") is None
    assert columns([], "ap").point.shape == (0,)


def test_groups_are_ordered_by_size_then_label() -> None:
    rows = [row(ap=1.0, ap_split="b"), row(ap=1.0, ap_split="a"), row(ap=1.0, ap_split="a", ap_measured=True)]
    rows += [row(ap=1.0), row(ap=2.0), row(ap_split="a")]
    assert {label: len(found) for label, found in groups(rows).items()} == {
        "unknown split": 2,
        "a": 1,
        "b": 1,
        "measured:a": 1,
    }
    assert list(groups(rows)) == ["unknown split", "a", "b", "measured:a"]
    assert groups(rows, "mask_ap") == {}


@pytest.mark.parametrize(
    ("field", "number", "text"),
    [
        ("latency_ms_p50", 12.345, "12.3 ms"),
        ("memory_infer_mib", 1234.5, "1,234 MiB"),
        ("memory_infer_mib", 999.6, "1,000 MiB"),
        ("activations_mib", -3.0, "-3 MiB"),
        ("parameters", 34_305_000, "34.3 M"),
        ("flops", 62.9e9, "62.9 G"),
        ("ap", 38.46, "38.5"),
    ],
)
def test_amounts_have_units_and_three_digits(field: str, number: float, text: str) -> None:
    assert amount(field, number) == text


def test_nouns_are_plain() -> None:
    assert [noun(name) for name in ("latency_ms_p50", "memory_infer_mib", "mask_ap50", "parameters")] == [
        "latency p50",
        "memory infer",
        "mask AP50",
        "parameters",
    ]
