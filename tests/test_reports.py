"""What long work reports, and to whom."""

import pytest

from paretodet import reports
from paretodet.reports import counted, listening, report


def test_reports_go_to_the_innermost_listener() -> None:
    outer, inner = list[str](), list[str]()
    report("to nobody")
    with listening(outer.append):
        report("a")
        with pytest.raises(KeyError), listening(inner.append):
            report("b")
            raise KeyError
        report("c")
    report("to nobody")
    assert (outer, inner) == (["a", "c"], ["b"])


def test_a_count_says_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each item takes 4 s; of fast ones, only some are reported."""
    times = iter(range(100, 200, 4))
    monkeypatch.setattr(reports, "monotonic", lambda: next(times))
    lines = list[str]()
    with listening(lines.append):
        assert list(counted("reads", "abc", 3)) == ["a", "b", "c"]
    assert lines == ["reads, 1 of 3", "reads, 2 of 3, about 16 s left", "reads, 3 of 3, about 6 s left"]
    monkeypatch.setattr(reports, "monotonic", lambda: 0.0)
    with listening(lines.append):
        assert len(list(counted("reads", "abc", 3))) == 3
    assert lines[3:] == ["reads, 1 of 3"]
