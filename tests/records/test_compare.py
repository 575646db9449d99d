"""Comparison of two rows, checked against simulated data."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from paretodet.records.compare import CONDITIONS, Change, diff, reproduced, versions_agree
from paretodet.records.measurement import Measurement
from paretodet.records.rows import Rows
from paretodet.records.statistics import PRIOR_DF, Interval, interval


def student(medians: list[float]) -> Interval:
    """Student's interval as rows of before the prior have it."""
    if len(medians) < 2:
        return interval(medians)
    logs, p50 = np.log(medians), float(np.median(medians))
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / len(logs) ** 0.5
    return Interval(p50, min(p50, float(np.exp(logs.mean() - half))), max(p50, float(np.exp(logs.mean() + half))))


def row(medians: list[float] | None = None, **fields: Any) -> Measurement:
    result = student([9.9, 10.0, 10.1, 10.0, 10.0] if medians is None else medians)
    values: dict[str, Any] = {
        "id": "a1",
        "run": "r",
        "at": "2026-01-01",
        "name": "ssd",
        "processes": 5 if medians is None else len(medians),
        "latency_ms_p50": result.p50,
        "latency_ms_p50_low": result.low,
        "latency_ms_p50_high": result.high,
    }
    return Measurement(**{**values, **fields})


MEDIANS = st.lists(st.floats(1, 1e4), min_size=2, max_size=9)


@given(MEDIANS, MEDIANS)
def test_the_ratio_is_welchs(first: list[float], second: list[float]) -> None:
    """Compared with scipy's interval of Welch's test, whose degrees of freedom are not rounded down."""
    rows = row(first), row(second)
    # The mean cannot be recovered from an interval that was widened to contain its median.
    assume(all(each.latency_ms_p50_low < each.latency_ms_p50 < each.latency_ms_p50_high for each in rows))
    result, logs = diff(*rows), (np.log(second), np.log(first))
    assume(min(np.ptp(logs[0]), np.ptp(logs[1])) > 1e-6)
    theirs = stats.ttest_ind(*logs, equal_var=False).confidence_interval()
    assert result.low <= np.exp(theirs.low) * (1 + 1e-6) and result.high >= np.exp(theirs.high) * (1 - 1e-6)


def test_the_ratio_of_equal_spreads_is_welchs_exactly() -> None:
    """With equal spreads the degrees of freedom are an integer, so nothing is rounded."""
    first, second = [9.0, 10.0, 11.0], [18.0, 20.0, 22.0]
    result, logs = diff(row(first), row(second)), (np.log(second), np.log(first))
    theirs = stats.ttest_ind(*logs, equal_var=False).confidence_interval()
    np.testing.assert_allclose([result.low, result.high], np.exp([theirs.low, theirs.high]))


def test_the_prior_of_a_row_counts_in_the_ratio() -> None:
    """Two rows of equal processes: their moderated standard errors add up, with the degrees of freedom of both."""
    medians = [9.0, 10.0, 11.0]
    found = interval(medians)
    ends = {"latency_ms_p50_low": found.low, "latency_ms_p50_high": found.high}
    one = row(medians, settings={"interval": {"prior_df": PRIOR_DF}}, **ends)
    error = np.log(found.high / found.low) / 2 / stats.t.ppf(0.975, 2 + PRIOR_DF)
    half = stats.t.ppf(0.975, 2 * (2 + PRIOR_DF)) * 2**0.5 * error
    ratio = diff(one, one)
    assert np.log([ratio.low, ratio.high]) == pytest.approx([-half, half], rel=1e-6)


@given(MEDIANS, MEDIANS)
def test_swapping_the_rows_inverts_the_ratio(first: list[float], second: list[float]) -> None:
    there, back = diff(row(first), row(second)), diff(row(second), row(first))
    assert there.ratio and there.low and there.high and back.ratio and back.low and back.high
    np.testing.assert_allclose(
        [there.ratio, there.low, there.high], [1 / back.ratio, 1 / back.high, 1 / back.low], rtol=1e-9
    )


@pytest.mark.parametrize("processes", [3, 5])
def test_the_interval_covers_the_truth(processes: int) -> None:
    """Process effects of 1.5 % around a true ratio of 1.2: the 95 % interval contains it in 93-99 % of 2,000 pairs."""
    draw = np.random.default_rng(7)
    held = 0
    for _ in range(2000):
        a, b = np.exp(draw.normal(0, 0.015, (2, processes)))
        result = diff(row(list(10 * a)), row(list(12 * b)))
        held += bool(result.low and result.high and result.low <= 1.2 <= result.high)
    assert 0.93 <= held / 2000 <= 0.99


def test_a_row_reproduces_itself() -> None:
    verdict = reproduced(row(), row())
    assert verdict.inside and verdict.ratio == 1
    assert verdict.sentence == "ssd is reproduced; new / old is 1.000 (95 % interval 0.990 to 1.010)."


def test_a_verdict_names_rows_that_cannot_be_trusted() -> None:
    assert reproduced(row(), row(validity="contended")).sentence.endswith("to 1.010). The new row is contended.")


def test_reproduction_allows_for_both_intervals() -> None:
    old, new = row([10.0, 10.1, 9.9]), row([10.6, 9.8, 11.2])
    assert new.latency_ms_p50 is not None and old.latency_ms_p50_high is not None
    assert new.latency_ms_p50 > old.latency_ms_p50_high, "the new p50 alone is outside"
    assert reproduced(old, new).inside


@pytest.mark.parametrize(("factor", "word"), [(1.1, "slower"), (0.9, "faster")])
def test_a_real_change_is_not_reproduced(factor: float, word: str) -> None:
    verdict = reproduced(row(), row([factor * value for value in (9.9, 10.0, 10.1, 10.0, 10.0)]))
    assert not verdict.inside
    assert f"is not reproduced: it is {word} now" in verdict.sentence


