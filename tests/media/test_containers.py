"""The bytes that a video file lacks, for a few bytes of each container written by hand."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paretodet.media.containers import missing

EBML = bytes.fromhex("1a45dfa3") + b"\x84abcd" + bytes.fromhex("18538067")


def box(name: bytes, content: bytes) -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + name + content


FRAMES = bytes(100)
FILES = {
    "mp4": box(b"ftyp", b"isom") + box(b"moov", bytes(30)) + box(b"mdat", FRAMES),
    "long mp4": box(b"moov", b"") + b"\0\0\0\1mdat" + (16 + 100).to_bytes(8, "big") + FRAMES,
    "avi": b"RIFF" + (4 + 100).to_bytes(4, "little") + b"AVI " + FRAMES,
    "mkv": EBML + b"\x01" + (100).to_bytes(7, "big") + FRAMES,
    "short mkv": EBML + b"\xe4" + FRAMES,
}


@pytest.mark.parametrize("content", FILES.values(), ids=FILES)
def test_what_is_cut_off_is_counted(tmp_path: Path, content: bytes) -> None:
    for cut in (0, 1, 60, 99):
        (tmp_path / "a").write_bytes(content[: len(content) - cut])
        assert missing(tmp_path / "a") == cut


@pytest.mark.parametrize(
    "content",
    [
        box(b"moov", b"") + b"\0\0\0\0mdat" + FRAMES,  # to the end of the file
        box(b"mdat", FRAMES) + b"\xff\xff\xff\xffnote",  # what some cameras append
        EBML + b"\x01" + b"\xff" * 7 + FRAMES,  # recorded live
        EBML + b"\xff" + FRAMES,
        EBML[:-4] + b"else" + b"\x01" + FRAMES,
        b"no video",
        b"",
    ],
)
def test_nothing_is_missing_if_the_file_states_no_length(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert missing(tmp_path / "a") == 0


@given(st.sampled_from([b"", b"RIFF", EBML[:4], EBML, box(b"ftyp", b"isom")]), st.binary(max_size=80))
def test_any_bytes_have_an_answer(tmp_path_factory: pytest.TempPathFactory, head: bytes, rest: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any"
    path.write_bytes(head + rest)
    assert missing(path) >= 0
