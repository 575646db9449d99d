"""A file is written whole or not at all, even if the writer fails or is killed."""

import errno
import fcntl
import multiprocessing
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from paretodet.writing import (
    check_folder,
    check_target,
    claim,
    held,
    sweep,
    write_bytes,
    write_text,
    written,
    written_folder,
)


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


def test_what_cannot_be_written_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_target(tmp_path / "a.PNG", "plot", endings=(".png", ".svg"))
    assert names(tmp_path) == []
    for path, says in (
        (tmp_path / "a.gif", r"plot: got 'a\.gif'.*\[output-ending\]"),
        (tmp_path / "no" / "a.png", r"plot: .*no \[output-folder\]"),
    ):
        with pytest.raises(ValueError, match=says):
            check_target(path, "plot", endings=(".png", ".svg"))
    with pytest.raises(ValueError, match=r"\[output-folder\]"):
        check_target(tmp_path, "out")
    with pytest.raises(ValueError, match=r"out: .*b\.json .*\[output-is-input\]"):
        check_target(tmp_path / "b.json", "out", read=[None, tmp_path / "x" / ".." / "b.json"])
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"out: .*file .*\[output-unwritable\]"):
        check_folder(tmp_path / "file", "out")
    check_folder(tmp_path / "x" / "y", "out")
    assert names(tmp_path / "x" / "y") == []

    def refused(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    for check in (check_target, check_folder):
        with pytest.raises(ValueError, match=r"Permission denied.*\[output-unwritable\]"):
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
        assert (
            not before or folder.stat().st_ino == before
        )  # a process whose working folder it is sees what was written
    assert names(tmp_path) == ["empty", "new"] and names(tmp_path / "new") == ["a"]


def test_what_cannot_be_moved_takes_back_what_was(tmp_path: Path) -> None:
    with pytest.raises(OSError), written_folder(tmp_path) as temporary:
        for name in ("a", "b"):
            (temporary / name).mkdir()
        (tmp_path / "b" / "theirs").mkdir(parents=True)
    assert names(tmp_path) == ["b"] and names(tmp_path / "b") == ["theirs"]


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def private(path: Path) -> None:
    """Some libraries write a new file and rename it; only its owner may read it."""
    path.unlink()
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))


@pytest.mark.parametrize("mask", [0o002, 0o022, 0o027, 0o077])
def test_what_is_written_may_be_read_by_whom_the_umask_says(tmp_path: Path, mask: int) -> None:
    with umask(mask):
        write_text(tmp_path / "a", "x")
        with written(tmp_path / "b") as temporary:
            private(temporary)
        with written_folder(tmp_path / "c" / "d") as folder, written(folder / "e") as temporary:
            private(temporary)
    found = {path.relative_to(tmp_path).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*")}
    files, folders = 0o666 & ~mask, 0o777 & ~mask
    assert found == {"a": files, "b": files, "c": folders, "c/d": folders, "c/d/e": files}


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "🙂" * 63, "a\nb", "-rf", " ", "a" * 200 + ".json"])
def test_any_name_that_the_file_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "x")
    with written_folder(tmp_path / "folder" / name) as folder:
        write_text(folder / name, "y")
    assert names(tmp_path) == sorted([name, "folder"]) and (tmp_path / "folder" / name / name).read_text() == "y"


