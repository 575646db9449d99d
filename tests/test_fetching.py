"""Downloads against a server that truncates, stalls, redirects, lies, serves other bytes or ignores requests."""

import hashlib
import socket
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from paretodet.errors import InputError
from paretodet.fetching import ATTEMPTS, REDIRECTS, Download, check_address, fetch
from paretodet.writing import held
from served import Served, redirects, resumes, sends, serving

CONTENT = bytes(range(256)) * 1000
HASH = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def get(served: Served | str, folder: Path, **options: Any) -> tuple[str, list[tuple[int, int | None]]]:
    """Fetches to `w.bin`; the hash and the progress."""
    seen: list[tuple[int, int | None]] = []
    url = served if isinstance(served, str) else f"{served.address}/w.bin"
    given = {"limit": 10**6, "stall": 30.0} | options
    digest = fetch(Download(url=url, target=folder / "w.bin", **given), lambda *each: seen.append(each))
    return digest, seen


def refused(served: Served | str, folder: Path, **options: Any) -> str:
    """The message of a download that must fail. It has left no complete file."""
    with pytest.raises(InputError) as error:
        get(served, folder, **options)
    assert not (folder / "w.bin").exists()
    return str(error.value)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_with_progress_and_leaves_nothing_else(tmp_path: Path) -> None:
    with serving(resumes(CONTENT)) as served:
        digest, seen = get(served, tmp_path, size=len(CONTENT), sha256=HASH)
    assert digest == HASH and (tmp_path / "w.bin").read_bytes() == CONTENT and names(tmp_path) == {"w.bin"}
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and served.ranges() == [None]
    assert served.requests[0][2]["user-agent"].startswith("paretodet/")


@pytest.mark.parametrize("digits", [8, 64])
def test_a_hash_may_be_known_by_its_first_digits(tmp_path: Path, digits: int) -> None:
    with serving(sends(CONTENT)) as served:
        assert get(served, tmp_path, sha256=HASH[:digits])[0] == HASH


def test_a_truncated_file_is_continued_within_one_command(tmp_path: Path) -> None:
    with serving(resumes(CONTENT, cut=100_000)) as served:
        get(served, tmp_path, sha256=HASH)
    assert served.ranges() == [None, "bytes=100000-", "bytes=200000-"]
    assert {headers.get("if-range") for _, _, headers in served.requests} == {None, '"one"'}
    assert (tmp_path / "w.bin").read_bytes() == CONTENT


def test_a_later_command_continues_what_an_earlier_one_left(tmp_path: Path) -> None:
    with serving(*[resumes(CONTENT, cut=1000)] * ATTEMPTS, resumes(CONTENT)) as served:
        message = refused(served, tmp_path)
        assert "3,000" in message and message.endswith(f"put the file at {tmp_path / 'w.bin'} [download-failed]")
        assert (tmp_path / "w.bin.part").read_bytes() == CONTENT[:3000]
        digest, seen = get(served, tmp_path)
    assert digest == HASH and served.ranges()[-1] == "bytes=3000-" and seen[0][0] > 3000
    assert names(tmp_path) == {"w.bin"}


def test_another_address_does_not_continue_the_file(tmp_path: Path) -> None:
    with serving(*[resumes(CONTENT, cut=1000)] * ATTEMPTS, resumes(CONTENT)) as served:
        refused(served, tmp_path)
        get(f"{served.address}/other", tmp_path)
    assert served.ranges()[-1] is None


@pytest.mark.parametrize("version", [{}, {"etag": 'W/"weak"'}])
def test_without_a_name_of_its_version_a_file_begins_anew(tmp_path: Path, version: dict[str, str]) -> None:
    with serving(sends(CONTENT, cut=1000, **version), sends(CONTENT, **version)) as served:
        assert get(served, tmp_path)[0] == HASH
    assert served.ranges() == [None, None]


def test_the_date_of_the_last_change_names_a_version_too(tmp_path: Path) -> None:
    date = "Mon, 29 Jan 2018 10:00:00 GMT"
    first = sends(CONTENT, cut=1000, last_modified=date)
    rest = sends(CONTENT[1000:], status=206, last_modified=date, content_range=f"bytes 1000-{len(CONTENT) - 1}/*")
    with serving(first, rest) as served:
        assert get(served, tmp_path)[0] == HASH
    assert served.requests[1][2]["if-range"] == date


