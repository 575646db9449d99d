"""`measure --on`: rows of another machine in the store here, and options that it cannot honor."""

from collections.abc import Callable
from pathlib import Path

import pytest

import stand_ins
from paretodet.records.store import Store

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
