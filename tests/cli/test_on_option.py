"""`measure --on` and `search --on`: rows of another machine in the store, and options that it cannot honor."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import stand_ins
from paretodet.records.store import Store
from toy_board import Board

Run = Callable[..., tuple[int, str, str]]
NAME = "ssd-mobilenet_v1-300"


def test_rows_of_another_machine_are_shown_and_stored(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "for name in asked()['names']: send(row=row(name))\nsend(note='two images are damaged')\nsend(end=True)"
    stand_ins.ssh(tmp_path / "bin", body, monkeypatch)
    code, out, err = run("measure", NAME, "--on", "ssh:board", "--processes", 2, "--runtime", "onnxruntime")
    assert code == 0 and NAME in out and "ssh:board: two images are damaged" in err
    (row,) = Store("paretodet.db").rows()
    assert row.machine == "abcdefabcdef"


def test_a_search_measures_on_another_machine(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board()
    monkeypatch.setattr("paretodet.places.ssh.SshPlace.connect", lambda place, request: board.connect(request))
    code, out, err = run("search", NAME, "yolo_v3_tiny-416", "--on", "ssh:board", "--remote-python", "python", "--json")
    found = json.loads(out)
    assert code == 0 and found["configurations"] == 4 and found["measured"] == len(board.measured), err
    assert {each["runtime"] for each in found["members"]} == {"executorch"}
    assert "Searching on ssh:board." in err and "ssh:board: Not in the space: a reason." in err
    assert {row.machine for row in Store("paretodet.db").rows()} == {"abcdefabcdef"}


def test_a_search_measures_on_two_equal_machines(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    boards = {host: Board(name=f"ssh:{host}", machine=12 * host[-1]) for host in ("board-a", "board-b")}
    monkeypatch.setattr(
        "paretodet.places.ssh.SshPlace.connect", lambda place, request: boards[place.host].connect(request)
    )
    places = ("--on", "ssh:board-a", "--on", "ssh:board-b")
    code, out, err = run("search", NAME, "yolo_v3_tiny-416", *places, "--json")
    found = json.loads(out)
    assert code == 0 and found["configurations"] == 4 and "Searching on ssh:board-a + ssh:board-b." in err, err
    assert found["measured"] == sum(len(board.measured) for board in boards.values())
    assert all(board.calibrations == 1 for board in boards.values())
    boards["board-b"].slowness = 2.0
    code, out, err = run("search", NAME, "yolo_v3_tiny-96", *places)
    assert (code, out) == (2, "") and "is not equal to ssh:board-" in err and "[place-unfit]" in err.splitlines()[-1]


def test_a_search_that_loses_its_machine_says_how_to_go_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board(dies=1)
    monkeypatch.setattr("paretodet.places.ssh.SshPlace.connect", lambda place, request: board.connect(request))
    code, out, err = run("search", NAME, "yolo_v3_tiny-416", "--on", "ssh:board")
    assert (code, out) == (2, "") and "the same command goes on [place-unreachable]" in err.splitlines()[-1]
    assert len(Store("paretodet.db").rows()) == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--remote-python", "python"), "[option-conflict]"),
        (("--on", "ssh:board", "--weights", "a.safetensors"), "--weights: "),
        (("--on", "ssh:board", "--images", "a.png"), "--images: "),
        (("--on", "ssh:-x"), "[option-value]"),
        (("--on", "adb:"), "`paretodet measure BUNDLE --on adb:` measures bundles [option-unsupported]"),
    ],
)
def test_what_cannot_be_searched_is_one_sentence(run: Run, options: tuple[str, ...], says: str) -> None:
    code, out, err = run("search", NAME, *options)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--remote-python", "python"), "[option-conflict]"),
        (("--on", "ssh:board", "--data", "labels.json"), "--data: "),
        (("--on", "ssh:board", "--weights", "a.safetensors"), "--weights: "),
        (("--on", "ssh:board", "--images", "a.png"), "--images: "),
        (("--on", "ssh:-x"), "[option-value]"),
        (("--on", "board"), "[option-value]"),
        (("--on", "adb:"), "[option-conflict]"),
        (("--on", "adb:", "--benchmark-binary", "none"), "[file-missing]"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(run: Run, options: tuple[str, ...], says: str) -> None:
    code, out, err = run("measure", NAME, *options)
    assert (code, out) == (2, "") and says in err and err.count("\n") == 1
