"""Darknet's weights files: both headers, and the message of a file of the wrong length."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from paretodet.darknet_file import DarknetFile, DarknetFileError, Header, write

INT = st.integers(-(2**31), 2**31 - 1)


@pytest.mark.parametrize(
    ("header", "size"),
    [
        (Header(0, 1, 0, 7), 16),  # yolov2.weights: 203,934,260 = 4 x 50,983,561 + 16
        (Header(0, 2, 0, 32013312), 20),  # yolov3.weights: 248,007,048 = 4 x 62,001,757 + 20
        (Header(0, 2, 5, 2**40), 20),
        (Header(1000, 2, 0, 3), 16),  # "transposed" files of the first versions
    ],
)
def test_both_headers_come_back(tmp_path: Path, header: Header, size: int) -> None:
    path = tmp_path / "a.weights"
    values = torch.randn(2, 3)
    write(path, header, [values])
    assert path.stat().st_size == size + 24
    with DarknetFile.open(path) as file:
        assert file.header == header and file.remaining == file.total == 6
        assert torch.equal(file.take((2, 3)), values) and file.remaining == 0
        file.close_checked()


def test_values_lie_as_darknet_writes_them(tmp_path: Path) -> None:
    write(tmp_path / "a.weights", Header(0, 2, 0, 5), [torch.tensor([[1.0, -2.5]]), torch.tensor(3.0)])
    assert (tmp_path / "a.weights").read_bytes() == struct.pack("<iiiQfff", 0, 2, 0, 5, 1.0, -2.5, 3.0)


def test_truncated_and_too_long_files_have_different_messages(tmp_path: Path) -> None:
    path = tmp_path / "a.weights"
    write(path, Header(), [torch.zeros(10)])
    with DarknetFile.open(path) as file:
        file.take((4,))
        with pytest.raises(
            DarknetFileError, match=r"truncated, .* 8 floats for biases \(8,\) after the first 4, found 6"
        ):
            file.take((8,), "biases")
        with pytest.raises(DarknetFileError, match="too long, expected 4 floats, found 10"):
            file.close_checked()
    with DarknetFile.open(path) as file:
        file.expect(10)
        with pytest.raises(DarknetFileError, match="truncated, expected 11 floats, found 10"):
            file.expect(11)
        with pytest.raises(DarknetFileError, match="too long, expected 9 floats, found 10"):
            file.expect(9)


@pytest.mark.parametrize("shape", [(10**9, 10**9), (2**62, 2**62), (-1, 5), (-(10**12), -(10**12))])
def test_hostile_shapes_take_no_memory(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write(tmp_path / "a.weights", Header(), [torch.zeros(10)])
    with DarknetFile.open(tmp_path / "a.weights") as file, pytest.raises(DarknetFileError):
        file.take(shape)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.weights", Path("/dev/zero")):
        with pytest.raises(DarknetFileError, match="no such file"):
            DarknetFile.open(path)


@given(st.binary(max_size=64))
def test_any_bytes_give_a_file_or_one_error(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.weights"
    path.write_bytes(content)
    try:
        with DarknetFile.open(path) as file:
            found = file.take((file.remaining,))
            file.close_checked()
    except DarknetFileError:
        return
    size = struct.calcsize(file.header.form)
    assert np.frombuffer(content[size:], "<f4").tobytes() == found.numpy().tobytes()


@given(st.tuples(INT, INT, INT, st.integers(0, 2**31 - 1)))
def test_any_header_comes_back(tmp_path_factory: pytest.TempPathFactory, values: tuple[int, int, int, int]) -> None:
    path = tmp_path_factory.getbasetemp() / "header.weights"
    write(path, Header(*values), [torch.zeros(3)])
    with DarknetFile.open(path) as file:
        assert file.header == Header(*values) and file.remaining == 3


def test_nothing_is_left_where_writing_failed(tmp_path: Path) -> None:
    def broken():
        yield torch.zeros(3)
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError):
        write(tmp_path / "a.weights", Header(), broken())
    assert list(tmp_path.iterdir()) == []
