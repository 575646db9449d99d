"""Pickles of arrays are read without pickle; whatever else a file holds is refused, fast and without memory."""

import collections
import os
import pickle
import struct
import time
import tracemalloc

import numpy as np
import pytest
import python2_pickles as python2
from hypothesis import strategies as st

from fuzzing import LONG_S, SHORT_S, damaged, fuzz
from paretodet.weights import pickled
from paretodet.weights.formats import detectron, torch_file
from paretodet.weights.safe import WeightsError

VALUES = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
WHOLE = python2.detectron({"conv1_w": VALUES, "conv1_b": VALUES[0, 0], "lr": np.float32(0.5).reshape(())}, cfg="A: 1\n")


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bombed",)


class Listed(list):
    pass


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pkl"


def written(path, content):
    path.write_bytes(content)
    return path


def test_python_2s_pickle_is_read(path):
    found = pickled.read(written(path, WHOLE))
    assert set(found) == {"blobs", "cfg"} and bytes(found["cfg"]) == b"A: 1\n"
    blobs = detectron.read(path)
    assert {name: tuple(values.shape) for name, values in blobs.items()} == {
        "conv1_w": (2, 3, 4), "conv1_b": (4,), "lr": (),
    }  # fmt: skip
    assert blobs["conv1_w"].tolist() == VALUES.tolist()
    assert blobs["lr"].item() == 0.5


ARRAYS = (
    VALUES,
    VALUES.astype(">f8"),
    np.asfortranarray(VALUES),
    np.zeros((0, 3), "f2"),
    np.array([True, False]),
    np.arange(3),
)


@pytest.mark.parametrize("protocol", pickled.PROTOCOLS)
@pytest.mark.parametrize("values", ARRAYS, ids=lambda v: f"{v.dtype.str}{v.shape}")
def test_python_3s_pickles_are_read(path, protocol, values):
    content = {"model": {"a": values, "b": values.copy()}, "__author__": "Caffe2", "matching_heuristics": True}
    content |= {"i": -5, "long": 1 << 40, "f": 1.5, "none": None, "s": np.float32(2)}
    content |= {"list": [1, "é", (), (1, 2), b"x" * 300]}
    content["ordered"] = collections.OrderedDict(a=1)
    found = pickled.read(written(path, pickle.dumps(content, protocol)))
    assert {key: found[key] for key in ("i", "long", "f", "none", "ordered")} == {
        "i": -5, "long": 1 << 40, "f": 1.5, "none": None, "ordered": {"a": 1},
    }  # fmt: skip
    assert found["list"][:4] == [1, "é", (), (1, 2)] and bytes(found["list"][4]) == b"x" * 300
    assert pickled.array(found["s"]) is None and found["s"] == 2
    for name, array in detectron.read(path).items():
        assert array.tolist() == values.tolist(), name
        assert array.numpy().dtype == values.dtype.newbyteorder("=")


def test_an_old_file_has_its_blobs_at_the_top(path):
    assert set(detectron.read(written(path, python2.pickled(python2.dictionary({"a": python2.array(VALUES)}))))) == {
        "a"
    }


def test_pickles_are_known_by_their_first_bytes(path):
    assert detectron.FORMAT.matches(written(path, WHOLE))
    for content in (b"", b"\x80", b"(dp0\n.", b"PK\x03\x04", torch_file.LEGACY):
        assert not detectron.FORMAT.matches(written(path, content)), content


def billion_laughs():
    lists = b"]q\x00" + b"".join(b"]q" + bytes([i + 1]) + b"(" + (b"h" + bytes([i])) * 10 + b"e" for i in range(30))
    return b"\x80\x02" + lists + b"."


def many_copies():
    """One string of a megabyte as the data of many arrays of the other byte order, each of which would be a copy."""
    kind = python2.TYPE.replace(b"U\x01<", b"U\x01>") % b"f4"
    built = python2.EMPTY + b"(K\x01" + python2.whole(1 << 18) + b"\x85" + kind + b"\x89h\x00tb"
    return b"\x80\x02" + python2.string(bytes(1 << 20)) + b"q\x00" + built * 2000 + b"."


def encoded_again():
    text = b"X" + struct.pack("<I", 1 << 20) + b"a" * (1 << 20) + b"q\x00"
    return b"\x80\x02" + text + b"c_codecs\nencode\nh\x00X\x06\x00\x00\x00latin1\x86R" * 2000 + b"."


