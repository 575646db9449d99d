"""How commands open a candidate."""

import pytest

from paretodet import opening
from paretodet.cli.candidate import opened
from paretodet.cli.progress import ProgressBar
from paretodet.config import CandidateConfig
from paretodet.reports import report


def test_a_bar_shows_what_is_made_while_a_candidate_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = list[str]()
    monkeypatch.setattr(ProgressBar, "draw", lambda bar, line, *numbers: lines.append(line))
    monkeypatch.setattr(opening, "open_config", lambda chosen: report(f"exports {chosen.name}"))
    opened(CandidateConfig(name="mine"))
    report("nobody listens any more")
    assert lines == ["exports mine"]
