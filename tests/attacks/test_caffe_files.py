"""Hostile `.caffemodel` files: each ends in one error that names the file, before memory is taken for its claims."""

import os
import tracemalloc

import numpy as np
import pytest

from caffe_networks import encoded, varint
from paretodet.weights.formats import caffe
from paretodet.weights.formats.caffe import MAX_FIELDS
from paretodet.weights.safe import WeightsError

LAYER, NAME, BLOB, DATA, SHAPE, PRIOR_BOX = 100, 1, 7, 5, 7, 203
FLOATS = np.ones(4, "<f4").tobytes()
NEGATIVE = b"\xff" * 9 + b"\x01"  # -1 as a varint


def layer(*fields, name="a"):
    return encoded([(LAYER, [(NAME, name), *fields])])


def blob(*fields):
    return layer((BLOB, list(fields)))


def shape(*sides):
    return SHAPE, [(1, b"".join(varint(side) for side in sides))]


FILES = {
    "empty": b"",
    "a number that does not end": b"\x80" * 40,
    "a field number of zero": b"\x02\x00",
    "a group": varint(100 << 3 | 3) + FLOATS,
    "a wire type that does not exist": varint(100 << 3 | 7) + FLOATS,
    "a layer of 2^60 bytes": varint(LAYER << 3 | 2) + varint(2**60),
    "a layer as a number": varint(LAYER << 3) + b"\x01",
    "a blob that leaves its layer": encoded([(LAYER, varint(BLOB << 3 | 2) + varint(99))]) + b"\x00" * 200,
    "a blob as a number": encoded([(LAYER, [(NAME, "a"), (BLOB, 3)])]),
    "a shape of 2^62 values": blob((DATA, FLOATS), shape(2**31 - 1, 2**31 - 1)),
    "four sides of 2^31": blob((DATA, FLOATS), *((side, 2**31 - 1) for side in (1, 2, 3, 4))),
    "a negative side": blob((DATA, FLOATS), (SHAPE, [(1, NEGATIVE)])),
    "a side of zero": blob((DATA, b""), shape(0)),
    "a shape of 100,000 axes": blob((DATA, FLOATS), shape(*[1] * 100_000)),
    "a shape as a number": blob((DATA, FLOATS), (SHAPE, 4)),
    "a shape without values": blob(shape(4)),
    "values without a shape": blob((DATA, FLOATS)),
    "more values than the shape": blob((DATA, FLOATS), (DATA, FLOATS), shape(4)),
    "a value of three bytes": blob((DATA, FLOATS[:3]), shape(1)),
    "a value as a varint": blob((DATA, 2**27), shape(1)),
    "a value as eight bytes": encoded([(LAYER, [(NAME, "a"), (BLOB, varint(DATA << 3 | 1) + FLOATS[:8])])]),
    "a name of a megabyte": layer((BLOB, [(DATA, FLOATS), shape(4)]), name="a" * 2**20),
    "a name with an escape sequence": layer((BLOB, [(DATA, FLOATS), shape(4)]), name="a\x1b[2J"),
    "100,000 shapes of 32 axes": blob((DATA, FLOATS), (SHAPE, [(1, b"\x01" * 32)] * 100_000)),
    "a name that is no text": layer((BLOB, [(DATA, FLOATS), shape(4)]), name=b"\xff\xfe"),
    "a name as a number": encoded([(LAYER, [(NAME, 4)])]),
    "two layers of one name": blob((DATA, FLOATS), shape(4)) * 2,
    "100 blobs": layer(*[(BLOB, [(DATA, FLOATS), shape(4)])] * 100),
    "20,000 layers": layer() * 20_000,
    "too many fields": encoded([(LAYER, varint(3 << 3) * 2 * (MAX_FIELDS + 1))]),
    "fields between single values": blob(*[(DATA, 1.0), (9, 1)] * (MAX_FIELDS // 2 + 1), shape(1)),
    "no weights": layer((PRIOR_BOX, b"")),
    "a prior box of 100,000 sizes": layer((PRIOR_BOX, [(1, np.ones(100_000, "<f4").tobytes())])),
    "a prior box of 100 sizes": layer((PRIOR_BOX, [(1, 1.0)] * 100)),
    "a prior box as a number": layer((PRIOR_BOX, 5)),
    "a prior box with a size of eight bytes": layer((PRIOR_BOX, varint(1 << 3 | 1) + FLOATS[:8])),
    "a size of three bytes": layer((PRIOR_BOX, [(1, FLOATS[:3])])),
}


def refused(path):
    tracemalloc.start()
    try:
        with pytest.raises(WeightsError) as error:
            caffe.read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert error.value.message.startswith(f"{path}: ") and error.value.id == "weights-format"
    assert len(error.value.message) < 400
    return peak


@pytest.mark.parametrize("kind", FILES)
def test_a_hostile_file_is_refused(tmp_path, kind):
    path = tmp_path / "hostile.caffemodel"
    path.write_bytes(FILES[kind])
    assert refused(path) < 2**23


def test_a_file_beyond_the_limit_of_the_format_is_refused_unread(tmp_path):
    path = tmp_path / "large.caffemodel"
    path.write_bytes(blob((DATA, FLOATS), shape(4)))
    os.truncate(path, 2**31)
    assert refused(path) < 2**20


def test_a_file_that_ends_early_is_refused_at_every_place(tmp_path):
    path = tmp_path / "short.caffemodel"
    whole = blob((DATA, FLOATS), shape(2, 2), (6, FLOATS))
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        refused(path)
    path.write_bytes(whole)
    assert caffe.read(path)["a.0"].tolist() == [[1, 1], [1, 1]]
