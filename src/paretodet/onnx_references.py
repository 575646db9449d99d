"""What an ONNX file refers to, read from its bytes before any library opens it: files of weights, operator domains.

The file is a protocol buffer. Only its structure is walked; weights inside of it are skipped, so a large file takes
as long as a small one.
"""

import hashlib
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from paretodet.errors import InputError
from paretodet.reading import sha256

DOMAINS = frozenset(("", "ai.onnx", "ai.onnx.ml", "com.microsoft"))  # whose operators ONNX Runtime has built in
VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # wire types
MAX_VARINT = 10  # bytes

# The messages of onnx.proto that can hold a reference: field number -> the message in that field.
MESSAGES = {
    "model": {7: "graph", 8: "opset", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 9: "opset"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
DOMAIN_FIELDS = {"opset": 1, "node": 7}
FUNCTION_DOMAIN, KEY, VALUE = 10, 1, 2

BESIDE = {  # what is read beside a file: names of its classes, how images are fitted and scaled
    ".onnx": ("config.json", "pipeline.json", "preprocessor_config.json"),
    ".xml": ("metadata.yaml",),
    ".tflite": ("labelmap.txt",),
    ".json": ("preprocessor_config.json",),
}

Fields = Iterator[tuple[int, memoryview]]


class FileReferences(NamedTuple):
    """`files` are relative to the folder of the ONNX file; `domains` are those of operators that it does not define."""

    files: frozenset[str]
    domains: frozenset[str]


def references(path: Path) -> FileReferences:
    """The files with weights that an ONNX file names, and its operator domains.

    Raises OSError, or InputError if the bytes are not those of a protocol buffer.
    """
    with path.open("rb") as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)  # closed with the last view of it
    files, domains, defined = set[str](), set[str](), set[str]()
    waiting = [("model", memoryview(content))]
    while waiting:
        kind, message = waiting.pop()
        if kind == "entry":
            files |= set(_location(message))
            continue
        inner = MESSAGES.get(kind, {})
        for number, value in _fields(message):
            if number in inner:
                waiting.append((inner[number], value))
            elif number == DOMAIN_FIELDS.get(kind):
                domains.add(_text(value))
            elif kind == "function" and number == FUNCTION_DOMAIN:
                defined.add(_text(value))
    return FileReferences(frozenset(files), frozenset(domains - defined))


def model_hash(path: Path) -> str:
    """The SHA-256 of a detector file, or, if others decide its results too, of its SHA-256 and theirs, by name.

    Those are the files with the weights of an ONNX file, the .bin of a model of OpenVINO (.xml), and what is read
    BESIDE a file if it is there. A file of another kind has its own SHA-256. Raises OSError, or InputError if a
    file with weights is missing.
    """
    stated = [name for name in BESIDE.get(path.suffix, ()) if (path.parent / name).is_file()]
    if not (names := [*_weights(path), *stated]):
        return sha256(path)
    digest = hashlib.sha256(f"model {sha256(path)}\n".encode())
    for name in names:
        if not (file := path.parent / name).is_file():
            raise InputError(f"{path}: needs the file {name!r} beside it, which has weights", "file-missing")
        digest.update(f"{name!r} {sha256(file)}\n".encode())
    return digest.hexdigest()


def _weights(path: Path) -> list[str]:
    """The names of the files with the weights of a model, in the order of their names."""
    if path.suffix == ".xml":
        return [path.with_suffix(".bin").name]
    try:
        return sorted(references(path).files) if path.suffix == ".onnx" else []
    except (InputError, ValueError):  # an empty file cannot be mapped
        return []


def _location(entry: memoryview) -> Iterator[str]:
    """The file of an entry of `external_data`; the other entries are its offset, length and checksum."""
    texts = {number: _text(value) for number, value in _fields(entry)}
    if texts.get(KEY) == "location":
        yield texts.get(VALUE, "")


def _fields(message: memoryview) -> Fields:
    """The fields of a message that hold bytes: messages, texts and packed numbers."""
    place = 0
    while place < len(message):
        tag, place = _varint(message, place)
        wire = tag & 7
        if wire == VARINT:
            _, place = _varint(message, place)
        elif wire == BYTES:
            length, place = _varint(message, place)
            yield tag >> 3, message[place : place + length]
            place += length
        elif wire in (EIGHT_BYTES, FOUR_BYTES):
            place += 8 if wire == EIGHT_BYTES else 4
        else:
            raise InputError("it is no ONNX file", "bundle-altered")
        if place > len(message):
            raise InputError("it is truncated", "bundle-altered")


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, and the place after it."""
    number = 0
    for index in range(MAX_VARINT):
        if place >= len(message):
            raise InputError("it is truncated", "bundle-altered")
        byte = message[place]
        place += 1
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, place
    raise InputError("it is no ONNX file", "bundle-altered")


def _text(value: memoryview) -> str:
    return bytes(value).decode("utf-8", "replace")
