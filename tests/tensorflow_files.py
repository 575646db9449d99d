"""Writes TensorFlow's checkpoints, frozen graphs and TensorFlow.js weights, byte by byte, so that tests can break them.

tests/weights/golden/tensorflow has the same files written by TensorFlow.
"""

import json
import struct

import numpy as np
import torch

CODES = {torch.float32: 1, torch.float64: 2, torch.int32: 3, torch.int64: 9, torch.float16: 19}

SOME = {"a/weights": torch.arange(6.0).view(1, 2, 3), "b": torch.tensor(2.5), "n": torch.tensor([3], dtype=torch.int32)}


def varint(value):
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes([value])


def field(number, value):
    """A field of a message: a number, a text or bytes."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def shape(tensor):
    return b"".join(field(2, field(1, side)) for side in tensor.shape)


def raw(tensor):
    return tensor.contiguous().numpy().tobytes()


def table(entries):
    """A sorted table of (key, value), one block of data."""
    block = b"".join(varint(0) + varint(len(k)) + varint(len(v)) + k + v for k, v in entries) + struct.pack("<II", 0, 1)
    start = len(block) + 5
    empty = struct.pack("<II", 0, 1)
    handle = varint(0) + varint(len(block))
    index = varint(0) + varint(1) + varint(len(handle)) + b"\xff" + handle + struct.pack("<II", 0, 1)
    footer = varint(start) + varint(len(empty)) + varint(start + len(empty) + 5) + varint(len(index))
    trailer = b"\0" + b"\0" * 4
    magic = bytes.fromhex("57fb808b247547db")
    return block + trailer + empty + trailer + index + trailer + footer.ljust(40, b"\0") + magic


def bundle_entry(tensor, offset, shard=0):
    return (
        field(1, CODES[tensor.dtype]) + field(2, shape(tensor)) + field(3, shard) + field(4, offset)
        + field(5, len(raw(tensor)))
    )  # fmt: skip


def checkpoint(tensors, path, shards=1):
    """A V2 checkpoint; `path` is its `.index`. Tensors go to the data files in turn."""
    data, entries = [bytearray() for _ in range(shards)], [(b"", field(1, shards) + field(3, field(1, 1)))]
    for index, (name, tensor) in enumerate(sorted(tensors.items())):
        shard = index % shards
        entries.append((name.encode(), bundle_entry(tensor, len(data[shard]), shard)))
        data[shard] += raw(tensor)
    path.write_bytes(table(entries))
    for shard, content in enumerate(data):
        path.with_name(f"{path.name.removesuffix('.index')}.data-{shard:05}-of-{shards:05}").write_bytes(content)


def node(name, tensor):
    value = field(1, CODES[tensor.dtype]) + field(2, shape(tensor)) + field(4, raw(tensor))
    attribute = field(1, "value") + field(2, field(8, value))
    return field(1, field(1, name) + field(2, "Const") + field(5, attribute))


def graph(tensors, path):
    path.write_bytes(b"".join(node(name, tensor) for name, tensor in tensors.items()))


def tfjs(tensors, path, shards=1, **quantized):
    """A `model.json` with its shards; `quantized` has the quantization of a tensor, by its name."""
    weights, data = [], b""
    for name, tensor in tensors.items():
        weight = {"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
        if how := quantized.get(name):
            stored = np.round((tensor.numpy().astype("f8") - how["min"]) / how["scale"])
            stored = (tensor.numpy() if how["dtype"] == "float16" else stored).astype(how["dtype"])
            weight["quantization"] = how
        weights.append(weight)
        data += stored.tobytes() if how else raw(tensor)
    paths = [f"group1-shard{shard + 1}of{shards}.bin" for shard in range(shards)]
    size = -(-len(data) // shards)
    for shard, name in enumerate(paths):
        (path.parent / name).write_bytes(data[shard * size : (shard + 1) * size])
    path.write_text(json.dumps({"modelTopology": {}, "weightsManifest": [{"paths": paths, "weights": weights}]}))
