"""Entries of the cache are made once, also by several processes, and the oldest are removed first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from paretodet.errors import InputError
from paretodet.export import cache
from paretodet.export.cache import cached


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


def write(folder: Path, text: str = "a") -> None:
    (folder / "file").write_text(text)


def test_an_entry_is_made_once(root: Path) -> None:
    first = cached({"a": 1}, write)
    assert cached({"a": 1}, lambda folder: pytest.fail("made again")) == first._replace(spent=0.0)
    assert (first.folder / "file").read_text() == "a" and first.seconds >= 0
    assert cached({"a": 2}, write).folder != first.folder
    assert {each.name for each in root.iterdir()} == {each.name for each in root.iterdir() if each.is_dir()}


def test_other_code_makes_another_entry(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cached({"a": 1}, write)
    monkeypatch.setattr(cache, "_code", lambda: "other")
    assert cached({"a": 1}, write).folder != first.folder


def test_a_failure_leaves_no_entry(root: Path) -> None:
    def fail(folder: Path) -> None:
        write(folder, "half")
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached({"a": 1}, fail)
    assert list(root.iterdir()) == []
    assert (cached({"a": 1}, write).folder / "file").read_text() == "a"


def test_the_entry_that_was_not_used_for_the_longest_time_goes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [cached({"a": number}, lambda folder: write(folder, "x" * 1000)).folder for number in range(3)]
    for age, entry in enumerate(entries):
        os.utime(entry, (age, age))
    cached({"a": 0}, write)  # used again, so the second is the oldest now
    monkeypatch.setattr(cache, "MAX_BYTES", 3500)
    cached({"a": 3}, lambda folder: write(folder, "x" * 1000))
    assert [entry.is_dir() for entry in entries] == [True, False, True]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(cache.VARIABLE, str(tmp_path / "file"))
    with pytest.raises(InputError, match="PARETODET_CACHE.*output-unwritable"):
        cached({"a": 1}, write)


def test_processes_that_need_one_entry_make_it_once(root: Path) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom paretodet.export.cache import cached\n"
        "def make(folder):\n    time.sleep(0.3)\n    (folder / 'file').write_text('a'); print('made')\n"
        "cached({'a': 1}, make)"
    )
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert sorted(process.communicate()[0] for process in running) == ["", "", "made\n"]


@pytest.mark.skipif(os.name == "nt", reason="Windows is not asked who can write")
@pytest.mark.parametrize("inside", [False, True])
def test_native_code_is_not_kept_where_others_can_write(root: Path, inside: bool) -> None:
    folder = cached({"a": 1}, write, native=True).folder
    assert folder.stat().st_mode & 0o777 == 0o700
    changed = folder if inside else root
    changed.chmod(0o775)
    with pytest.raises(InputError, match=rf"^{changed}: other users can write into it.*chmod go-w.*cache-unsafe"):
        cached({"a": 1}, write, native=True)
    assert cached({"a": 1}, write).spent == 0
    changed.chmod(0o755)
    assert cached({"a": 1}, write, native=True).folder == folder


@pytest.mark.skipif(os.name == "nt", reason="Windows is not asked who can write")
def test_native_code_of_another_user_is_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(folder: Path) -> None:
        pytest.fail("made")

    root.mkdir()
    owner = 12345
    status = os.stat_result((0o40755, 0, 0, 0, owner, 0, 0, 0, 0, 0))
    monkeypatch.setattr(cache.Path, "stat", lambda *_, **__: status)
    with pytest.raises(InputError, match="it belongs to another user.*PARETODET_CACHE.*cache-unsafe"):
        cached({"a": 1}, made, native=True)