def test_a_server_that_ignores_the_range_sends_the_whole_file(tmp_path: Path) -> None:
    with serving(sends(CONTENT, cut=1000, etag='"one"'), sends(CONTENT, etag='"one"')) as served:
        assert get(served, tmp_path)[0] == HASH
    assert served.ranges() == [None, "bytes=1000-"]


def test_a_file_that_changed_between_two_requests_begins_anew(tmp_path: Path) -> None:
    with serving(resumes(b"old" * 1000, '"old"', cut=1000), resumes(CONTENT, '"new"')) as served:
        assert get(served, tmp_path)[0] == HASH


@pytest.mark.parametrize(
    "part",
    [
        {"etag": '"new"', "content_range": "bytes 1000-255999/256000"},  # If-Range is ignored
        {"etag": '"one"', "content_range": "bytes 0-255999/256000"},
        {"etag": '"one"', "content_range": "nonsense"},
        {"etag": '"one"'},
    ],
)
def test_a_part_that_does_not_continue_the_file_is_not_appended(tmp_path: Path, part: dict[str, str]) -> None:
    wrong = sends(b"x" * (len(CONTENT) - 1000), status=206, **part)
    with serving(sends(CONTENT, cut=1000, etag='"one"'), wrong, resumes(CONTENT)) as served:
        assert get(served, tmp_path)[0] == HASH
    assert served.ranges() == [None, "bytes=1000-", None]


def test_a_complete_part_of_another_file_is_replaced(tmp_path: Path) -> None:
    with serving(*[sends(CONTENT * 2, cut=len(CONTENT), etag='"one"')] * ATTEMPTS, resumes(CONTENT)) as served:
        refused(served, tmp_path)
        assert get(served, tmp_path)[0] == HASH
    assert served.ranges()[-1] is None


def test_a_server_that_stops_before_the_first_byte_is_asked_again(tmp_path: Path) -> None:
    with serving(sends(CONTENT, cut=0)) as served:
        assert "[download-failed]" in refused(served, tmp_path)
    assert len(served.requests) == ATTEMPTS


def test_a_stall_ends_after_the_time_without_data(tmp_path: Path) -> None:
    end = Event()
    with serving(sends(CONTENT, cut=1000, etag='"one"', wait=end), resumes(CONTENT)) as served:
        try:
            assert get(served, tmp_path, stall=1.0)[0] == HASH
        finally:
            end.set()
    assert served.ranges()[:2] == [None, "bytes=1000-"]


def test_a_trickle_is_a_stall(tmp_path: Path) -> None:
    end = Event()

    def trickle(handler: Any) -> None:
        sends(CONTENT, cut=1, etag='"one"')(handler)
        while not end.wait(0.05):
            handler.wfile.write(b"\0")

    with serving(trickle) as served:
        try:
            assert "[download-failed]" in refused(served, tmp_path, stall=0.3)
        finally:
            end.set()


