"""Fields, units and groups of rows."""

import math
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.frontier.values import (
    COSTS,
    COUNTS,
    JOB,
    Value,
    accuracy_groups,
    amount,
    columns,
    job_field,
    noun,
    rounded_limit,
    value,
)
from paretodet.records.measurement import GAINS, Measurement


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


def test_disturbed_pct_widens_times_only() -> None:
    measured = row(latency_ms_p50=100.0, latency_ms_p50_low=90.0, latency_ms_p50_high=120.0, disturbed_pct=25.0)
    assert value(measured, "latency_ms_p50") == Value(100.0, 72.0, 150.0)
    known = row(total_ms=80.0, memory_infer_mib=80.0, load_ms=80.0, disturbed_pct=25.0)
    assert value(known, "total_ms") == Value(80.0, 64.0, 100.0)
    assert value(known, "memory_infer_mib") == value(known, "load_ms") == Value(80.0, 80.0, 80.0)


def test_a_job_time_is_loading_and_calls() -> None:
    times = {"latency_ms_p50": 10.0, "latency_ms_p50_low": 8.0, "latency_ms_p50_high": 12.0}
    measured = row(load_ms=200.0, first_ms=50.0, **times)
    assert value(measured, "job_ms") == Value(260.0, 258.0, 262.0)
    assert value(measured, "job_ms:20") == Value(450.0, 410.0, 490.0) and value(measured, "job_ms:0") == Value(
        250.0, 250.0, 250.0
    )
    assert value(row(load_ms=200.0, **times), "job_ms") is None
    assert [job_field(calls) for calls in (1, 20)] == ["job_ms", "job_ms:20"]
    assert (noun("job_ms"), noun("job_ms:20"), amount("job_ms:20", 450.0)) == (
        "job time",
        "job time (20 calls)",
        "450 ms",
    )


ROWS = st.builds(
    row,
    latency_ms_p50=st.none() | st.floats(1, 99),
    latency_ms_p50_low=st.none() | st.floats(1, 99),
    latency_ms_p50_high=st.none() | st.floats(1, 99),
    ap=st.none() | st.floats(1, 99),
    ap_rounding=st.none() | st.sampled_from([0.05, 0.5]),
    disturbed_pct=st.none() | st.floats(0, 99),
)


@given(st.lists(ROWS, max_size=6), st.sampled_from(["latency_ms_p50", "-latency_ms_p50", "ap", "job_ms"]))
def test_columns_are_the_values_of_every_row(rows: list[Measurement], field: str) -> None:
    result = columns(rows, field)
    for place, each in enumerate(rows):
        point, low, high = (float(column[place]) for column in result)
        assert value(each, field) == (None if math.isnan(point) else Value(point, low, high))
        assert math.isnan(point) or low <= point <= high


def test_groups_are_ordered_by_size_then_label() -> None:
    rows = [row(ap=1.0, ap_split="b"), row(ap=1.0, ap_split="a"), row(ap=1.0, ap_split="a", ap_measured=True)]
    rows += [row(ap=1.0), row(ap=2.0), row(ap_split="a")]
    assert {label: len(result) for label, result in accuracy_groups(rows).items()} == {
        "unknown split": 2,
        "a": 1,
        "b": 1,
        "measured:a": 1,
    }
    assert list(accuracy_groups(rows)) == ["unknown split", "a", "b", "measured:a"]
    assert accuracy_groups(rows, "mask_ap") == {}


@pytest.mark.parametrize(
    ("field", "number", "text"),
    [
        ("latency_ms_p50", 12.345, "12.3 ms"),
        ("memory_infer_mib", 1234.5, "1,234 MiB"),
        ("memory_infer_mib", 999.6, "1,000 MiB"),
        ("activations_mib", -3.0, "-3 MiB"),
        ("energy_j", 0.01234, "0.0123 J"),
        ("parameters", 34_305_000, "34.3 M"),
        ("flops", 62.9e9, "62.9 G"),
        ("ap", 38.46, "38.5"),
    ],
)
def test_amounts_have_units_and_three_digits(field: str, number: float, text: str) -> None:
    assert amount(field, number) == text


def test_nouns_are_plain() -> None:
    assert [noun(name) for name in ("latency_ms_p50", "memory_infer_mib", "energy_j", "mask_ap50", "parameters")] == [
        "latency p50",
        "memory infer",
        "energy",
        "mask AP50",
        "parameters",
    ]


@pytest.mark.parametrize(
    ("field", "number", "upwards", "text"),
    [
        ("latency_ms_p50", 288.40475, True, "289 ms"),
        ("latency_ms_p50", 288.40475, False, "288 ms"),
        ("latency_ms_p50", 42.0, True, "42 ms"),
        ("latency_ms_p50", 1374.7778, True, "1,375 ms"),
        ("latency_ms_p50", 999.2, True, "1,000 ms"),
        ("memory_infer_mib", 0.0, True, "0 MiB"),
        ("parameters", 12_345_678.0, True, "12.4 M"),
        ("flops", 1.2649e9, False, "1.26 G"),
        ("ap", 24.98, False, "24.9"),
    ],
)
def test_a_rounded_limit_admits_the_number(field: str, number: float, upwards: bool, text: str) -> None:
    assert amount(field, rounded_limit(field, number, upwards=upwards)) == text


def test_an_endless_limit_stays_as_it_is() -> None:
    endless = float("inf")
    assert rounded_limit("latency_ms_p50", endless, upwards=True) == endless
    assert rounded_limit("flops", 1e300, upwards=True) >= 1e300
