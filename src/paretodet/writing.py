"""Files and folders that are there whole or not at all: the only place that decides how one is written.

Until it has its name, what is written is called `.NAME.<32 hex digits>.tmp`, and beside it lies a file of that name and
`.lock`, which its writer has locked. The operating system takes the lock from a dead process, on whichever machine and
in whichever container, and gives it to no other that has its number: what nobody holds is removed by the next writer.
"""

import errno
import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # as some network file systems say
TAKEN = (errno.ENOTEMPTY, errno.EEXIST)
LOCK = ".lock"
LONGEST = 100  # bytes of a name that a temporary one begins with: file systems allow 255
_LOCKS = re.compile(rf"\..+\.[0-9a-f]{{32}}\.\w+{re.escape(LOCK)}", re.DOTALL)


@contextmanager
def written(path: Path | str, *, ending: str = ".tmp") -> Iterator[Path]:
    """A new file beside `path` to write to: flushed to the disk and renamed to `path` where the block ends, gone where
    it raises. A link keeps pointing; what is there and no file, as /dev/null, is itself what to write to. The `ending`
    is the new file's until then, for writers that go by it. Its permissions are a new file's, whatever those are that a
    library gives to its own.

    Raises OSError where the folder cannot be written.
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
    """A new folder to write into, that is `path` where the block ends and gone where it raises. `path` is new, or an
    empty folder; that one stays and gets what was written, as it may be mounted or be where somebody stands.

    Raises ValueError where another process is writing it, OSError where it cannot be written, or by then holds
    something.
    """
    target = Path(os.path.realpath(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    inside = target.is_dir()
    number = hashlib.sha256(os.fsencode(target.name)).hexdigest()[:32]  # the same for all who write this folder
    temporary = (target if inside else target.parent) / f".{_short(target.name)}.{number}.tmp"
    lock = temporary.with_name(temporary.name + LOCK)
    busy = f"{target}: another process is writing it; wait until it has ended, or name another folder"
    with held(lock, busy=busy) as alone:
        if alone:
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
    """All that is in one folder into another that holds nothing but `ours`; back again where that fails."""
    moved = list[Path]()
    if {each.name for each in target.iterdir()} - ours:
        raise OSError(_meanwhile(target))
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
        raise OSError(_meanwhile(target)) from None


def _meanwhile(target: Path) -> str:
    return f"{target}: something was written there meanwhile, so it is left as it is; name a new folder"


@contextmanager
def held(path: Path, *, busy: str) -> Iterator[bool]:
    """The file `path` is there and locked while the block lasts; the lock ends with this process, however that ends.
    Gives False on file systems without locks, where nobody can tell who else is there.

    Raises ValueError, which says `busy`, where another process, or another block of this one, holds it; OSError where
    the file cannot be made.
    """
    lock = FileLock(path, thread_local=False)
    try:
        _lock(lock)
    except Timeout:
        raise ValueError(busy) from None
    try:
        yield lock.is_locked
    finally:
        _let_go(lock)


def sweep(folder: Path) -> None:
    """Removes what dead writers left in `folder`, never what a living one writes."""
    with suppress(OSError):  # a folder that cannot be listed
        for path in [each for each in folder.iterdir() if _LOCKS.fullmatch(each.name)]:
            _sweep_one(path)


def _sweep_one(path: Path) -> None:
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=0)
    except OSError:  # Timeout is one: its writer is alive
        return
    _remove(path.with_name(path.name.removesuffix(LOCK)))
    _let_go(lock)


_sweep_once = lru_cache(maxsize=256)(sweep)  # a process that writes 100,000 files into a folder lists it once


def write_text(path: Path | str, text: str) -> None:
    """UTF-8, lines as they are."""
    with written(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


def write_bytes(path: Path | str, content: bytes) -> None:
    with written(path) as temporary:
        temporary.write_bytes(content)


def check_target(path: Path, option: str, *, endings: Sequence[str] = (), read: Iterable[Path | None] = ()) -> None:
    """To be asked before the work whose outcome goes there. Raises ValueError, named by the `option`, where `path` has
    none of the `endings`, is one of the files that are `read`, is a folder, lies in none, or in one that cannot be
    written.
    """
    if endings and path.suffix.lower() not in endings:
        raise ValueError(f"{option}: got {path.name!r}, it must end in {' or '.join(endings)}")
    if os.path.realpath(path) in {os.path.realpath(each) for each in read if each}:
        raise ValueError(f"{option}: {path} is read, so it is not written over; give another file")
    if path.is_dir():
        raise ValueError(f"{option}: {path} is a folder, a file is needed")
    if not path.parent.is_dir():
        raise ValueError(f"{option}: {path.parent} is no folder")
    if path.exists() and not path.is_file():
        return
    try:
        _try(Path(os.path.realpath(path)))
    except OSError as error:
        raise ValueError(f"{option}: {path} cannot be written ({error.strerror or error})") from None


def check_folder(path: Path, option: str) -> None:
    """As `check_target`, of a folder to write files into, which is made where it is not there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        _try(path / "file")
    except OSError as error:
        raise ValueError(f"{option}: {path} cannot be written ({error.strerror or error})") from None


@contextmanager
def full_disk_told(folder: Path, kept: str) -> Iterator[None]:
    """What libraries cannot write into `folder` meanwhile, as where the disk is full, is said in a sentence, with what
    is `kept`.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in FULL or error.filename is not None:
            raise
        raise OSError(f"{folder}: not written ({error.strerror}); {kept}") from error


def _try(target: Path) -> None:
    with _temporary(target) as temporary:
        _make(temporary)


@contextmanager
def _temporary(target: Path, ending: str = ".tmp") -> Iterator[Path]:
    """A name beside `target`, hidden and nobody's; what is called so is gone where the block ends, and swept where this
    process dies.
    """
    os.stat(f"{target.parent}{os.sep}.")  # the lock would make a folder that is not there
    _sweep_once(target.parent)
    path, lock = _claim(target, ending)
    try:
        yield path
    finally:
        _remove(path)
        _let_go(lock)


def _claim(target: Path, ending: str) -> tuple[Path, FileLock]:
    """A name and its lock; another one where a sweep came between the lock's making and its locking."""
    while True:
        path = target.with_name(f".{_short(target.name)}.{uuid4().hex}{ending}")
        lock = FileLock(f"{path}{LOCK}", thread_local=False)
        with suppress(Timeout):
            _lock(lock)
            return path, lock


def _lock(lock: FileLock) -> None:
    try:
        lock.acquire(timeout=0)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _let_go(lock: FileLock) -> None:
    """Removed while it is held: who has opened it meanwhile sees that it is no longer there."""
    with suppress(OSError):
        os.unlink(lock.lock_file)
    lock.release()


def _make(path: Path) -> int:
    """An empty file; its permissions, which are the process's own."""
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
    return os.fsencode(name)[:LONGEST].decode(errors="ignore")
