"""Files and folders that are there whole or not at all: the only place that decides how one is written."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextmanager
def written(path: Path | str, *, ending: str = ".tmp") -> Iterator[Path]:
    """A new file beside `path` to write to: flushed to the disk and renamed to `path` where the block ends, gone where
    it raises. A link keeps pointing; what is there and no file, as /dev/null, is itself what to write to. The `ending`
    is the new file's until then, for writers that go by it.

    Raises OSError where the folder cannot be written.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        yield target
        return
    temporary = _beside(target, ending)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def written_folder(path: Path | str) -> Iterator[Path]:
    """A new folder to write into, that is `path` where the block ends and gone where it raises. `path` is new, or an
    empty folder; that one stays and gets what was written, as it may be mounted or be where somebody stands.

    Raises OSError where it cannot be written, or by then holds what stands in the way.
    """
    target, moved = Path(os.path.realpath(path)), list[Path]()
    there = target.is_dir()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = _new_name(target / target.name if there else target, ".tmp")
    temporary.mkdir()
    try:
        yield temporary
        if not there:
            os.replace(temporary, target)
            return
        for each in sorted(temporary.iterdir()):
            os.rename(each, target / each.name)
            moved.append(target / each.name)
        temporary.rmdir()
    except BaseException:
        for each in (temporary, *moved):
            shutil.rmtree(each, ignore_errors=True)
        raise


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
    if path.resolve() in {each.resolve() for each in read if each}:
        raise ValueError(f"{option}: {path} is read, so it is not written over; give another file")
    if path.is_dir():
        raise ValueError(f"{option}: {path} is a folder, a file is needed")
    if not path.parent.is_dir():
        raise ValueError(f"{option}: {path.parent} is no folder")
    if path.exists() and not path.is_file():
        return
    try:
        _beside(Path(os.path.realpath(path))).unlink()
    except OSError as error:
        raise ValueError(f"{option}: {path} cannot be written ({error.strerror or error})") from None


def check_folder(path: Path, option: str) -> None:
    """As `check_target`, of a folder to write files into, which is made where it is not there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        _beside(path / "file").unlink()
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


def _beside(target: Path, ending: str = ".tmp") -> Path:
    """An empty file of a name that nobody has; as a new file's, its permissions are the process's own."""
    path = _new_name(target, ending)
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    return path


def _new_name(target: Path, ending: str) -> Path:
    """Beside `target`, hidden, and nobody's."""
    return target.with_name(f".{target.name[:100]}.{uuid4().hex}{ending}")