def mapped_again():
    """One list of pairs as the items of many mappings."""
    pairs = b"K\x00q\x00](" + b"U\x01ah\x00\x86" * 20_000 + b"eq\x01"
    return b"\x80\x02" + pairs + b"ccollections\nOrderedDict\nh\x01\x85R" * 2000 + b"."


HOSTILE = {
    "call": pickle.dumps(Bomb(), 2),
    "inner call": pickle.dumps({"blobs": {"a": Bomb()}}, 4),
    "class": pickle.dumps(Listed([1]), 2),
    "object array": pickle.dumps(np.array([Bomb()], dtype=object), 2),
    "structured array": pickle.dumps(np.zeros(1, "f4,f4"), 2),
    "name": b"\x80\x02cos\nsystem\nU\x02ls\x85R.",
    "builtin": b"\x80\x02c__builtin__\neval\nU\x011\x85R.",
    "attribute": b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.",
    "persistent": b"\x80\x02U\x01aQ.",
    "extension": b"\x80\x02\x82\x01.",
    "instance": b"\x80\x02(U\x02lsios\nsystem\n.",
    "call of ndarray": b"\x80\x02cnumpy\nndarray\nK\x00\x85R.",
    "call of a string": b"\x80\x02U\x01a)R.",
    "state of a list": b"\x80\x02](K\x01tb.",
    "huge string": b"\x80\x02T\xff\xff\xff\x7f.",
    "negative string": b"\x80\x02T\xff\xff\xff\xff.",
    "huge bytes": b"\x80\x04\x8e" + b"\xff" * 8 + b".",
    "huge memo": b"\x80\x02]r\xff\xff\xff\xffj\xfe\xff\xff\xff.",
    "huge array": python2.pickled(python2.array(VALUES, shape=(1 << 30, 1 << 30))),
    "negative side": python2.pickled(python2.array(VALUES, shape=(-1, 24))),
    "short array": python2.pickled(python2.array(VALUES, data=b"abc")),
    "too many dimensions": python2.pickled(python2.array(VALUES, shape=(1,) * 40)),
    "many opcodes": b"\x80\x02" + b"]" * 20_000_000 + b".",
    "deep": b"\x80\x02" + b"](" * 400_000 + b".",
    "nothing": b"\x80\x02",
    "only an end": b"\x80\x02.",
    "no list": b"\x80\x02(K\x01e.",
    "no key": b"\x80\x02}(K\x01u.",
    "number as a key": b"\x80\x02}K\x01K\x02s.",
    "endless line": b"\x80\x02c" + b"a" * 1000,
    "copies": many_copies(),
    "encoded": encoded_again(),
    "mapped": mapped_again(),
    "long key": b"\x80\x02" + python2.string(bytes(2000)) + b"q\x00}h\x00Ns.",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_end_in_one_error(path, kind, monkeypatch):
    monkeypatch.chdir(path.parent)
    written(path, HOSTILE[kind])
    start, _ = time.monotonic(), tracemalloc.start()
    try:
        with pytest.raises(WeightsError, match=r"model\.pkl: not a") as refused:
            detectron.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert refused.value.id == "weights-format" and len(str(refused.value)) < 400
    assert peak < 200 << 20
    assert not (path.parent / "bombed").exists()
    assert time.monotonic() - start < 60  # under tracing, on a busy machine; two seconds without


def test_lists_of_lists_cost_nothing(path):
    """30 lists, each of ten times the one before: 10^30 items if they were copied."""
    assert len(pickled.read(written(path, billion_laughs()))) == 10


def files_read(path, seconds):
    """How many files were read in this time: random bytes and opcodes, and damaged valid files."""
    valid = [WHOLE, *(pickle.dumps({"a": VALUES, "b": [1.5, None, "x"]}, protocol) for protocol in (2, 4, 5))]
    opcodes = st.lists(st.sampled_from([bytes([code]) for code in pickled.OPCODES]), max_size=60).map(b"".join)
    begun = st.one_of(st.binary(max_size=100).map(lambda b: b"\x80\x02" + b), opcodes.map(lambda b: b"\x80\x04" + b))

    def read(content):
        try:
            found = detectron.read(written(path, content))
        except WeightsError as error:
            assert path.name in str(error)
        else:
            assert all(values.numel() * values.element_size() <= path.stat().st_size for values in found.values())

    return len(fuzz(st.one_of(begun, damaged(*valid)), read, seconds))


@pytest.mark.usefixtures("half")
def test_no_pickle_breaks_the_reader(path):
    assert files_read(path, SHORT_S) > 100


@pytest.mark.full
def test_no_pickle_breaks_the_reader_for_long(path):
    assert files_read(path, LONG_S) > 2000
