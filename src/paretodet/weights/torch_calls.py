"""The calls in pickles of torch that make much of few bytes, found before torch reads a file.

torch allows `bytearray`, which no checkpoint needs, and `encode`, as which pickles of its protocol write bytes, for
example those of numpy's numbers: encode(text, "latin1"). With other codecs it makes texts larger, again and again.
"""

import mmap
import pickletools
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from paretodet.errors import InputError

BYTEARRAY, ENCODE = b"\nbytearray\n", b"_codecs\nencode\n"
LEGACY_PICKLES = 5  # of a file before torch 1.6: a number, a version, facts of the system, the content, its keys
PUTS, GETS = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")
CODEC = object()  # stands for the function `encode`


def check_calls(content: bytes | mmap.mmap) -> None:
    """Raises InputError for calls that can fill the memory, in the pickle of an archive or in a mapped older file."""
    if content.find(BYTEARRAY) >= 0:
        raise InputError("it calls bytearray, which can fill the memory", "weights-format")
    if content.find(ENCODE) >= 0 and not _encodes_only_bytes(content):
        raise InputError("it calls encode otherwise than for bytes, which can fill the memory", "weights-format")


def _encodes_only_bytes(content: bytes | mmap.mmap) -> bool:
    """Whether each call of `encode` is of a text and "latin1", and all of them make no more bytes than the file has."""
    memo: dict[int, Any] = {}
    top: Any = None
    step, left = 0, len(content)
    try:
        for code, value in _opcodes(content):
            if code in PUTS:
                memo[value] = top
                continue
            top = _top(code, value, memo)
            if step and not _fits(step, code, top):
                return False
            left -= len(top) if step == 1 else 0
            step = (step + 1) % 5 if step else int(top is CODEC)
    except ValueError:  # of a damaged pickle
        return False
    return left >= 0


def _fits(step: int, code: str, top: Any) -> bool:
    """Whether an opcode is that of a call of `encode`: behind the function a text, "latin1", their pair, the call."""
    return (isinstance(top, str), top == "latin1", code == "TUPLE2", code == "REDUCE")[step - 1]


def _top(code: str, value: Any, memo: Mapping[int, Any]) -> Any:
    """What an opcode leaves on top of the stack, if that is a text or `encode`; None for anything else."""
    if code == "BINUNICODE":
        return value
    if code in GETS:
        return memo.get(value)
    return CODEC if (code, value) == ("GLOBAL", "_codecs encode") else None


def _opcodes(content: bytes | mmap.mmap) -> Iterator[tuple[str, Any]]:
    """Raises ValueError for a damaged pickle."""
    pickles = 1 if isinstance(content, bytes) else LEGACY_PICKLES  # genops goes on in a mapped file where it ended
    every = chain.from_iterable(pickletools.genops(content) for _ in range(pickles))  # type: ignore[arg-type]
    return ((opcode.name, value) for opcode, value, _ in every)
