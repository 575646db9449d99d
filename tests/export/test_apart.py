"""Work in another process."""

import os
from functools import partial
from pathlib import Path

import pytest

from paretodet.export.apart import run_apart
from paretodet.reports import listening


def test_it_runs_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "process"
    run_apart(partial(exec, f"import os, pathlib; pathlib.Path({str(path)!r}).write_text(str(os.getpid()))", {}))
    assert int(path.read_text()) != os.getpid()


def test_its_last_words_are_the_error() -> None:
    with pytest.raises(ValueError, match="ZeroDivisionError: "):
        run_apart(partial(exec, "1 / 0", {}))


def test_its_reports_arrive_and_are_not_its_error() -> None:
    code = "from paretodet.reports import report; report('one'); report('two'); {}[3]; report('three')"
    lines = list[str]()
    with listening(lines.append), pytest.raises(ValueError, match="KeyError: 3"):
        run_apart(partial(exec, code, {}))
    assert lines == ["one", "two"]
