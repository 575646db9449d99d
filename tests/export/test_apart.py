"""Work in another process."""

import os
from functools import partial
from pathlib import Path

import pytest

from paretodet.errors import InputError
from paretodet.export.apart import run_apart, why_failed
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


def test_an_error_with_an_id_is_raised_as_it_is() -> None:
    """Whatever is written after it."""
    code = (
        "import atexit, sys; from paretodet.images import read_image; "
        "atexit.register(print, 'a warning', file=sys.stderr); read_image('é\\nnone.png')"
    )
    with pytest.raises(InputError) as failed:
        run_apart(partial(exec, code, {}))
    assert failed.value.id == "image-missing" and failed.value.message.startswith("é\nnone.png: ")


@pytest.mark.parametrize("line", ["no JSON", "[]", '["message", "no-such-id"]', '["message", ["a"]]', "3"])
def test_a_line_that_looks_like_an_error_is_none(line: str) -> None:
    """A library may print what stands in a file."""
    code = f"import sys; print('\\x1eerror: ' + {line!r}, file=sys.stderr); {{}}[3]"
    with pytest.raises(InputError) as failed:
        run_apart(partial(exec, code, {}))
    assert failed.value.id == "export-failed" and failed.value.message == "KeyError: 3"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signals")
@pytest.mark.parametrize(("number", "hint"), [(9, True), (15, False)])
def test_a_signal_is_the_cause_and_not_the_last_line(number: int, hint: bool) -> None:
    code = f"import os, sys; print('a warning', file=sys.stderr, flush=True); os.kill(os.getpid(), {number})"
    with pytest.raises(InputError) as failed:
        run_apart(partial(exec, code, {}))
    assert failed.value.id == "export-failed" and f"signal {number}" in failed.value.message
    assert "warning" not in failed.value.message and ("memory" in failed.value.message) == hint


def test_without_words_the_status_is_the_cause() -> None:
    assert why_failed(3, "") == "the process ended with status 3" and why_failed(3, "no [value-refused]") == "no"
