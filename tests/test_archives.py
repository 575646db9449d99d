"""Tar archives: one member is read, and archives with path tricks, links or bombs are refused."""

import gzip
import io
import os
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from paretodet import archives
from paretodet.archives import extract
from paretodet.errors import InputError

WEIGHTS = os.urandom(200_000)
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def member(name: str, content: bytes = b"", **fields: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, content


def packed(path: Path, *members: tuple[tarfile.TarInfo, bytes], mode: Any = "w:gz", form: str = "gnu") -> Path:
    with tarfile.open(path, mode, format=FORMATS[form]) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def refused(archive: Path) -> str:
    """The message of the error; nothing of an archive that is refused is unpacked."""
    started = time.process_time()
    with pytest.raises(InputError) as error:
        extract(archive, "w.pb", archive.with_name("w.out"))
    assert time.process_time() - started < 2 and archive.name in str(error.value)
    assert {path.name for path in archive.parent.iterdir()} == {archive.name}
    return str(error.value)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_one_member_is_written_and_no_other(tmp_path: Path, form: str, mode: str) -> None:
    folder = "model/" + f"{'long' * 15}/" * (2 if form == "ustar" else 5)
    others = [member("model", type=tarfile.DIRTYPE), member("model/ä.txt", b"abc"), member(f"{folder}w.pb.txt", b"no")]
    archive = packed(tmp_path / "a.tar", *others, member(f"{folder}w.pb", WEIGHTS), mode=mode, form=form)
    extract(archive, "w.pb", tmp_path / "w.out")
    assert (tmp_path / "w.out").read_bytes() == WEIGHTS
    assert {path.name for path in tmp_path.iterdir()} == {"a.tar", "w.out"}


def test_the_first_of_two_members_of_a_name_counts(tmp_path: Path) -> None:
    extract(packed(tmp_path / "a", member("a/w.pb", b"one"), member("b/w.pb", b"two")), "w.pb", tmp_path / "w.out")
    assert (tmp_path / "w.out").read_bytes() == b"one"


def test_a_missing_member_is_named(tmp_path: Path) -> None:
    assert "w.pb [archive-damaged]" in refused(packed(tmp_path / "a", member("other.pb", b"x")))


@pytest.mark.parametrize("name", ["../w.pb", "/etc/w.pb", "a/../../w.pb", "C:\\w.pb", "a\\..\\w.pb"])
@pytest.mark.parametrize("place", ["before", "after"])
def test_a_path_that_leaves_the_archive_is_refused(tmp_path: Path, name: str, place: str) -> None:
    members = [member("w.pb", WEIGHTS), member(name, b"x")]
    archive = packed(tmp_path / "a", *(members if place == "after" else reversed(members)))
    assert "[archive-unsafe]" in refused(archive)


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE, b"?"]
)
def test_links_devices_and_sparse_files_are_refused(tmp_path: Path, kind: bytes) -> None:
    archive = packed(tmp_path / "a", member("w.pb", type=kind, linkname="/etc/passwd"))
    assert "[archive-unsafe]" in refused(archive)


def test_a_posix_sparse_file_is_refused(tmp_path: Path) -> None:
    fields = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(10**15)}
    assert "[archive-unsafe]" in refused(packed(tmp_path / "a", member("w.pb", b"x", pax_headers=fields), form="pax"))


def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MINIMUM", 2**20)
    for name in ("w.pb", "other.pb"):
        assert "[archive-unsafe]" in refused(packed(tmp_path / "a", member(name, bytes(2**22))))
    nested = gzip.compress(packed(tmp_path / "a", member("w.pb", bytes(2**22))).read_bytes())
    (tmp_path / "a").write_bytes(nested)
    assert "[archive-damaged]" in refused(tmp_path / "a")


def test_very_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MEMBERS", 100)
    assert "[archive-unsafe]" in refused(packed(tmp_path / "a", *(member(f"{n}") for n in range(101))))


@pytest.mark.parametrize("form", ["gnu", "pax"])
def test_a_huge_name_takes_no_memory(tmp_path: Path, form: str) -> None:
    assert "[archive-unsafe]" in refused(packed(tmp_path / "a", member("n" * 10**6), form=form))


def header(size: bytes, kind: bytes = b"0") -> bytes:
    """A header with this text as the size."""
    block = bytearray(tarfile.TarInfo("w.pb").tobuf())
    block[124:136], block[156:157] = size.ljust(12, b"\0"), kind
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


@pytest.mark.parametrize("size", [b"77777777777", b"\x80" + b"\xff" * 11, b"-1", b"9", b"\xff" * 12, b" 12x", b"1"])
@pytest.mark.parametrize("kind", [b"0", b"L", b"x", b"g"])
def test_a_size_that_is_not_there_takes_no_memory(tmp_path: Path, size: bytes, kind: bytes) -> None:
    (tmp_path / "a").write_bytes(header(size, kind) + b"x")
    assert "[archive-" in refused(tmp_path / "a")


@pytest.mark.parametrize("content", [b"", b"\x1f\x8b", b"\x1f\x8b" + bytes(600), b"PK\3\4" + bytes(600), b"x" * 1024])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    assert "[archive-damaged]" in refused(tmp_path / "a")


WHOLE = [(name, kind) for name in ("w.pb", "a/b.txt", "n" * 150) for kind in (tarfile.REGTYPE, tarfile.DIRTYPE)]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    flips=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6),
    length=st.integers(0, 6000),
    form=st.sampled_from(["gnu", "pax"]),
    is_compressed=st.booleans(),
)
def test_damaged_archives_end_in_one_error_or_the_member(
    tmp_path: Path, flips: list[tuple[int, int]], length: int, form: str, is_compressed: bool
) -> None:
    made = packed(tmp_path / "a", *(member(name, b"x" * 10, type=kind) for name, kind in WHOLE), mode="w", form=form)
    content = bytearray(made.read_bytes())
    for place, byte in flips:
        content[place % len(content)] = byte
    made.write_bytes(gzip.compress(content)[:length] if is_compressed else content[:length])
    (tmp_path / "w.out").unlink(missing_ok=True)
    try:
        extract(made, "w.pb", tmp_path / "w.out")
    except InputError as error:
        assert error.id in ("archive-damaged", "archive-unsafe")
    else:
        assert (tmp_path / "w.out").is_file()
