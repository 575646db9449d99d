"""Runs the command line inside the process of the tests."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import paretodet.cli
from paretodet.cli import main
from paretodet.errors import ENDINGS, with_id


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., tuple[int, str, str]]:
    """`run("list", "--json")` in an empty folder -> exit status, standard output, standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["paretodet", *map(str, args)])
        with pytest.raises(SystemExit) as left:
            main()
            raise SystemExit(0)
        out, err = capsys.readouterr()
        return int(left.value.code or 0), out, err

    return call


@pytest.fixture(autouse=True)
def one_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every message of bad input has exactly one id, at its end, and it is not the one of unforeseen errors."""

    def checked(error: Exception) -> str:
        message = with_id(error)
        assert message.endswith(ENDINGS) and sum(map(message.count, ENDINGS)) == 1, message
        assert not message.endswith("[value-refused]"), message
        return message

    monkeypatch.setattr(paretodet.cli, "with_id", checked)
