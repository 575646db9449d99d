"""Atomic writing: a file or folder appears complete or not at all.

While it is written, the file is called `.NAME.<32 hex digits>.tmp`. Its writer holds a lock on a second file of that
name with `.lock` appended. The operating system releases the lock of a process that dies, also across machines and
containers, so the next writer in the folder finds unlocked files and removes them.
"""

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

from paretodet.errors import ErrorId, FileError, InputError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # of file systems without locks
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
LOCK = ".lock"
CLAIM = "paretodet.lock"  # in a folder that `claim` has locked
MAX_NAME = 100  # bytes of the final name in the temporary one; file systems allow 255 in all
_LOCKS = re.compile(rf"\..+\.[0-9a-f]{{32}}\.\w+{re.escape(LOCK)}", re.DOTALL)


@contextmanager
def written(path: Path | str, *, ending: str = ".tmp") -> Iterator[Path]:
    """A context that gives a temporary file next to `path` to write to.

    At the end of the block the file is flushed to the disk and renamed to `path`; if the block raises, it is removed.
    A symbolic link stays, and its target is replaced. If `path` exists and is not a regular file, such as /dev/null, it
    is given itself. `ending` is the ending of the temporary file, for libraries that choose a format by it. The file
    gets the default permissions of a new file.

    Raises OSError if the folder is not writable.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    with _temporary(target, ending) as temporary:
        permissions = _make(temporary)
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != permissions:
            temporary.chmod(permissions)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)


@contextmanager
def written_folder(path: Path | str) -> Iterator[Path]:
    """A context that gives a temporary folder to write into, which becomes `path` at the end of the block.

    If the block raises, the temporary folder is removed. `path` must be new or an empty folder. An empty folder is
    kept and the files are moved into it, because it may be a mount point or a working directory.

    Raises InputError if another process writes the same folder, OSError if it is not writable or no longer empty at
    the end.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    inside = target.is_dir()
    number = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:32]  # the same in every process
    temporary = (target if inside else target.parent) / f".{_short(target.name)}.{number}.tmp"
    lock = temporary.with_name(temporary.name + LOCK)
    busy = f"{target}: another process writes this folder; wait until it ends, or name another folder"
    with held(lock, busy=busy) as locked:
        if locked:
            _remove(temporary)
        temporary.mkdir()
        try:
            yield temporary
            if inside:
                _move(temporary, target, {lock.name, temporary.name})
            else:
                _rename(temporary, target)
        finally:
            _remove(temporary)


def _move(folder: Path, target: Path, ours: set[str]) -> None:
    """Moves the content of `folder` to `target`, which holds nothing but `ours`; undone on failure."""
    moved = list[Path]()
    if {each.name for each in target.iterdir()} - ours:
        raise FileError(_changed(target), "output-changed")
    try:
        for each in sorted(folder.iterdir()):
            _rename(each, target / each.name)
            moved.append(target / each.name)
    except BaseException:
        for each in moved:
            _remove(each)
        raise


def _rename(folder: Path, target: Path) -> None:
    try:
        os.replace(folder, target)
    except OSError as error:
        if error.errno not in TAKEN:
            raise
        raise FileError(_changed(target), "output-changed") from None


def _changed(target: Path) -> str:
    return f"{target}: another process wrote to this folder, so it is not changed; name a new folder"


@contextmanager
def held(path: Path, *, busy: str | None, id: ErrorId = "folder-busy") -> Iterator[bool]:
    """A context that holds a lock on the file `path`. The lock ends with this process, even if it is killed.

    Gives False on file systems without locks, where other writers cannot be detected. Raises InputError with the
    message `busy` and this `id` if another process, or another block of this one, holds the lock, or waits for it if
    `busy` is None; OSError if the file cannot be made.
    """
    lock = FileLock(path, thread_local=False)
    try:
        _lock(lock, wait=busy is None)
    except Timeout:
        raise InputError(str(busy), id) from None
    try:
        yield lock.is_locked
    finally:
        _let_go(lock)


@cache
def claim(folder: Path, pattern: str) -> FileLock:
    """Locks `folder` until this process ends, and removes what killed processes left: the folders beside it that match
    `pattern`, belong to this user and were locked by this function.
    """
    lock = FileLock(folder / CLAIM)
    with suppress(OSError):  # a process that forked this one holds it
        lock.acquire(timeout=0)
    for other in folder.parent.glob(f"{pattern}/{CLAIM}"):
        with suppress(OSError):  # Timeout is one: its process is running
            if os.lstat(other.parent).st_uid == os.getuid():
                with FileLock(other).acquire(timeout=0):
                    shutil.rmtree(other.parent)
    return lock


