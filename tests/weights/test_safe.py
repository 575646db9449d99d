import json
import os
import pickle
import stat
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from paretodet.reading import sha256
from paretodet.weights import safe
from paretodet.weights.safe import WeightsError, load, read, save


def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


def test_round_trip_is_bit_equal(tmp_path):
    first, second = net(), net()
    save(first.state_dict(), tmp_path / "w.safetensors")
    load(second, tmp_path / "w.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_hash_follows_content(tmp_path):
    save({"a": torch.zeros(2)}, tmp_path / "a")
    save({"a": torch.ones(2)}, tmp_path / "b")
    save({"a": torch.zeros(2)}, tmp_path / "c")
    assert sha256(tmp_path / "a") == sha256(tmp_path / "c") != sha256(tmp_path / "b")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("0.bias"), "missing 0.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "unused extra"),
        (lambda s: s.update({"0.bias": torch.zeros(5)}), r"0.bias has shape \(5,\), expected \(4,\)"),
    ],
)
def test_faults_are_named(tmp_path, change, message):
    state = dict(net().state_dict())
    change(state)
    save(state, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=message):
        load(net(), tmp_path / "w.safetensors")


class Bomb:
    def __reduce__(self):
        return os.system, ("true",)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 7, pickle.dumps(Bomb()), struct.pack("<Q", 2**60) + b"{}", struct.pack("<Q", 2) + b"{}" + b"junk"],
)
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    if content.endswith(b"junk"):
        header = json.dumps({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 36]}}).encode()
        path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * 8)
    with pytest.raises(WeightsError, match=str(path)):
        read(path)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.uint16, torch.float8_e4m3fn])
def test_a_type_that_is_not_written_is_not_read(tmp_path, dtype):
    save_file({"a": torch.ones(2), "b": torch.ones(2).to(dtype)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=rf"w\.safetensors: b is strided of {str(dtype)[6:]} on cpu, allowed"):
        read(tmp_path / "w.safetensors")


def test_missing_file(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        read(tmp_path / "none.safetensors")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "w.safetensors"
    save({"a": torch.zeros(2)}, path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space"):
        save({"a": torch.ones(2)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["w.safetensors"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_that_names_the_file():
    with pytest.raises(OSError, match=r"/dev/full: not written \(No space left on device\)"):
        save({"a": torch.ones(2)}, Path("/dev/full"))


KINDS = {  # tensors of all types, of no dimension, without elements, and as views
    "a": torch.arange(6.0).view(2, 3).T, "b": torch.tensor(3), "c": torch.ones(0, 2), "d": torch.ones(3).bool(),
    "e": torch.ones(3).half(), "f": torch.ones(5, dtype=torch.bfloat16)[::2], "g": torch.ones(1, dtype=torch.uint8),
    "h": torch.ones(2).double(), "i": torch.ones(3, dtype=torch.int8), "j": torch.ones(3, dtype=torch.int16),
    "ö\n\"k": torch.ones(2, dtype=torch.int32),
}  # fmt: skip


@pytest.mark.parametrize("piece", [3, 2**20])
def test_a_file_is_that_of_the_library(tmp_path, monkeypatch, piece):
    monkeypatch.setattr(safe, "PIECE", piece)
    written = save(KINDS, tmp_path / "ours", {"key": 'täxt with "quotes"\n'})
    save_file({k: t.contiguous() for k, t in KINDS.items()}, tmp_path / "theirs", {"key": 'täxt with "quotes"\n'})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    assert written == sha256(tmp_path / "ours")


def test_types_are_converted(tmp_path):
    save({"a": torch.tensor([1.5]).double(), "b": torch.ones(2)}, tmp_path / "w", dtypes={"a": torch.float32})
    found = read(tmp_path / "w")
    assert {name: tensor.dtype for name, tensor in found.items()} == {"a": torch.float32, "b": torch.float32}
    assert found["a"].tolist() == [1.5]


@pytest.mark.parametrize("mask", [0o022, 0o027])
def test_permissions_follow_the_umask(tmp_path, mask):
    before = os.umask(mask)
    try:
        save({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "w.safetensors").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("reader", [read, safe.metadata])
def test_a_header_of_very_many_tensors_is_refused(tmp_path, reader):
    empty = {f"{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(200_000)}
    text = json.dumps(empty).encode()
    (path := tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)
    with pytest.raises(WeightsError, match=r"w\.safetensors: .*its header has 1\d,\d{3},\d{3} bytes.*weights-format"):
        reader(path)
