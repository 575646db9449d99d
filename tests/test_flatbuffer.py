"""FlatBuffers, read without a library."""

import struct

import flatbuffers
import pytest

from paretodet import flatbuffer
from paretodet.flatbuffer import FlatTable


def table(scales: tuple[float, ...] = (), shape: tuple[int, ...] = ()) -> FlatTable:
    """A table with a vector of floats as field 0 and one of integers as field 2."""
    builder = flatbuffers.Builder()
    places = {}
    for field, values, write in ((0, scales, builder.PrependFloat32), (2, shape, builder.PrependInt32)):
        builder.StartVector(4, len(values), 4)
        for value in reversed(values):
            write(value)
        places[field] = builder.EndVector()
    builder.StartObject(3)
    for field, place in places.items():
        builder.PrependUOffsetTRelativeSlot(field, place, 0)
    builder.Finish(builder.EndObject())
    return FlatTable.root(memoryview(bytes(builder.Output())))


def test_numbers_are_read_as_they_were_written() -> None:
    made = table((0.5, -0.25), (3, -4))
    assert made.floats(0) == [0.5, -0.25] and made.numbers(2, "<i") == [3, -4]
    assert made.has(0) and not made.has(1) and made.floats(1) == []


def test_a_vector_with_too_many_elements_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    made = table(shape=(1, 2, 3))
    assert made.numbers(2, "<i", most=3) == [1, 2, 3]
    with pytest.raises(struct.error, match="3 elements"):
        made.numbers(2, "<i", most=2)
    monkeypatch.setattr(flatbuffer, "MOST", 2)
    with pytest.raises(struct.error, match="3 elements"):
        made.tables(2)
    monkeypatch.setattr(flatbuffer, "LONGEST", 2)
    with pytest.raises(struct.error, match="3 elements"):
        made.text(2)


def test_vectors_that_are_read_very_often_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As those that a small file shares among many tables."""
    monkeypatch.setattr(flatbuffer, "ALL", 8)
    made = table(shape=tuple(range(50)))
    part = FlatTable.root(made.data, made.left)
    reads = len(made.data) // 50
    for _ in range(reads):
        part.numbers(2, "<i")
    assert len(made.raw(2)) == 50
    with pytest.raises(struct.error, match="more elements"):
        made.numbers(2, "<i")
