"""What a LiteRT file refers to, read from its bytes before any library opens it: files of weights, custom operators.

The file is a FlatBuffer with the tables of `schema.fbs` of LiteRT.
"""

import mmap
import struct
from pathlib import Path
from typing import NamedTuple

from paretodet.errors import InputError
from paretodet.flatbuffer import FlatTable

IDENTIFIER = b"TFL3"
OPERATORS, GROUPS = 1, 8  # fields of the table Model: operator codes, and groups of buffers in other files
CUSTOM, NAME = 1, 0  # fields of OperatorCode and of ExternalBufferGroup, both texts


class TfliteReferences(NamedTuple):
    """`files` are as the file names them; `operators` are those that it expects the program to bring."""

    files: frozenset[str]
    operators: frozenset[str]


def references(path: Path) -> TfliteReferences:
    """The files with weights that a LiteRT file names, and its custom operators.

    Raises OSError, or InputError if the bytes are not those of a LiteRT file.
    """
    with path.open("rb") as file:
        try:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            if content[4:8] == IDENTIFIER:
                model = FlatTable.root(content)
                return TfliteReferences(_texts(model, GROUPS, NAME), _texts(model, OPERATORS, CUSTOM))
        except (struct.error, ValueError):  # no text, or mmap of an empty file
            pass
    raise InputError("it is not a LiteRT file", "bundle-altered")


def _texts(model: FlatTable, tables: int, text: int) -> frozenset[str]:
    return frozenset(table.text(text) for table in model.tables(tables)) - {""}