def test_a_difference_below_the_resolution_is_reproduced() -> None:
    old, new = row([10.0, 10.001, 9.999]), row([10.2, 10.201, 10.199])
    assert not reproduced(old, new).inside
    verdict = reproduced(old, replace(new, resolution_pct=3.0))
    assert verdict.inside and verdict.low > 1
    assert "a difference below the 3 % " in verdict.sentence


def test_reproduction_needs_intervals() -> None:
    broken = Measurement(id="e1", run="r", at="t", name="yolo", validity="error", error="ValueError: x")
    with pytest.raises(ValueError, match=r"row 'e1' \(yolo\) has no latency interval: .*'ValueError: x'"):
        reproduced(row(), broken)
    with pytest.raises(ValueError, match="has no latency interval: it has 1 processes"):
        reproduced(row([10.0]), row())


def test_diff_names_what_differs_and_nothing_else() -> None:
    first = row(spec=json.dumps({"backbone": {"depth": 50}, "stages": [{"head": 1}]}), versions={"torch": "2.13"})
    second = replace(
        first,
        id="b2",
        run="other",
        at="2027-01-01",
        samples=9,
        threads=2,
        precision="bf16",
        load="capacity",
        machine="m2",
        spec=json.dumps({"backbone": {"depth": 101}, "stages": [{"head": 2}]}),
        versions={"torch": "2.14", "onnx": "1.2"},
    )
    result = diff(first, second)
    assert set(result.changes) == {
        Change(field="threads", first=None, second=2),
        Change(field="precision", first="fp32", second="bf16"),
        Change(field="load", first="data", second="capacity"),
        Change(field="machine", first="", second="m2"),
        Change(field="versions.torch", first="2.13", second="2.14"),
        Change(field="versions.onnx", first=None, second="1.2"),
        Change(field="spec.backbone.depth", first=50, second=101),
        Change(field="spec.stages.0.head", first=1, second=2),
    }
    assert result.sentence.endswith("times as long as ssd; the difference is not significant.")
    assert diff(second, second).changes == ()


def test_diff_of_a_row_and_its_json_is_empty() -> None:
    first = row(settings={"bursts": (1, 2), "spin": {"omp": "passive"}})
    assert diff(first, Measurement.from_json(json.loads(json.dumps(first.to_json())))).changes == ()


def test_diff_without_a_number_says_why() -> None:
    broken = Measurement(id="e1", run="r", at="t", name="yolo", validity="error", error="boom")
    result = diff(row(), broken)
    assert (result.ratio, result.low, result.high) == (None, None, None)
    assert result.sentence == "yolo has no latency (boom), so there is no ratio."
    assert {change.field for change in result.changes} >= {"name", "validity"}
    single = diff(row(), row([20.0]))
    assert single.ratio == pytest.approx(2) and single.low is None and "there is no interval" in single.sentence


def test_a_spec_that_is_not_json_is_compared_as_text() -> None:
    for first, second in (("x{", "y{"), ("[" * 100_000, "y{")):
        assert diff(row(spec=first), row(spec=second)).changes == (Change(field="spec", first=first, second=second),)


def test_conditions_are_fields_of_a_row() -> None:
    assert set(CONDITIONS) <= set(row().to_json())


def newest(*rows: Measurement) -> tuple[Measurement, ...]:
    return tuple(Rows.of(rows).newest())


def test_newest_keeps_one_row_per_subject() -> None:
    old, new, other = row(at="2026-01-01"), row(at="2026-01-02", id="b"), row(at="2025-01-01", machine="m")
    assert newest(new, other, old) == (new, other)
    assert newest() == ()


def test_a_usable_row_is_kept_before_a_newer_one_that_is_not() -> None:
    """A repetition on a busy machine does not replace an earlier usable row."""
    old, busy = row(id="old"), row(id="busy", at="2026-02-01", validity="contended")
    assert newest(old, busy) == (old,) and newest(busy) == (busy,)
    assert newest(busy, row(id="new", at="2026-01-02"))[0].id == "new"


def test_a_repetition_under_other_conditions_says_so() -> None:
    pictured = {"settings": {"images": {"digest": "abc"}}}
    old, other = row(versions={"torch": "2"}), row(machine="another", versions={"torch": "3"}, **pictured)
    assert reproduced(old, other).sentence.endswith("measured with different hardware and library versions and images.")
    assert "measured with different" not in reproduced(row(), row()).sentence


def test_a_library_that_was_installed_since_is_no_other_condition() -> None:
    old, new = row(versions={"torch": "2", "onnx": "1"}), row(versions={"torch": "2", "ncnn": "1"})
    assert "measured with different" not in reproduced(old, new).sentence
    assert versions_agree(old.versions, new.versions) and not versions_agree({"onnx": "2"}, old.versions)


@pytest.mark.parametrize(
    "fields",
    [
        {"latency_ms_p50": 0.0, "latency_ms_p50_low": 0.0, "latency_ms_p50_high": 0.0},
        {"latency_ms_p50_low": 0.0},
        {"latency_ms_p50_high": None},
        {"processes": 1},
    ],
)
def test_a_row_of_another_program_without_a_usable_interval_is_named(fields: dict[str, Any]) -> None:
    """Such rows are valid in a file of rows."""
    other = row(**fields)
    with pytest.raises(ValueError, match="row 'a1' .* has no latency interval"):
        reproduced(other, row())
    assert diff(row(), other).low is None


def test_settings_of_another_program_are_no_error() -> None:
    strange = {"images": None, "interval": 3}
    assert reproduced(row(settings=strange), row(settings={"interval": {"prior_df": "1"}})).inside
