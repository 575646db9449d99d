"""Limits and costs as they are typed."""

import pytest

from paretodet.cli import parsing
from paretodet.errors import InputError


def test_the_calls_of_a_job_count_with_a_minus_sign_too() -> None:
    assert parsing.job_field("job_ms", 20) == "job_ms:20" and parsing.job_field("-job_ms", 20) == "-job_ms:20"
    assert parsing.job_field("-job_ms", 1) == "-job_ms" and parsing.job_field("-latency", 20) == "-latency_ms_p50"


@pytest.mark.parametrize(
    ("pairs", "named"),
    [
        (["latency=20", "latency=30"], {}),
        (["latency=20", "latency_ms_p50=30"], {}),
        (["latency=30"], {"latency_ms_p50": 20.0}),
        (["memory=30"], {"memory_infer_mib": 20.0}),
    ],
)
def test_a_field_has_one_limit_of_a_kind(pairs: list[str], named: dict[str, float]) -> None:
    with pytest.raises(InputError) as refused:
        parsing.limits(pairs, **named)
    assert refused.value.id == "option-conflict"


def test_limits_of_different_fields_are_all_kept() -> None:
    assert parsing.limits(["latency=30", "energy=2"], memory_infer_mib=20.0, ap=None) == {
        "memory_infer_mib": 20.0,
        "latency": 30.0,
        "energy": 2.0,
    }
