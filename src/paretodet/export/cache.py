"""Files that take long to make, such as exported graphs, kept between processes and runs."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from paretodet.errors import InputError
from paretodet.writing import held, written_folder

VARIABLE = "PARETODET_CACHE"  # the environment variable that names another folder
MAX_BYTES = 20 << 30  # of all entries; the ones that were not used for the longest time are removed first
MADE = "made.json"


class Entry(NamedTuple):
    """A folder of the cache, the seconds that making its files took, and those of them that were spent now."""

    folder: Path
    seconds: float
    spent: float = 0.0


def cached(key: Mapping[str, Any], make: Callable[[Path], None], *, native: bool = False) -> Entry:
    """The folder that `make` filled for this key; it is made once, also if several processes ask for it.

    `key` holds, as JSON values, all that decides the content, but for the code of this package, which is added here:
    another version of it makes new entries. `native` says that the files are code that runs when it is loaded. Raises
    InputError if the cache cannot be written, or holds such code where other users can write, and what `make` raises.
    """
    root = cache_folder()
    name = hashlib.sha256(json.dumps({**key, "code": _code()}, sort_keys=True).encode()).hexdigest()[:32]
    folder = root / name
    with _locked(folder, busy=None):
        if native:
            _check_private(root)
        if is_new := not (folder / MADE).is_file():
            _make(folder, make)
            _trim(root, keep=folder)
        if native:
            _check_private(folder)
        os.utime(folder)
        seconds = float(json.loads((folder / MADE).read_text(encoding="utf-8"))["seconds"])
        return Entry(folder, seconds, seconds if is_new else 0.0)


def stamp(path: Path) -> list[str | int]:
    """What distinguishes a file from others in a key: its place, size and time."""
    file = path.stat()
    return [str(path.resolve()), file.st_size, file.st_mtime_ns]


def cache_folder() -> Path:
    """`PARETODET_CACHE`, else `paretodet` in the user's cache folder."""
    if chosen := os.environ.get(VARIABLE):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paretodet"


def _check_private(folder: Path) -> None:
    """Raises InputError if a user other than this one and root can write into the folder; Windows is not asked."""
    status = folder.stat()
    if os.name == "nt":
        return
    if status.st_uid not in (os.getuid(), 0):
        reason, remedy = "it belongs to another user", ""
    elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        reason, remedy = "other users can write into it", f"run `chmod go-w {folder}`, or "
    else:
        return
    message = f"{folder}: {reason}, and native code of the cache is loaded; {remedy}set {VARIABLE} to another folder"
    raise InputError(message, "cache-unsafe")


@contextmanager
def _locked(folder: Path, *, busy: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            stack.enter_context(held(folder.with_name(f"{folder.name}.lock"), busy=busy))
        except OSError as error:
            message = f"{folder.parent}: cannot be written ({error.strerror}); set {VARIABLE} to another folder"
            raise InputError(message, "output-unwritable") from None
        yield


def _make(folder: Path, make: Callable[[Path], None]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    start = perf_counter()
    with written_folder(folder) as temporary:
        make(temporary)
        temporary.chmod(0o700)
        (temporary / MADE).write_text(json.dumps({"seconds": round(perf_counter() - start, 3)}), encoding="utf-8")


def _trim(root: Path, *, keep: Path) -> None:
    """Removes entries until all fit in MAX_BYTES; never `keep`, nor one that another process is opening."""
    entries = sorted(
        (each for each in root.iterdir() if (each / MADE).is_file()), key=lambda each: each.stat().st_mtime
    )
    sizes = {each: sum(file.stat().st_size for file in each.rglob("*") if file.is_file()) for each in entries}
    total = sum(sizes.values())
    for entry in entries:
        if total > MAX_BYTES and entry != keep:
            with suppress(InputError), _locked(entry, busy="in use"):
                shutil.rmtree(entry, ignore_errors=True)
                total -= sizes[entry]


@cache
def _code() -> str:
    """SHA-256 over the source of this package."""
    digest, root = hashlib.sha256(), Path(__file__).parents[1]
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root).as_posix()}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()
