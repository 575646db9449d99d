"""Reads one file of a tar archive of unknown origin, member by member and within limits.

A member is a header of 512 bytes and its content, padded to a multiple of 512. A name that does not fit its header is
the content of a header before it, of the kind L (GNU) or x (POSIX, as `length path=name`).
"""

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

from paretodet.errors import InputError
from paretodet.reading import PIECE
from paretodet.writing import written

BLOCK = 512
MEMBERS = 10_000
HEADER = 2**16  # bytes of a long name
RATIO = 10  # unpacked bytes of one of the archive; weights shrink by less than a third
MINIMUM = 2**26  # bytes that any archive may expand to
FILES, FOLDER = (b"0", b"\0"), b"5"
LONG_NAME, EXTENDED, IGNORED = b"L", b"x", (b"g", b"K")  # headers before that of a member

Write = Callable[[bytes], object]


def extract(archive: Path, member: str, target: Path) -> None:
    """Writes the first member called `member`, in whatever folder of the tar archive, to `target`.

    All members are looked at first, and no other one is written. Raises InputError, and leaves `target` as it is, if
    one of them is a link or a device, or has a path that leaves the archive, if the archive expands too far, cannot be
    read, or has no such member.
    """
    with archive.open("rb") as file, written(target) as temporary:
        is_compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        reader = _TarReader(archive, gzip.GzipFile(fileobj=file) if is_compressed else file)
        with temporary.open("wb") as out:
            if not _extract(reader, member, out.write):
                raise reader.damaged(f"it has no member {member}")


def _extract(reader: "_TarReader", member: str, write: Write) -> bool:
    count, found = 0, False
    while each := reader.next_member():
        count += 1
        _check(reader, each, count)
        is_first = not found and each.kind in FILES and PurePosixPath(each.name).name == member
        reader.copy(each.size, write if is_first else lambda piece: None)
        found = found or is_first
    return found


class _TarMember(NamedTuple):
    name: str
    kind: bytes
    size: int


def _check(reader: "_TarReader", member: _TarMember, count: int) -> None:
    """Raises InputError if a member is no file or folder inside of the archive, or is one too many."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or set("\\:\0") & set(member.name):
        raise reader.unsafe(f"its member {member.name!r} leaves the archive")
    if member.kind not in (*FILES, FOLDER):
        raise reader.unsafe(f"its member {member.name!r} is a link, a device or a sparse file")
    if count > MEMBERS:
        raise reader.unsafe(f"it has more than {MEMBERS:,} members")


class _TarReader:
    """The content of an archive from its beginning to its end, up to the limit."""

    def __init__(self, archive: Path, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._archive, self._stream = archive, stream
        self._left = max(RATIO * os.path.getsize(archive), MINIMUM)

    def next_member(self) -> _TarMember | None:
        """The next member; its content comes next. None at the end."""
        name = b""
        while block := self._header():
            kind, size = block[156:157], self._number(block[124:136])
            if kind == LONG_NAME:
                name = self._long(size).rstrip(b"\0")
            elif kind == EXTENDED:
                name = self._path(self._long(size)) or name
            elif kind in IGNORED:
                self._long(size)
            else:
                return _TarMember((name or _name(block)).decode(errors="replace"), kind, size)
        return None

    def copy(self, size: int, write: Write) -> None:
        """Reads the content of a member of this size."""
        padding = -size % BLOCK
        while size:
            piece = self._read(min(size, PIECE))
            write(piece)
            size -= len(piece)
        self._read(padding)

    def damaged(self, fault: str) -> InputError:
        return InputError(f"{self._archive}: not usable, because {fault}", "archive-damaged")

    def unsafe(self, fault: str) -> InputError:
        return InputError(f"{self._archive}: refused, because {fault}", "archive-unsafe")

    def _header(self) -> bytes | None:
        """The next header; None at the end. Its checksum counts its own place as spaces."""
        block = self._read(BLOCK, at_end=True)
        if not any(block):
            return None
        if sum(block) - sum(block[148:156]) + 8 * ord(" ") != self._number(block[148:156]):
            raise self.damaged("it is no tar archive, or it is damaged")
        return block

    def _number(self, field: bytes) -> int:
        """An octal number, or a binary one behind a first byte of 128."""
        if field[0] == 128:
            return int.from_bytes(field[1:])
        digits = field.strip(b" \0")
        if digits.strip(b"01234567"):
            raise self.damaged("a number in a header is damaged")
        return int(digits or b"0", 8)

    def _long(self, size: int) -> bytes:
        """The content of a header before that of a member."""
        if size > HEADER:
            raise self.unsafe(f"a name in it has {size:,} bytes")
        parts = list[bytes]()
        self.copy(size, parts.append)
        return b"".join(parts)

    def _path(self, records: bytes) -> bytes:
        """The path in POSIX records, `length key=value`; other keys change nothing, but for those of sparse files."""
        path = b""
        for line in records.split(b"\n"):
            key, _, value = line.partition(b" ")[2].partition(b"=")
            if key.startswith(b"GNU.sparse") or key == b"size":
                raise self.unsafe("a member is a sparse file, or larger than 8 GiB")
            path = value if key == b"path" else path
        return path

    def _read(self, size: int, *, at_end: bool = False) -> bytes:
        """`size` bytes; where the archive may end, there may be none. A size that a header states takes no memory."""
        self._left -= size
        if self._left < 0:
            raise self.unsafe(f"it expands to more than {RATIO} times its size")
        try:
            content = self._stream.read(size)
        except (OSError, EOFError, zlib.error) as error:
            raise self.damaged(f"it cannot be unpacked ({error})") from None
        if len(content) < size and (content or not at_end):
            raise self.damaged("it ends early")
        return content


def _name(block: bytes) -> bytes:
    """The name in a header, with the part of it that POSIX writes to another place."""
    name, prefix = (block[start:end].partition(b"\0")[0] for start, end in ((0, 100), (345, 500)))
    return prefix + b"/" + name if prefix and block[257:262] == b"ustar" and block[257:265] != b"ustar  \0" else name
