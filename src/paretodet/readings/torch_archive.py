"""What a program of torch in a file (TorchScript, or of torch.export) states of itself. Nothing in it is executed.

Source: `torch.jit.save` and `torch.export.save`, whose extra files lie in the folder `extra`; Ultralytics writes JSON
into `config.txt`.
"""

import json
import re
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from paretodet.errors import InputError
from paretodet.readings.onnx_graph import OnnxGraph

STATED = re.compile(r"[^/]+/extra/config\.txt")
MAX_BYTES = 2**20  # of what is stated


def read_graph(path: Path) -> OnnxGraph:
    """The metadata of an archive, and no nodes: the numbers alone tell what outputs mean.

    Raises InputError naming the file if it is no archive or its metadata are no JSON object, OSError if it cannot be
    read.
    """
    try:
        with ZipFile(path) as archive:
            sizes = {info.filename: info.file_size for info in archive.infolist() if STATED.fullmatch(info.filename)}
            content = [archive.read(name) for name, size in sizes.items() if size <= MAX_BYTES]
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise InputError(f"{path}: not an archive of torch ({error})", "graph-failed") from None
    try:
        stated = json.loads(content[0]) if content and content[0].strip() else {}
    except (ValueError, RecursionError):
        stated = None
    if not isinstance(stated, dict):
        raise InputError(f"{path}: its extra/config.txt is not a JSON object", "onnx-layout")
    metadata = {str(key): str(value) for key, value in stated.items()}
    return OnnxGraph(metadata=metadata, producer="torch", nodes=(), constants={})
