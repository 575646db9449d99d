"""FlexBuffers, read without a library."""

import random
import struct

import pytest
from flatbuffers import flexbuffers

from paretodet.flexbuffer import numbers


def written(**values: object) -> "memoryview[int]":
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, value in values.items():
            builder.Key(key)
            builder.Add(value)
    return memoryview(bytes(builder.Finish()))


@pytest.mark.parametrize("large", [1, 300, 70_000, 2**40])
def test_numbers_of_every_width_are_read(large: int) -> None:
    assert numbers(written(a=-3, scale=0.5, z=large, t=True)) == {"a": -3, "scale": 0.5, "z": large, "t": 1}


def test_other_values_are_left_out() -> None:
    assert numbers(written(text="x", a=1, more=[1, 2])) == {"a": 1}
    assert numbers(memoryview(flexbuffers.Dumps([1, 2]))) == {}


@pytest.mark.parametrize("data", [b"", b"ab", b"\x00\x24\x01", b"\x07\x24\x03"])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(struct.error):
        numbers(memoryview(data))


def test_damaged_bytes_end_in_one_kind_of_error() -> None:
    whole, noise, refused = bytes(written(a=-3, scale=0.5, z=70_000, text="x")), random.Random(0), 0
    for _ in range(20_000):
        data = bytearray(whole[noise.choice((0, 0, noise.randrange(len(whole)))) :])
        for _ in range(noise.randint(1, 4)):
            data[noise.randrange(len(data))] = noise.randrange(256)
        try:
            numbers(memoryview(bytes(data)))
        except (struct.error, UnicodeDecodeError):
            refused += 1
    assert 1_000 < refused < 20_000
