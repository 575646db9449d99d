"""A limit holds for files, and for what has no size."""

import hashlib
import os
import threading
from pathlib import Path

import pytest

from paretodet.reading import is_file, is_folder, memory_map, read_bytes, real_path, sha256


@pytest.mark.parametrize("size", [0, 1, 2047, 2048])
def test_what_fits_is_read_whole(tmp_path, size):
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    assert read_bytes(tmp_path / "file", 2048) == content
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("limit", "limit_text"), [(2048, "2 KiB"), (3 * 2**20, "3 MiB")])
def test_what_does_not_fit_is_refused(tmp_path, limit, limit_text):
    (tmp_path / "file").write_bytes(bytes(limit + 1))
    with pytest.raises(ValueError, match=rf"^it is larger than {limit_text} \[file-too-large\]$"):
        read_bytes(tmp_path / "file", limit)


def test_no_more_is_reserved_than_there_is(tmp_path):
    (tmp_path / "file").write_bytes(b"small")
    assert read_bytes(tmp_path / "file", 2**60) == b"small"


def test_a_pipe_is_read_to_its_end(tmp_path):
    content, pipe = os.urandom(2**21 + 5), tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    assert read_bytes(pipe, 2**22) == content
    writer.join()


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="no such device here")
def test_a_device_without_end_is_left(tmp_path):
    with pytest.raises(ValueError, match="larger"):
        read_bytes(Path("/dev/zero"), 1000)


def test_a_file_that_is_not_there_is_the_systems_error(tmp_path):
    for read in (sha256, lambda path: read_bytes(path, 1)):
        with pytest.raises(FileNotFoundError):
            read(tmp_path / "none")


@pytest.mark.parametrize("name", ["none", "x" * 300, "a\0b", "loop", "loop/a", "file/a", "x/" * 3000])
def test_what_cannot_be_there_is_not_there(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    assert not is_file(tmp_path / name) and not is_folder(tmp_path / name)
    assert is_file(tmp_path / "file") and is_folder(tmp_path) and not is_folder(tmp_path / "file")


def test_two_names_of_a_place_are_one_and_a_link_to_itself_has_a_place_too(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "link" / ".." / "link" / "a") == real_path(tmp_path / "folder" / "a")
    assert real_path(tmp_path / "loop").parent == real_path(tmp_path)


def test_writing_to_a_map_does_not_change_the_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    with path.open("rb") as file:
        content = memory_map(file)
        content[0] = ord("x")
        assert content[:] == b"xbc" and path.read_bytes() == b"abc"


def test_a_file_larger_than_the_memory_is_mapped(tmp_path):
    with (tmp_path / "file").open("wb+") as file:
        file.truncate(10**12)  # sparse: it takes no room on the disk
        file.flush()
        content = memory_map(file)
        assert len(content) == 10**12 and content[:2] == b"\0\0"
