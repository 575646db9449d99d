"""Which code a file of torch needs, seen in the names of its parts and of its pickle's opcodes: nothing is unpickled.

A program of TorchScript has a folder `code`. A checkpoint that holds objects, such as the whole model of Ultralytics,
names the modules of their classes, which must be imported and run to open it.
"""

import io
import pickletools
import re
import shlex
import struct
import zipfile
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from paretodet.weights.safe import WeightsError

PROGRAM = (re.compile(r"[^/]+/constants\.pkl"), re.compile(r"[^/]+/code/.+"))
PICKLE = re.compile(r"[^/]+/data\.pkl")
PROTOCOL = b"\x80"  # the first byte of a pickle
MAX_BYTES, MAX_OPCODES = 2**24, 10**6  # that are looked at
PICKLES = 4  # one behind the other in a file of before torch 1.6, of which the last holds the objects
DATA = frozenset(  # packages of tensors and plain data
    ("torch", "collections", "argparse", "_codecs", "builtins", "__builtin__", "copyreg", "copy_reg", "numpy")
)
LAYERS = "torch.nn.modules"  # a model, though its code is at hand
NO_ARCHIVE = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError, OSError)
NO_PICKLE = (ValueError, LookupError, OverflowError, struct.error)
EXPORTS = {  # by package: how its users export
    "ultralytics": "by `yolo export model={} format=onnx`",
    "models": "with export.py of the repository that trained it (YOLOv5, YOLOv7)",
}


def is_program(path: Path) -> bool:
    """Whether a file is a program of TorchScript."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except NO_ARCHIVE:
        return False
    return all(any(map(part.fullmatch, names)) for part in PROGRAM)


def refuse_code(path: Path) -> None:
    """Raises WeightsError for a program, and for a checkpoint that needs code, with the way to export it."""
    if is_program(path):
        why = "is a program of TorchScript, and no file of weights: give it as the NAME, with --trust"
        raise WeightsError(f"{path}: {why}", "weights-format")
    module = next((name for name in _modules(_pickled(path)) if not _is_data(name)), None)
    if module is None:
        return
    way = EXPORTS.get(module.partition(".")[0], "with the code that made it").format(shlex.quote(str(path)))
    what = f"not a torch file of tensors only, but a checkpoint with code of {module:.80}"
    raise WeightsError(f"{path}: {what}; export it to ONNX {way}", "weights-format")


def _is_data(module: str) -> bool:
    return module.partition(".")[0] in DATA and not module.startswith(LAYERS)


def _pickled(path: Path) -> bytes:
    """The start of the pickle in a file, or of a file that is one; empty for another."""
    try:
        with zipfile.ZipFile(path) as archive:
            name = next(filter(PICKLE.fullmatch, archive.namelist()), None)
            if name is None:
                return b""
            with archive.open(name) as file:
                return file.read(MAX_BYTES)
    except NO_ARCHIVE:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES)
        return content if content.startswith(PROTOCOL) else b""


def _modules(content: bytes) -> Iterator[str]:
    """The modules that pickles name, in order, as far as they can be read."""
    stream, texts = io.BytesIO(content), list[str]()
    try:
        for _ in range(PICKLES):
            for opcode, argument, _ in islice(pickletools.genops(stream), MAX_OPCODES):
                if opcode.name == "GLOBAL":
                    yield str(argument).partition(" ")[0]
                elif opcode.name == "STACK_GLOBAL" and len(texts) > 1:
                    yield texts[-2]
                if isinstance(argument, str):
                    texts.append(argument)
                elif opcode.name != "MEMOIZE":
                    texts.clear()
    except NO_PICKLE:
        return
