"""Read and write safetensors files, which contain no code."""

import hashlib
import json
import struct
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from paretodet.errors import FileError, InputError
from paretodet.reading import PIECE
from paretodet.writing import written

DTYPES = {  # in the order in which the library lays them out
    torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.int32: "I32", torch.bfloat16: "BF16",
    torch.float16: "F16", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
ALIGNMENT = 8  # bytes
MAX_HEADER = 2**23  # bytes: about 100 for each tensor
COPIES, SMALL = 4, 2**24  # a tensor may be in a file by several names; bytes that are no burden


class WeightsError(InputError):
    """A weights file that cannot be used: its path, the tensor or field, and what is allowed."""


def read(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file. Raises WeightsError if it cannot be read as one."""
    if not path.is_file():
        raise WeightsError(f"{path}: no such file", "file-missing")
    _check_header(path)
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})", "weights-format") from error
    check_plain(found, path)
    return found


def check_plain(found: Mapping[str, Tensor], path: Path) -> None:
    """Raises WeightsError for a tensor that is not an array of one of `DTYPES` with a place for each number.

    A torch file can have sparse, quantized and nested tensors, tensors without numbers (on the device `meta`), very
    large ones all of whose numbers lie in one place, and very many that share their numbers.
    """
    for name, tensor in found.items():
        if tensor.is_nested or tensor.layout != torch.strided or tensor.is_meta or tensor.dtype not in DTYPES:
            form = "nested" if tensor.is_nested else f"{tensor.layout} of {tensor.dtype} on {tensor.device}"
            allowed = ", ".join(map(str, DTYPES))
            message = f"{name} is {form}, allowed are dense tensors of {allowed}; convert it"
            raise WeightsError(f"{path}: {message.replace('torch.', '')}", "weights-format")
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            message = f"{name} has {tensor.numel():,} numbers, of which the file holds fewer; save a copy of the tensor"
            raise WeightsError(f"{path}: {message}", "weights-format")
    _check_shared(found, path)


def _check_shared(found: Mapping[str, Tensor], path: Path) -> None:
    storages = [tensor.untyped_storage() for tensor in found.values()]
    stored = sum({each.data_ptr(): each.nbytes() for each in storages}.values())
    if (size := sum(tensor.nbytes for tensor in found.values())) > COPIES * stored + SMALL:
        message = f"its tensors have {size:,} bytes, of which the file holds {stored:,}; save copies of the tensors"
        raise WeightsError(f"{path}: {message}", "weights-format")


def metadata(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file. Raises WeightsError if it cannot be read as one."""
    _check_header(path)
    try:
        with safe_open(path, "pt") as file:
            return dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file ({error})", "weights-format") from error


def _check_header(path: Path) -> None:
    """Raises WeightsError for a list of more tensors than any network has, which takes long to read."""
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
    except OSError:  # the library says why
        return
    if MAX_HEADER < size <= path.stat().st_size:
        message = f"its header has {size:,} bytes, allowed {MAX_HEADER:,}"
        raise WeightsError(f"{path}: not a readable safetensors file ({message})", "weights-format")


def load(module: nn.Module, path: Path) -> None:
    """Load `path` into `module`. Raises WeightsError naming missing, unused or wrongly shaped tensors."""
    load_tensors(module, read(path), path)


def load_tensors(module: nn.Module, found: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors that were read from `path` into `module`. Raises WeightsError as `load`."""
    check_complete(module, found, path)
    module.load_state_dict(dict(found))


def check_complete(module: nn.Module, found: Mapping[str, Tensor], path: Path) -> None:
    """Raises WeightsError, as `load`, unless the tensors are the state of `module`."""
    wanted = module.state_dict()
    faults = [f"missing {name}" for name in wanted.keys() - found.keys()]
    faults += [f"unused {name}" for name in found.keys() - wanted.keys()]
    faults += [
        f"{name} has shape {tuple(found[name].shape)}, expected {tuple(wanted[name].shape)}"
        for name in wanted.keys() & found.keys()
        if found[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise WeightsError(f"{path}: {'; '.join(sorted(faults)[:5])}{more}", "weights-shape")


def save(
    tensors: Mapping[str, Tensor],
    path: Path,
    metadata: Mapping[str, str] | None = None,
    *,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> str:
    """Write a safetensors file, completely or not at all, and return its SHA-256. Raises OSError.

    Tensors are converted to `dtypes`, by name, and laid out one by one as they are written: views of a mapped file
    take no memory of their own.
    """
    kinds = {name: (dtypes or {}).get(name, tensor.dtype) for name, tensor in tensors.items()}
    order = sorted(tensors, key=lambda name: (list(DTYPES).index(kinds[name]), name))
    header = _header({name: (kinds[name], tensors[name].shape) for name in order}, metadata or {})
    digest = hashlib.sha256()
    try:
        with written(path) as temporary, temporary.open("wb") as file, ThreadPoolExecutor(1) as other:
            for data in chain([memoryview(header)], (_bytes(tensors[name], kinds[name]) for name in order)):
                for start in range(0, len(data), PIECE):
                    piece = data[start : start + PIECE]  # few enough for the cache
                    hashed = other.submit(digest.update, piece)  # beside writing
                    file.write(piece)
                    hashed.result()
    except OSError as error:
        raise FileError(f"{path}: not written ({error.strerror or error})", "output-unwritable") from error
    return digest.hexdigest()


def _header(forms: Mapping[str, tuple[torch.dtype, torch.Size]], metadata: Mapping[str, str]) -> bytes:
    """The length of a JSON text, and the text: where each tensor lies behind it. Padded, so that they are aligned."""
    listed: dict[str, Any] = {"__metadata__": dict(metadata)}
    start = 0
    for name, (dtype, shape) in forms.items():
        end = start + shape.numel() * dtype.itemsize
        listed[name] = {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(listed, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // ALIGNMENT) * ALIGNMENT)
    return struct.pack("<Q", len(text)) + text


def _bytes(tensor: Tensor, dtype: torch.dtype) -> memoryview:
    """Its numbers in order. Without sides of 1, a transposed 1x1 kernel is a matrix, which torch copies in blocks, in a
    fifth of the time.
    """
    return tensor.detach().squeeze().to("cpu", dtype).contiguous().view(-1).view(torch.uint8).numpy().data