def test_no_answer_at_all_is_a_failure(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/w.bin"
        message = refused(address, tmp_path, stall=0.3)
    assert "no answer" in message and message.endswith("w.bin [download-failed]")
    assert "cannot be reached" in refused(address, tmp_path)


@pytest.mark.parametrize("length", [1, len(CONTENT) - 1, len(CONTENT) + 1, 10**12])
def test_a_length_that_is_not_the_listed_one_is_refused(tmp_path: Path, length: int) -> None:
    with serving(sends(CONTENT, content_length=length)) as served:
        assert "[download-other]" in refused(served, tmp_path, size=len(CONTENT))
    assert len(served.requests) == 1 and names(tmp_path) == set()


def test_a_file_of_unknown_size_is_limited(tmp_path: Path) -> None:
    with serving(sends(CONTENT)) as served:
        assert "[download-other]" in refused(served, tmp_path, limit=1000)
    with serving(sends(CONTENT, content_length=None)) as served:  # the length is not stated, and is too large
        assert "[download-other]" in refused(served, tmp_path, limit=1000)
        assert get(served, tmp_path)[0] == HASH
    assert names(tmp_path) == {"w.bin"}


def chunked(handler: Any, *, ends: bool) -> None:
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    handler.wfile.write(f"{len(CONTENT):x}\r\n".encode() + CONTENT + b"\r\n" + b"0\r\n\r\n" * ends)


def test_chunks_are_read_to_their_end(tmp_path: Path) -> None:
    with serving(lambda handler: chunked(handler, ends=False)) as served:
        assert "[download-failed]" in refused(served, tmp_path)
    with serving(lambda handler: chunked(handler, ends=True)) as served:
        assert get(served, tmp_path)[0] == HASH


def test_wrong_bytes_are_refused_and_removed(tmp_path: Path) -> None:
    with serving(sends(b"x" + CONTENT[1:])) as served:
        message = refused(served, tmp_path, size=len(CONTENT), sha256=HASH)
    assert HASH in message and "[download-other]" in message and names(tmp_path) == set()


@pytest.mark.parametrize(
    "headers", [{"content_type": "text/html; charset=utf-8"}, {"content_encoding": "gzip"}], ids=["page", "encoded"]
)
def test_a_page_instead_of_a_file_is_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    with serving(sends(CONTENT, **headers)) as served:
        assert "[download-other]" in refused(served, tmp_path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    with serving(sends(b"")) as served:
        assert "[download-other]" in refused(served, tmp_path)


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_a_refusal_says_its_status(tmp_path: Path, status: int) -> None:
    with serving(sends(b"no", status=status)) as served:
        assert f"{status} (" in refused(served, tmp_path)


def test_redirects_are_followed_five_times(tmp_path: Path) -> None:
    hops = [redirects(f"/{n}") for n in range(REDIRECTS)]
    with serving(*hops, redirects("/more"), resumes(CONTENT)) as served:
        assert f"more than {REDIRECTS} redirects" in refused(served, tmp_path)
    with serving(redirects("/w.bin")) as served:
        assert f"more than {REDIRECTS} redirects" in refused(served, tmp_path)
    with serving(*hops, resumes(CONTENT)) as served:
        assert get(served, tmp_path)[0] == HASH


@pytest.mark.parametrize(
    "place", ["http://example.com/w.bin", "file:///etc/passwd", "ftp://127.0.0.1/w.bin", "//example.com/w.bin"]
)
def test_a_redirect_leaves_https_nowhere(tmp_path: Path, place: str) -> None:
    with serving(redirects(place)) as served:
        assert "[download-failed]" in refused(served, tmp_path)
    assert len(served.requests) == 1


@pytest.mark.parametrize(
    "url", ["http://example.com/w", "http://127.0.0.1.example.com/w", "http://[::1/w", "file:///w", "w.bin", ""]
)
def test_an_address_is_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(InputError, match=r"\[download-failed\]"):
        check_address(url)
    for good in ("https://example.com/w", "http://localhost:1/w", "http://[::1]/w"):
        check_address(good)
    with pytest.raises(InputError, match="https"):
        check_address("http://localhost:1/w", secure=True)  # a redirect from https


def test_the_proxy_of_the_environment_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(sends(b"", status=502)) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.address)
        assert "[download-failed]" in refused("https://weights.invalid/w.bin", tmp_path)
    assert [(method, path) for method, path, _ in proxy.requests] == [("CONNECT", "weights.invalid:443")]


def test_a_download_of_another_process_is_not_disturbed(tmp_path: Path) -> None:
    with serving(resumes(CONTENT)) as served, held(tmp_path / ".w.bin.lock", busy=None):
        assert "[folder-busy]" in refused(served, tmp_path)
    assert served.requests == []


def test_a_full_disk_keeps_what_came(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paretodet.fetching._Part.complete", lambda part: (_ for _ in ()).throw(OSError(28, "full")))
    with serving(resumes(CONTENT)) as served, pytest.raises(OSError, match="w.bin.part is kept"):
        get(served, tmp_path)
    assert (tmp_path / "w.bin.part").read_bytes() == CONTENT


def test_a_proxy_of_another_kind_than_http_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(resumes(CONTENT)) as served:
        for proxy in (
            "socks5://me:secret@127.0.0.1:1",
            "SOCKS4://me:se/cret@127.0.0.1:1",
            "http:/127.0.0.1:1",
            "http://",
        ):
            monkeypatch.setenv("HTTP_PROXY", proxy)
            message = refused(served, tmp_path)
            assert "HTTP_PROXY" in message and "[download-failed]" in message and "cret" not in message
        assert served.requests == []
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert get(served, tmp_path)[0] == HASH


@pytest.mark.parametrize("start", ["http://me:secret@", "HTTP://me:se/cret@", "me:secret@", "http://", ""])
def test_a_proxy_that_fails_is_named_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        place = "{}:{}".format(*closed.getsockname())
    monkeypatch.setenv("HTTPS_PROXY", f"{start}{place}")
    message = refused("https://weights.invalid/w.bin", tmp_path)
    assert f"through the proxy {place}" in message and "cret" not in message and "[download-failed]" in message