WRITER = """
import sys, time
from pathlib import Path
from paretodet.writing import written, written_folder
kind, path = sys.argv[1], Path(sys.argv[2])
with (written_folder(path) if kind == "folder" else written(path, ending=kind)) as temporary:
    (temporary / "a.txt" if kind == "folder" else temporary).write_text("half")
    print(temporary, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def writing(kind: str, path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process that is writing, and its temporary file; it ends when it reads a line."""
    command = [sys.executable, "-c", WRITER, kind, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, Path(process.stdout.readline().strip())
        finally:
            process.kill()


KINDS = [(".tmp", "a.txt"), (".mp4", "a.mov"), ("folder", "new"), ("folder", "empty"), (".tmp", "x" * 255)]


@pytest.mark.parametrize(("kind", "name"), KINDS, ids=[f"{kind} {name:.5}" for kind, name in KINDS])
def test_what_a_killed_writer_left_goes_with_the_next_and_what_a_living_one_writes_stays(
    tmp_path: Path, kind: str, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "theirs.tmp").touch()
    with writing(kind, tmp_path / name) as (process, temporary):
        sweep(temporary.parent)
        assert temporary.exists() and process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert temporary.exists()
        with writing(".tmp", temporary.parent / "b.txt") as (other, living):
            assert not temporary.exists() and living.exists()
            sweep(temporary.parent)
            other.communicate("\n")
    assert (temporary.parent / "b.txt").read_text() == "half"
    left = {*names(tmp_path), *names(tmp_path / "empty")}
    assert left == {"empty", "theirs.tmp", "b.txt"}


def test_a_process_that_has_a_dead_ones_number_does_not_keep_what_that_one_left(tmp_path: Path) -> None:
    """Only the lock shows whether a writer is alive, not the name or the content of the file."""
    left = tmp_path / f".a.{os.getpid():032x}.tmp"
    left.touch()
    left.with_name(left.name + ".lock").write_text(str(os.getpid()))
    sweep(tmp_path)
    assert names(tmp_path) == []


def test_files_of_other_programs_are_not_removed(tmp_path: Path) -> None:
    number, theirs = 32 * "a", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "file").touch()
    kept = [
        f".a.{number}.tmp",
        f"a.{number}.tmp.lock",
        f".a.{number[1:]}.tmp.lock",
        ".a.lock",
        ".a.tmp",
        f".{number}.lock",
    ]
    for name in kept:
        (tmp_path / name).touch()
    (tmp_path / f".b.{number}.tmp").symlink_to(theirs)
    (tmp_path / f".b.{number}.tmp.lock").touch()
    sweep(tmp_path)
    assert names(tmp_path) == sorted([*kept, "theirs"]) and names(theirs) == ["file"]
    sweep(tmp_path / "none")
    sweep(theirs / "file")


def write_and_sweep(folder: Path, name: str) -> None:
    for number in range(150):
        sweep(folder)
        write_text(folder / f"{name}-{number % 3}.txt", f"{number}")


def test_writers_that_sweep_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_and_sweep, args=(tmp_path, name)) for name in ("a", "a", "b")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert names(tmp_path) == [f"{name}-{number}.txt" for name in "ab" for number in range(3)]


@pytest.mark.parametrize("name", ["new", "empty"])
def test_a_folder_has_one_writer_at_a_time(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with writing("folder", tmp_path / name) as (process, _):
        with (
            pytest.raises(ValueError, match=rf"{name}: .*\[folder-busy\]"),
            written_folder(tmp_path / name),
        ):
            raise AssertionError
        process.communicate("\n")
    assert names(tmp_path / name) == ["a.txt"]


@pytest.mark.parametrize("name", ["new", "empty"])
def test_what_came_into_a_folder_meanwhile_stays_and_nothing_is_mixed_with_it(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with (
        pytest.raises(OSError, match=f"{name}: another process wrote to this folder"),
        written_folder(tmp_path / name) as folder,
    ):
        write_text(folder / "a.txt", "ours")
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "a.txt").write_text("theirs")
    assert names(tmp_path / name) == ["a.txt"] and (tmp_path / name / "a.txt").read_text() == "theirs"
    assert {*names(tmp_path)} == {"empty", name}


def test_a_lock_is_held_by_one_block_and_gone_after_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    for _ in range(2):
        with held(path, busy="taken") as alone:
            assert alone
            with pytest.raises(ValueError, match=r"^taken \[folder-busy\]$"), held(path, busy="taken"):
                raise AssertionError
        assert names(tmp_path) == []


CLAIMER = """
import sys
from pathlib import Path
from paretodet.writing import claim
lock = claim(Path(sys.argv[1]), "pymp-*")
print(lock.is_locked, flush=True)
sys.stdin.read()
"""


def test_a_claim_ends_with_its_process_and_the_next_removes_its_folder(tmp_path: Path) -> None:
    for name in ("pymp-first", "pymp-second", "pymp-third", "pymp-foreign", "other"):
        (tmp_path / name).mkdir()
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", CLAIMER, tmp_path / name], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in ("pymp-first", "pymp-second")
    )
    assert [process.stdout and process.stdout.readline() for process in (first, second)] == [b"True\n"] * 2
    first.kill()
    first.communicate()
    assert claim(tmp_path / "pymp-third", "pymp-*").is_locked
    assert names(tmp_path) == ["other", "pymp-foreign", "pymp-second", "pymp-third"]
    second.communicate()


def test_a_file_system_without_locks_is_written_to_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    write_text(tmp_path / "a.txt", "x")
    with written_folder(tmp_path / "b") as folder:
        write_text(folder / "c.txt", "y")
        sweep(tmp_path)
        with pytest.raises(FileExistsError), written_folder(tmp_path / "b"):
            raise AssertionError
    assert names(tmp_path) == ["a.txt", "b"] and names(tmp_path / "b") == ["c.txt"]
