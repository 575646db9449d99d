"""Darknet's `.weights` files: a header, then float32 values one after another, without their shapes.

The reader has to supply every shape. Sizes are compared with that of the file before memory is allocated for them.
"""

import math
import os
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from torch import Tensor

from paretodet.errors import ErrorId, InputError
from paretodet.reading import memory_map
from paretodet.writing import written

WIDE, NARROW = "<iiiQ", "<iiii"  # 20 and 16 bytes


class DarknetFileError(InputError):
    """A weights file that cannot be used: truncated, too long, or no such file."""

    def __init__(self, message: str, id: ErrorId = "weights-size") -> None:
        super().__init__(message, id)


class Header(NamedTuple):
    """Darknet's version and the images seen in training, 64 bits wide from version 0.2 on and 32 before."""

    major: int = 0
    minor: int = 2
    revision: int = 5
    seen: int = 0

    @property
    def form(self) -> str:
        """How it lies in the file, in `struct`'s letters."""
        wide = self.major * 10 + self.minor >= 2 and self.major < 1000 and self.minor < 1000
        return WIDE if wide else NARROW


class DarknetFile:
    """An open `.weights` file: take tensors in the order of the cfg, then `close_checked`.

    Also a context manager, which closes without checking that everything was taken.
    """

    def __init__(self, path: Path, file: BinaryIO, header: Header, total: int):
        self.path, self.header, self.total, self.remaining = path, header, total, total
        self._file = file
        self._values = np.frombuffer(memory_map(file), np.uint8, offset=struct.calcsize(header.form)).view("<f4")

    @classmethod
    def open(cls, path: Path) -> "DarknetFile":
        """Raises DarknetFileError where this is no file, shorter than a header, or ends within a float."""
        if not path.is_file():
            raise DarknetFileError(f"{path}: no such file", "file-missing")
        file = path.open("rb")
        try:
            header = _header(path, file)
            size = os.fstat(file.fileno()).st_size - struct.calcsize(header.form)
            if size % 4:
                raise DarknetFileError(f"{path}: {size} bytes after the header are not a whole number of 4-byte floats")
        except BaseException:
            file.close()
            raise
        return cls(path, file, header, size // 4)

    def expect(self, count: int) -> None:
        """Raises DarknetFileError, before anything is read, unless exactly `count` floats are left."""
        if self.remaining != count:
            fault = "truncated" if self.remaining < count else "too long"
            raise DarknetFileError(f"{self.path}: {fault}, expected {count} floats, found {self.remaining}")

    def take(self, shape: Sequence[int], what: str = "a tensor") -> Tensor:
        """The next values as float32 of `shape`, read by the system where they are used.

        Raises DarknetFileError where fewer are left.
        """
        count = math.prod(shape)
        if min(shape, default=0) < 0:
            raise DarknetFileError(f"{self.path}: {what} has the negative shape {tuple(shape)}")
        if count > self.remaining:
            place = f"{what} {tuple(shape)} after the first {self.total - self.remaining}"
            found = f"expected {count} floats for {place}, found {self.remaining}"
            raise DarknetFileError(f"{self.path}: truncated, {found}")
        values = self._values[self.total - self.remaining :][:count].astype(np.float32, copy=False)
        self.remaining -= count
        return torch.from_numpy(values).view(tuple(shape))

    def close_checked(self) -> None:
        """Close. Raises DarknetFileError where floats are left over."""
        self.close()
        if self.remaining:
            expected = self.total - self.remaining
            raise DarknetFileError(f"{self.path}: too long, expected {expected} floats, found {self.total}")

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> "DarknetFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def write(path: Path, header: Header, tensors: Iterable[Tensor]) -> None:
    """Header and values, float32 little-endian; the file is there whole or not at all."""
    with written(path) as temporary, temporary.open("wb") as file:
        file.write(struct.pack(header.form, *header))
        for tensor in tensors:
            file.write(tensor.detach().cpu().float().contiguous().numpy().astype("<f4", copy=False).tobytes())


def _header(path: Path, file: BinaryIO) -> Header:
    start = file.read(struct.calcsize(WIDE))
    for form in (WIDE, NARROW):
        if len(start) >= struct.calcsize(form):
            header = Header(*struct.unpack_from(form, start))
            if header.form == form:
                return header
    raise DarknetFileError(f"{path}: truncated, a header of 16 or 20 bytes expected, found {len(start)} bytes")
