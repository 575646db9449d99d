"""Published weights on request: the folder, the record of the hash, mirrors, no network, archives, the command."""

import hashlib
import io
import json
import os
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paretodet import archives, downloading
from paretodet.downloading import MIRROR, downloads_folder, get_weights
from paretodet.errors import InputError
from paretodet.weights import published
from served import Served, resumes, sends, serving

CONTENT = b"weights" * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()


def archive(**members: bytes) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name.replace("__", "/").replace("_pb", ".pb"))
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return stream.getvalue()


@dataclass
class Listed:
    """A list of one entry, whose file the mirror of the environment serves."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch

    def __call__(self, served: Served | None = None, **fields: Any) -> None:
        origins = {"darknet": published.entries()[0].origin}
        complete = {"name": "made", "origin": "darknet", "file": "made.bin", **fields}
        entry = published._entry(complete, origins, "made")
        self.monkeypatch.setattr(published, "entries", lambda: (entry,))
        if served:
            self.monkeypatch.setenv(MIRROR, f"{served.address}/mirror/")

    def names(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Listed:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", MIRROR):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("PARETODET_CACHE", str(tmp_path))
    (tmp_path / "weights").mkdir()
    return Listed(tmp_path / "weights", monkeypatch)


def refused(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as error:
        get_weights(*arguments, **options)
    return str(error.value)


def test_a_file_is_downloaded_once_and_its_hash_is_recorded(listed: Listed) -> None:
    with serving(resumes(CONTENT)) as served:
        listed(served)
        first, second = get_weights("made"), get_weights("made", offline=True)
    assert [path for _, path, _ in served.requests] == ["/mirror/made.bin"]
    assert (first.is_new, first.checked) == (True, "none") and (second.is_new, second.checked) == (False, "recorded")
    assert first.sha256 == second.sha256 == HASH and first.path == str(listed.folder / "made.bin")
    assert (listed.folder / "made.bin.sha256").read_text() == f"{HASH}  made.bin\n"
    assert listed.names() == {"made.bin", "made.bin.sha256"} and downloads_folder() == listed.folder


def test_a_file_that_is_there_with_its_record_needs_no_folder_that_can_be_written(listed: Listed) -> None:
    with serving(resumes(CONTENT)) as served:
        listed(served)
        get_weights("made")
    for writer in ("check_folder", "write_text"):
        listed.monkeypatch.setattr(downloading, writer, lambda *_: pytest.fail("it writes"))
    assert get_weights("made").checked == "recorded"


def test_a_folder_may_be_named(listed: Listed, tmp_path: Path) -> None:
    with serving(resumes(CONTENT)) as served:
        listed(served)
        assert get_weights("made", tmp_path / "new").path == str(tmp_path / "new" / "made.bin")
    assert listed.names() == set()


@pytest.mark.parametrize("listed_hash", [HASH, HASH[:8]])
def test_a_listed_hash_is_checked(listed: Listed, listed_hash: str) -> None:
    with serving(resumes(CONTENT), sends(b"x" * len(CONTENT))) as served:
        listed(served, sha256=listed_hash, size=len(CONTENT))
        assert get_weights("made").checked == "listed"
        (listed.folder / "made.bin").unlink()
        assert "[download-other]" in refused("made")
    assert listed.names() == {"made.bin.sha256"}


def test_a_file_that_was_put_there_by_hand_is_taken(listed: Listed) -> None:
    listed(sha256=HASH)
    (listed.folder / "made.bin").write_bytes(CONTENT)
    got = get_weights("made")
    assert (got.is_new, got.checked, got.sha256) == (False, "listed", HASH)


@pytest.mark.parametrize("fields", [{"sha256": HASH}, {}], ids=["listed", "recorded"])
def test_a_file_that_changed_is_not_taken(listed: Listed, fields: dict[str, str]) -> None:
    listed(**fields)
    (listed.folder / "made.bin").write_bytes(CONTENT)
    get_weights("made")
    (listed.folder / "made.bin").write_bytes(b"other")
    message = refused("made")
    assert "made.bin" in message and HASH in message and "[download-other]" in message


def test_offline_or_without_an_address_a_sentence_says_where_to_put_the_file(listed: Listed) -> None:
    listed(url="https://example.com/w.bin")
    place = f"at {listed.folder / 'made.bin'} [download-by-hand]"
    message = refused("made", offline=True)
    assert "https://example.com/w.bin" in message and message.endswith(place)
    listed(note="the third link")
    message = refused("made")
    assert "third link" in message and "pjreddie.com/darknet/yolo" in message and message.endswith(place)
    assert listed.names() == set()


def test_without_a_network_a_sentence_says_where_to_put_the_file(listed: Listed) -> None:
    with serving(sends(b"")) as served:
        pass  # nobody listens there now
    listed(served)
    message = refused("made")
    assert message.endswith(f"put the file at {listed.folder / 'made.bin'} [download-failed]")


@pytest.mark.parametrize("mirror", ["http://example.com", "ftp://example.com", "/srv/weights"])
def test_a_mirror_is_https(listed: Listed, mirror: str) -> None:
    listed(url="https://example.com/w.bin")
    listed.monkeypatch.setenv(MIRROR, mirror)
    message = refused("made")
    assert message.startswith(f"{MIRROR}: ") and message.endswith("[download-failed]")


def test_the_member_of_an_archive_is_read_out_of_it(listed: Listed) -> None:
    content = archive(model__graph_txt=b"text", model__frozen_pb=CONTENT)
    with serving(resumes(content)) as served:
        listed(served, file="made.tar.gz", member="frozen.pb")
        got = get_weights("made")
    assert got.file.endswith("made.tar.gz") and got.path == str(listed.folder / "made.pb")
    assert Path(got.path).read_bytes() == CONTENT
    assert listed.names() == {"made.tar.gz", "made.tar.gz.sha256", "made.pb"}
    os.utime(got.path, (0, 0))
    Path(got.path).write_bytes(b"damaged")
    os.utime(got.path, (0, 0))
    assert Path(get_weights("made").path).read_bytes() == CONTENT


def test_an_archive_with_path_tricks_or_a_bomb_is_refused(listed: Listed, tmp_path: Path) -> None:
    listed.monkeypatch.setattr(archives, "MINIMUM", 2**20)
    for content in (archive(**{"..__evil_pb": b"x"}), archive(frozen_pb=bytes(2**22))):
        with serving(resumes(content)) as served:
            listed(served, file="made.tar.gz", member="frozen.pb")
            assert "[archive-unsafe]" in refused("made")
        assert listed.names() == {"made.tar.gz", "made.tar.gz.sha256"} and not (tmp_path / "evil.pb").exists()
        (listed.folder / "made.tar.gz").unlink()


def command(listed: Listed, capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    from paretodet.cli import main

    listed.monkeypatch.setattr(sys, "argv", ["paretodet", "weights", *map(str, arguments)])
    listed.monkeypatch.setenv("COLUMNS", "300")
    with pytest.raises(SystemExit) as left:
        main()
        raise SystemExit(0)
    out, err = capsys.readouterr()
    return int(left.value.code or 0), out, err


def test_the_command_shows_the_command_that_imports(listed: Listed, capsys: pytest.CaptureFixture[str]) -> None:
    known = {"detector": "yolo_v3_tiny-416", "split": "val2014-5k", "ap": 16.0, "ap50": 33.0, "source": "a paper"}
    with serving(resumes(CONTENT)) as served:
        listed(served, detectors=["yolo_v3_tiny-416"], accuracy=[known])
        code, out, err = command(listed, capsys, "get", "made")
    assert code == 0 and HASH in out and "no hash of this file is published" in out
    (line,) = (line for line in err.splitlines() if line.startswith("Next: "))
    options = "--as yolo_v3_tiny-416 --license 'public domain' --ap 16.0 --ap50 33.0 --ap-split val2014-5k"
    file = listed.folder / "made.bin"
    assert line == f"Next: paretodet import {file} {options} --ap-source 'a paper' --out made.safetensors"


def test_a_number_that_is_printed_without_a_digit_after_the_point_is_an_option_without_one(
    listed: Listed, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"detector": "yolo_v3_tiny-416", "split": "val2017", "ap": 21.0, "rounding": 0.5, "source": "a zoo"}
    with serving(resumes(CONTENT)) as served:
        listed(served, detectors=["yolo_v3_tiny-416"], accuracy=[known])
        code, _, err = command(listed, capsys, "get", "made")
    assert code == 0 and " --ap 21 --ap-split val2017 " in err


def test_the_command_as_json_holds_the_same(listed: Listed, capsys: pytest.CaptureFixture[str]) -> None:
    with serving(resumes(CONTENT)) as served:
        listed(served, note="of no detector")
        code, out, err = command(listed, capsys, "get", "made", "--json")
    assert code == 0 and err == "" and json.loads(out)["sha256"] == HASH and json.loads(out)["options"] is None
    code, out, err = command(listed, capsys, "get", "made", "--offline")
    assert code == 0 and "Already there" in out and "No detector" in err
    code, out, err = command(listed, capsys, "get", "nothing")
    assert (code, out) == (2, "") and err.rstrip().endswith("[name-unknown]")


def test_the_list_for_people_and_as_json(listed: Listed, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = command(listed, capsys)
    assert code == 0 and "yolov3 " in out and "523e4e69" in out and "val2014-5k" in out and "CC-BY-SA-3.0" in out
    assert "val2017" in err and "darknet" in err
    code, out, err = command(listed, capsys, "--json")
    assert (
        code == 0
        and err == ""
        and json.loads(out) == json.loads(json.dumps([each.to_json() for each in published.entries()]))
    )


def test_only_the_command_leads_to_the_client() -> None:
    package = Path(downloading.__file__).parent
    texts = {path.relative_to(package).as_posix(): path.read_text("utf-8") for path in package.rglob("*.py")}
    for module, users in {
        "fetching": {"downloading.py"},
        "downloading": {"cli/weights.py", "default_weights.py"},
    }.items():
        assert {name for name, text in texts.items() if f"from paretodet.{module} import" in text} == users
    assert {name for name, text in texts.items() if "urllib.request" in text} == {"fetching.py"}
