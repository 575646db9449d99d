"""TensorFlow.js: `model.json`, or a manifest of weights alone, with raw shards in the same folder."""

from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Annotated, Literal

import torch
from torch import Tensor

from paretodet import schema
from paretodet.errors import InputError, words
from paretodet.reading import is_file, real_path
from paretodet.schema import Count, Finite, Limits, Open
from paretodet.weights.dequantized import by_rows
from paretodet.weights.file_format import FileFormat
from paretodet.weights.safe import WeightsError
from paretodet.weights.tensorflow_tensor import by_name, from_bytes
from paretodet.weights.wire import mapped

MAX_JSON = 2**26
START = 2**12  # bytes in which a manifest is recognized
DTYPES = {
    "float32": torch.float32, "float16": torch.float16, "int32": torch.int32, "uint8": torch.uint8,
    "uint16": torch.uint16, "bool": torch.bool,
}  # fmt: skip

Pairs = Iterator[tuple[str, Tensor]]


class TfjsQuantization(Open, frozen=True):
    """A stored number q stands for q * scale + min."""

    dtype: Literal["uint8", "uint16", "float16"]
    scale: Finite = 1.0
    min: Finite = 0.0


class TfjsWeight(Open, frozen=True):
    name: str
    shape: Annotated[list[Count], Limits(max_length=64)]
    dtype: Literal["float32", "int32", "uint8", "bool"]
    quantization: TfjsQuantization | None = None


class TfjsGroup(Open, frozen=True):
    """Weights that are stored one after another in files that are stored one after another."""

    paths: list[str]
    weights: list[TfjsWeight]


class TfjsModel(Open, frozen=True):
    """A `model.json`; its graph is not read."""

    weightsManifest: list[TfjsGroup]


def _matches(path: Path) -> bool:
    """A JSON object with `weightsManifest`, or a list of objects with `paths` and `weights`."""
    with path.open("rb") as file:
        start = file.read(START).lstrip()
    if not start.startswith((b"{", b"[")) or path.stat().st_size > MAX_JSON:
        return False
    text = path.read_bytes()
    return b'"weightsManifest"' in text if start.startswith(b"{") else b'"paths"' in text and b'"weights"' in text


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a manifest, dequantized as TensorFlow.js does.

    Raises WeightsError for JSON of another form, and shards that are missing, of another size or outside the folder.
    """
    try:
        groups = _groups(path)
        files = [_shard(path, name) for group in groups for name in group.paths]
        if len(set(files)) < len(files):
            raise InputError("a shard is listed twice", "weights-format")
        return by_name(pair for group in groups for pair in _tensors(group, path))
    except WeightsError:
        raise
    except InputError as error:
        raise WeightsError(f"{path}: not readable weights of TensorFlow.js: {words(error)}", "weights-format") from None


def _groups(path: Path) -> list[TfjsGroup]:
    with path.open("rb") as file:
        is_list = file.read(START).lstrip().startswith(b"[")
    return schema.read(path, list[TfjsGroup]) if is_list else schema.read(path, TfjsModel).weightsManifest


def _shard(manifest: Path, name: str) -> Path:
    """The file of a shard. Raises WeightsError if it is missing, or outside of the manifest's folder."""
    found, folder = real_path(manifest.parent / name), real_path(manifest.parent)
    if not found.is_relative_to(folder):
        raise WeightsError(f"{manifest}: shard {name!r} is outside of its folder", "weights-format")
    if not is_file(found):
        raise WeightsError(f"{found}: no such file; {manifest.name} lists it", "file-missing")
    return found


def _tensors(group: TfjsGroup, manifest: Path) -> Pairs:
    data, place = _joined([_shard(manifest, name) for name in group.paths]), 0
    for weight in group.weights:
        stored = DTYPES[weight.quantization.dtype if weight.quantization else weight.dtype]
        end = place + prod(weight.shape) * stored.itemsize
        if end > len(data):
            raise InputError(f"{weight.name} ends at byte {end} of {len(data)}", "weights-format")
        yield weight.name, _dequantized(from_bytes(data[place:end], stored, tuple(weight.shape)), weight)
        place = end
    if place != len(data):
        raise InputError(f"its shards have {len(data) - place} bytes too many", "weights-format")


def _joined(shards: Sequence[Path]) -> memoryview:
    """The content of the shards, one after another. A single one is not copied."""
    if len(shards) == 1:
        return mapped(shards[0])
    sizes = [shard.stat().st_size for shard in shards]
    whole, place = memoryview(bytearray(sum(sizes))), 0
    for shard, size in zip(shards, sizes, strict=True):
        with shard.open("rb") as file:
            file.readinto(whole[place : place + size])
        place += size
    return whole


def _dequantized(stored: Tensor, weight: TfjsWeight) -> Tensor:
    """q * scale + min in double precision, rounded as JavaScript stores it."""
    how, dtype = weight.quantization, DTYPES[weight.dtype]
    if how is None or how.dtype == "float16":
        return stored.to(dtype)
    if dtype.is_floating_point:
        flat = stored.flatten()
        return by_rows(flat, lambda rows: flat[rows].double() * how.scale + how.min).view(stored.shape)
    return (stored.double() * how.scale + how.min).add(0.5).floor().to(dtype)


FORMAT = FileFormat(name="tfjs", title="TensorFlow.js (model.json, manifest)", matches=_matches, read=read)
