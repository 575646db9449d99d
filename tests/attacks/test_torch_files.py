"""Hostile torch files: each ends in one error that names the file, in little time and memory, and runs nothing."""

import _codecs
import io
import os
import pickle
import resource
import time
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch._utils import _rebuild_meta_tensor_no_storage, _rebuild_sparse_tensor, _rebuild_tensor_v2

from paretodet.importing import import_weights
from paretodet.weights.files import WeightsMetadata
from paretodet.weights.safe import WeightsError

NAME, NUMBERS = "ssd-mobilenet_v1-300", b"\0" * 16
HUGE = 2**40


class Call:
    """In a pickle: a call of `function`."""

    def __init__(self, function, *values):
        self.called = function, values

    def __reduce__(self):
        return self.called


class Storage:
    """In a pickle: the numbers of an entry of the archive."""

    def __init__(self, count, key="0", kind=torch.FloatStorage):
        self.place = "storage", kind, key, "cpu", count


class Pickler(pickle.Pickler):
    def persistent_id(self, value):
        return value.place if isinstance(value, Storage) else None


def tensor(size, stride=(1,), start=0, **storage):
    storage = {"count": 4} | storage
    return Call(_rebuild_tensor_v2, Storage(**storage), start, size, stride, False, OrderedDict())


def pickled(value):
    file = io.BytesIO()
    Pickler(file, 2).dump(value)
    return file.getvalue()


def archive(value, entries=(("data/0", NUMBERS),), top="w/"):
    content = value if isinstance(value, bytes) else pickled({"a": value})
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, data in (("data.pkl", content), ("version", b"3\n"), ("byteorder", b"little"), *entries):
            made.writestr(top + name, data)
    return file.getvalue()


def old(value):
    """The form of before torch 1.6."""
    start = torch.serialization.MAGIC_NUMBER, torch.serialization.PROTOCOL_VERSION, {}
    return b"".join(map(pickled, (*start, {"a": value}, [])))


def doubled(times):
    value = Call(_codecs.encode, "a" * 100, "latin1")
    for _ in range(times):
        value = Call(_codecs.encode, value, "hex_codec")
    return value


def laughs():
    """30 lists, each ten times the one before."""
    value = []
    for _ in range(30):
        value = [value] * 10
    return value


def one_text_many_times():
    """A text of 50,000 letters as 20,000 different bytes."""
    text = "a" * 50_000
    return [Call(_codecs.encode, text, "latin1") for _ in range(20_000)]


GLOBAL_ENCODE = b"c_codecs\nencode\n"
SCALAR = np.float64(1).__reduce__()[0]  # numpy's function that makes a number of bytes
SPARSE = torch.sparse_coo, (torch.zeros(1, 1).long(), torch.ones(1), (HUGE,), False)
FILES = {
    "a call": archive(Call(os.mkdir, "bombed")),
    "a call in a checkpoint": archive(pickled({"state_dict": {"a": Call(os.mkdir, "bombed")}})),
    "a gibibyte of zeros": archive(Call(bytearray, 2**30)),
    "a gibibyte of zeros in the old form": old(Call(bytearray, 2**30)),
    "text that each of 23 calls doubles": archive(doubled(23)),
    "text in a codec that doubles it": archive(Call(_codecs.encode, "a" * 100, "hex_codec")),
    "one text that is encoded again and again": archive(one_text_many_times()),
    "a codec that is not called": archive(b"\x80\x02" + GLOBAL_ENCODE + b"."),
    "a codec in a dictionary": archive(b"\x80\x02}X\x01\0\0\0a" + GLOBAL_ENCODE + b"s."),
    "a codec that is got back": archive(
        b"\x80\x02" + GLOBAL_ENCODE + b"q\0X\x01\0\0\0aX\x06\0\0\0latin1\x86Rh\0X\x01\0\0\0aX\x09\0\0\0hex_codec\x86R."
    ),
    "a codec in the old form": old(Call(_codecs.encode, "a" * 100, "hex_codec")),
    "a number of numpy of a tebibyte": archive(Call(SCALAR, np.dtype("f8"), HUGE)),
    "a number of numpy that is an object": archive(Call(SCALAR, np.dtype("O"), b"12345678")),
    "a number of numpy of another size": archive(Call(SCALAR, np.dtype("f8"), b"1234")),
    "lists of lists": archive(laughs()),
    "100,000 lists, one in another": archive(b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b"."),
    "a tensor larger than its numbers": archive(tensor((2**20, 2**20), (2**20, 1))),
    "a tensor whose numbers lie in one place": archive(tensor((2**20, 2**20), (0, 0))),
    "numbers that overlap": archive(tensor((4, 4), (1, 0))),
    "a negative side": archive(tensor((-1,))),
    "a negative stride": archive(tensor((4,), (-1,))),
    "a negative start": archive(tensor((4,), start=-4)),
    "a start behind the end": archive(tensor((4,), start=HUGE)),
    "a side of 2^70": archive(tensor((2**70,))),
    "more numbers than the entry": archive(tensor((HUGE,), count=HUGE)),
    "a negative number of numbers": archive(tensor((4,), count=-4)),
    "an entry that is not there": archive(tensor((4,), key="9")),
    "an entry outside of the archive": archive(tensor((4,), key="../../../../etc/passwd")),
    "a tensor without numbers": archive(
        Call(_rebuild_meta_tensor_no_storage, torch.float32, (HUGE,), (1,), False)
    ),
    "a sparse tensor": archive(Call(_rebuild_sparse_tensor, *SPARSE)),
    "complex numbers": archive(tensor((2,), kind=torch.ComplexFloatStorage, count=2)),
    "an archive without its numbers": archive(tensor((4,)), entries=()),
    "20,000 entries": archive(tensor((4,)), entries=[(f"data/{i}", b"") for i in range(1, 20_000)]),
    "the old form without an end": torch.serialization.MAGIC_NUMBER.to_bytes(10, "little"),
}  # fmt: skip


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.filterwarnings("ignore")  # torch warns of some
@pytest.mark.parametrize("kind", FILES)
def test_a_hostile_file_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.pth"
    path.write_bytes(FILES[kind])
    before, begun = peak(), time.process_time()
    with pytest.raises(WeightsError) as error:
        import_weights(path, WeightsMetadata(name=NAME), tmp_path / "o.safetensors")
    assert time.process_time() - begun < 2 and peak() - before < 500 * 2**20
    assert str(path) in str(error.value) and len(str(error.value)) < 1000
    assert os.listdir(tmp_path) == ["hostile.pth"]
