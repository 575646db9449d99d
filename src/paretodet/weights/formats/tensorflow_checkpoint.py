"""TensorFlow's checkpoints: `.index` with `.data-…` beside it, and the older form that is one file (V1).

The graph that a program of TensorFlow 1 writes beside a checkpoint (`.meta`) has constants of the detector, as the
shapes of its anchors. They are added to the tensors.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from paretodet.errors import InputError, words
from paretodet.reading import is_file
from paretodet.weights import sstable
from paretodet.weights.file_format import FileFormat, ItemTensors
from paretodet.weights.formats import tensorflow_graph
from paretodet.weights.safe import WeightsError
from paretodet.weights.tensorflow_tensor import AVERAGE, DTYPES, by_name, from_bytes, read_shape, read_values
from paretodet.weights.wire import WireReader, content, integer, mapped, text

META_GRAPH = 2  # the graph's field in a MetaGraphDef
MAX_SHARDS = 1000

Tables = Iterator[sstable.TableEntry]
Pairs = Iterator[tuple[str, Tensor]]


def _matches(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - sstable.FOOTER))
        return sstable.is_table(file.read())


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint, and the constants of the graph beside it, by name.

    Moving averages of variables are the item of a checkpoint that has them.
    Raises WeightsError for a damaged file, a missing `.data-…`, and variables that are stored in slices.
    """
    reader = WireReader()
    try:
        table = sstable.entries(mapped(path))
        first = next(table, None)
        if first is None or first.key:
            raise InputError("no header", "weights-format")
        shards = reader.last(first.value).get(1)  # in a header of the older form this field is a message
        tensors = (
            _bundled(reader, table, path, shards)
            if isinstance(shards, int)
            else _single_file(reader, table, first.value)
        )
        found = _graph_beside(reader, path) | by_name(tensors)
        return ItemTensors(found, AVERAGE) if any(name.endswith(f"/{AVERAGE}") for name in found) else found
    except WeightsError:
        raise
    except InputError as error:
        raise WeightsError(f"{path}: not a readable TensorFlow checkpoint: {words(error)}", "weights-format") from None
    except OSError as error:
        raise WeightsError(f"{error.filename or path}: {error.strerror or error}", "file-missing") from None


def _bundled(reader: WireReader, table: Tables, path: Path, shards: int) -> Pairs:
    """The tensors of a `.index`: BundleEntryProto for each, values in the `.data-…` files of the same folder."""
    if not 1 <= shards <= MAX_SHARDS:
        raise InputError(f"{shards} data files", "weights-format")
    stem = path.name.removesuffix(".index")
    data = [_data(path.with_name(f"{stem}.data-{shard:05}-of-{shards:05}")) for shard in range(shards)]
    left = sum(map(len, data))
    for key, value in table:
        name, entry = _name(key), reader.last(value)
        dtype = DTYPES.get(integer(entry.get(1)))
        if dtype is None:
            continue
        if 7 in entry:
            raise InputError(f"{name} is stored in slices; save it whole", "weights-format")
        shard, offset, size = (integer(entry.get(field)) for field in (3, 4, 5))
        left -= size
        if not 0 <= shard < shards or offset < 0 or size < 0 or offset + size > len(data[shard]) or left < 0:
            raise InputError(f"{name} is at {size} bytes from {offset} of data file {shard}", "weights-format")
        yield name, from_bytes(data[shard][offset : offset + size], dtype, read_shape(reader, content(entry.get(2))))


def _data(path: Path) -> memoryview:
    if not is_file(path):
        raise WeightsError(f"{path}: no such file; it holds the values of the checkpoint's index", "file-missing")
    return mapped(path)


def _single_file(reader: WireReader, table: Tables, header: memoryview) -> Pairs:
    """The tensors of a V1 checkpoint: SavedTensorSlices, of which the first lists all names, shapes and types."""
    forms = {
        text(fields.get(1)): (DTYPES.get(integer(fields.get(3))), content(fields.get(2)))
        for listed in reader.messages(header, 1)
        for meta in reader.messages(listed, 1)
        for fields in [reader.last(meta)]
    }
    for _, value in table:
        for saved in reader.messages(value, 2):
            fields = reader.last(saved)
            name = text(fields.get(1))
            dtype, shape = forms.get(name, (None, memoryview(b"")))
            if any(len(extent) for extent in reader.messages(content(fields.get(2)), 1)):
                raise InputError(f"{name} is stored in slices; save it whole", "weights-format")
            if dtype is not None:
                data = content(fields.get(3))
                yield name, read_values(reader, data, name, dtype=dtype, shape=read_shape(reader, shape))


def _graph_beside(reader: WireReader, path: Path) -> dict[str, Tensor]:
    """The constants of `PREFIX.meta`, if there is one."""
    meta = path.with_name(f"{path.name.removesuffix('.index')}.meta")
    if not is_file(meta):
        return {}
    graphs = reader.messages(mapped(meta), META_GRAPH)
    return by_name(pair for graph in graphs for pair in tensorflow_graph.constants(reader, graph))


def _name(key: bytes) -> str:
    return text(memoryview(key))


FORMAT = FileFormat(name="tensorflow", title="a TensorFlow checkpoint (.index, .ckpt)", matches=_matches, read=read)
