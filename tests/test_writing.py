"""A file is there whole or not at all, whatever happens while it is written."""

import os
import stat
from pathlib import Path

import pytest

from paretodet.writing import check_folder, check_target, write_bytes, write_text, written, written_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_written_is_there_and_nothing_else(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "é\r\n\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\r\n\n".encode()
    write_bytes(tmp_path / "a.txt", b"\x00")
    assert (tmp_path / "a.txt").read_bytes() == b"\x00" and names(tmp_path) == ["a.txt"]


def test_a_writer_that_goes_by_the_ending_gets_it(tmp_path: Path) -> None:
    with written(tmp_path / "a.mov", ending=".mp4") as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".mp4" and temporary.parent == tmp_path
    assert names(tmp_path) == ["a.mov"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), written(path) as temporary:
        temporary.write_text("half")
        assert path.read_text() == "old"
        raise RuntimeError
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = []
    flush, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append(("fsync", os.fstat(handle).st_size)), flush(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(("rename", Path(a).parent)), rename(a, b)))
    write_text(tmp_path / "a.txt", "twelve bytes")
    assert done == [("fsync", 12), ("rename", tmp_path.resolve())]


def test_permissions_are_a_new_files(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "")
    (tmp_path / "b.txt").touch()
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.txt", "b.txt")]
    assert modes[0] == modes[1]


def test_a_link_keeps_pointing(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "a.txt").symlink_to(tmp_path / "there" / "b.txt")
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").is_symlink() and (tmp_path / "there" / "b.txt").read_text() == "x"


def test_a_device_is_written_to_and_stays() -> None:
    check_target(Path("/dev/null"), "out")
    write_text("/dev/null", "x")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_what_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_target(tmp_path / "a.PNG", "plot", endings=(".png", ".svg"))
    assert names(tmp_path) == []
    for path, says in (
        (tmp_path / "a.gif", r"plot: got 'a\.gif', it must end in \.png or \.svg"),
        (tmp_path / "no" / "a.png", "plot: .*no is no folder"),
    ):
        with pytest.raises(ValueError, match=says):
            check_target(path, "plot", endings=(".png", ".svg"))
    with pytest.raises(ValueError, match="is a folder, a file is needed"):
        check_target(tmp_path, "out")
    with pytest.raises(ValueError, match=r"out: .*b\.json is read, so it is not written over"):
        check_target(tmp_path / "b.json", "out", read=[None, tmp_path / "x" / ".." / "b.json"])
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="out: .*file cannot be written"):
        check_folder(tmp_path / "file", "out")
    check_folder(tmp_path / "x" / "y", "out")
    assert names(tmp_path / "x" / "y") == []

    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    for check in (check_target, check_folder):
        with pytest.raises(ValueError, match="cannot be written.*Permission denied"):
            check(tmp_path / "x" / ("y" if check is check_folder else "z"), "out")


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    for folder in (tmp_path / "new" / "a", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        before = folder.is_dir() and folder.stat().st_ino
        with pytest.raises(KeyboardInterrupt), written_folder(folder) as temporary:
            write_text(temporary / "b.txt", "half")
            raise KeyboardInterrupt
        assert not any(folder.iterdir()) if before else not any(folder.parent.iterdir())
        with written_folder(folder) as temporary:
            write_text(temporary / "b.txt", "whole")
            (temporary / "c").mkdir()
            assert temporary.name.startswith(".") and not (folder / "b.txt").exists()
        assert names(folder) == ["b.txt", "c"] and (folder / "b.txt").read_text() == "whole"
        assert not before or folder.stat().st_ino == before  # whoever stands in it sees what was written
    assert names(tmp_path) == ["empty", "new"] and names(tmp_path / "new") == ["a"]


def test_what_cannot_be_moved_takes_back_what_was(tmp_path: Path) -> None:
    with pytest.raises(OSError), written_folder(tmp_path) as temporary:
        for name in ("a", "b"):
            (temporary / name).mkdir()
        (tmp_path / "b" / "theirs").mkdir(parents=True)
    assert names(tmp_path) == ["b"] and names(tmp_path / "b") == ["theirs"]