def sweep(folder: Path) -> None:
    """Removes the temporary files of dead processes from `folder`, never those of a running one."""
    with suppress(OSError):  # the folder cannot be listed
        for path in [each for each in folder.iterdir() if _LOCKS.fullmatch(each.name)]:
            _sweep_one(path)


def _sweep_one(path: Path) -> None:
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except OSError:  # Timeout is one: the writer is running
        return
    _remove(path.with_name(path.name.removesuffix(LOCK)))
    _let_go(lock)


_sweep_once = lru_cache(maxsize=256)(sweep)  # one listing for 100,000 files in a folder


def write_text(path: Path | str, text: str) -> None:
    """Writes `text` as UTF-8 without changing line ends, atomically."""
    with written(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: Path | str, content: bytes) -> None:
    """Writes `content` atomically."""
    with written(path) as temporary:
        temporary.write_bytes(content)


def check_target(
    path: Path,
    option: str,
    *,
    endings: Sequence[str] = (),
    read: Iterable[Path | None] = (),
    new: bool = False,
) -> None:
    """Checks before a long run that its output can be written to the file `path`.

    Raises InputError naming the `option` if `path` has none of the `endings`, is one of the input files `read`, is a
    folder, is in a folder that is missing or not writable, or, if `new`, exists.
    """
    if endings and path.suffix.lower() not in endings:
        raise InputError(f"{option}: got {path.name!r}, it must end in {' or '.join(endings)}", "output-ending")
    if os.path.realpath(path) in {os.path.realpath(each) for each in read if each}:
        raise InputError(f"{option}: {path} is an input of this command; name another file", "output-is-input")
    if path.is_dir():
        raise InputError(f"{option}: {path} is a folder, a file is needed", "output-folder")
    if not path.parent.is_dir():
        raise InputError(f"{option}: there is no folder {path.parent}", "output-folder")
    if path.exists() and not path.is_file():
        return
    if new and path.exists():
        raise InputError(f"{option}: {path} exists; name a new file, or remove this one", "output-exists")
    try:
        _try(Path(os.path.realpath(path)))
    except OSError as error:
        raise _unwritable(path, option, error) from None


def check_folder(path: Path, option: str) -> None:
    """Checks that files can be written to the folder `path` and makes it if needed. Raises InputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        _try(path / "file")
    except OSError as error:
        raise _unwritable(path, option, error) from None


def _unwritable(path: Path, option: str, error: OSError) -> InputError:
    return InputError(f"{option}: {path} cannot be written ({error.strerror or error})", "output-unwritable")


@contextmanager
def explained_disk_errors(folder: Path, kept: str) -> Iterator[None]:
    """A context that adds `folder`, and a sentence about what is `kept`, to an OSError of a library, such as a full
    disk, that names no file.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        raise FileError(f"{folder}: not written ({error.strerror}); {kept}", "output-unwritable") from error


def _try(target: Path) -> None:
    with _temporary(target) as temporary:
        _make(temporary)


@contextmanager
def _temporary(target: Path, ending: str = ".tmp") -> Iterator[Path]:
    """A new hidden name next to `target`. A file of this name is removed at the end of the block, or by `sweep` if
    this process dies.
    """
    os.stat(f"{target.parent}{os.sep}.")  # fails if the folder is missing, which the lock would make
    _sweep_once(target.parent)
    path, lock = _claim(target, ending)
    try:
        yield path
    finally:
        _remove(path)
        _let_go(lock)


def _claim(target: Path, ending: str) -> tuple[Path, FileLock]:
    """A name and its lock. Tries again if a sweep removed the lock file before it was locked."""
    while True:
        path = target.with_name(f".{_short(target.name)}.{uuid4().hex}{ending}")
        lock = FileLock(f"{path}{LOCK}", thread_local=False)
        with suppress(Timeout):
            _lock(lock)
            return path, lock


def _lock(lock: FileLock, *, wait: bool = False) -> None:
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _let_go(lock: FileLock) -> None:
    """Removes the lock file before the release, so that a process that has it open sees that it is gone."""
    with suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()


def _make(path: Path) -> int:
    """Makes an empty file and returns its permissions, the default ones of this process."""
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    try:
        return stat.S_IMODE(os.fstat(handle).st_mode)
    finally:
        os.close(handle)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _short(name: str) -> str:
    return os.fsencode(name)[:MAX_NAME].decode(errors="ignore")
