"""Only text reaches the terminal: control characters from files of unknown origin are replaced."""

import io
import json
import os
import sys

import pytest

from paretodet.cli import main
from paretodet.cli.output import note, note_next, print_json, show

STEERS = "\x1b]0;owned\x07\x1b[2Jname"


@pytest.mark.parametrize("say", [note, show])
def test_a_sentence_keeps_its_lines_and_nothing_that_steers(say, capsys):
    kept = "[bold]ä\N{ZERO WIDTH JOINER}\N{IDEOGRAPHIC SPACE}[/bold] of module:x: no"
    say(f"first\n{STEERS} is {kept}")
    printed = "".join(capsys.readouterr())
    assert printed == f"first\n\ufffd]0;owned\ufffd\ufffd[2Jname is {kept}\n"


@pytest.mark.parametrize("say", [note, show, lambda url: note_next("frontier", store=url)])
def test_a_password_is_not_printed(say, capsys):
    say("postgresql://me:secret@host/rows?password=secret")
    printed = "".join(capsys.readouterr())
    assert "postgresql://me:***@host/rows?password=***" in printed and "secret" not in printed


def test_json_of_a_name_that_is_no_utf_8_can_be_read(monkeypatch):
    """A strict stream, as a terminal's is, takes no half of a character."""
    strict = io.TextIOWrapper(io.BytesIO(), "utf-8", "strict")
    monkeypatch.setattr(sys, "stdout", strict)
    print_json([{"image": os.fsdecode(b"caf\xe9.jpg")}, {"image": "Grün.jpg"}])
    strict.seek(0)
    assert json.load(strict) == [{"image": "caf?.jpg"}, {"image": "Grün.jpg"}]


def test_a_document_has_a_line_for_each_of_its_objects(capsys):
    value = {"a": [{"b": 1}, {"c": [2, "ä\n"]}], "d": {"e": [1, {}]}, "f": [], "g": None, "h": [1, 2]}
    print_json(value)
    text = capsys.readouterr().out
    assert json.loads(text) == value and '\n  {"b": 1},\n  {"c": ' in text
    print_json({})
    print_json([])
    assert capsys.readouterr().out == "{}\n[]\n"


def test_an_error_names_a_file_and_nothing_more(capsys, monkeypatch, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"name": "\\u001b[2J"}\n')
    monkeypatch.setattr(sys, "argv", ["paretodet", "doctor", str(tmp_path / STEERS)])
    with pytest.raises(SystemExit) as left:
        main()
    out, err = capsys.readouterr()
    assert left.value.code == 2 and "owned" in err and err.endswith("\n")
    assert all(letter.isprintable() or letter == "\n" for letter in out + err)


def test_the_next_command_has_the_options_as_they_are_typed(capsys):
    note_next("measure", "a", calibration="images", allow_fallback=True, data_split=None, trust=False)
    assert capsys.readouterr().err == "Next: paretodet measure a --calibrate images --allow-fallback\n"
