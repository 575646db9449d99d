"""The progress bar and its lines show names as they are."""

import io

import pytest
from rich.console import Console

from paretodet.cli import output, progress
from paretodet.cli.progress import ProgressBar
from paretodet.records.measurement import Measurement

NAME = "net[/final].onnx"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal gets on standard error."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=120, highlight=False, emoji=False)
    for module in (output, progress):
        monkeypatch.setattr(module, "NOTES", console)
    return text


def test_a_name_in_brackets_is_no_markup(terminal: io.StringIO) -> None:
    with ProgressBar() as bar:
        bar.draw(f"load      {NAME}", 1, 2, "about 9 s left")
    assert NAME in terminal.getvalue()


def test_control_sequences_of_a_name_or_an_error_do_not_reach_the_terminal(terminal: io.StringIO) -> None:
    row = Measurement(
        id="0123456789ab", run="r", at="2026", name="\x1b[2Jred", error="no \x1b]0;title\x07", validity="error"
    )
    with ProgressBar() as bar:
        bar.draw("load      \x1b[2Jred", 1, 2, "")
        bar.finished(row)
    assert "red" in terminal.getvalue()
    assert "\x1b[2J" not in terminal.getvalue() and "\x1b]0" not in terminal.getvalue()
