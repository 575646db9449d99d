"""Files and messages of a page, without a browser."""

import hashlib
import http.client
import socket
from base64 import b64encode
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from paretodet.runtimes.page_server import GUID, PageServer, WebSocket

MASK = bytes((1, 2, 3, 4))


def frame(content: bytes, *, opcode: int = 2, is_final: bool = True) -> bytes:
    """A frame as a browser sends it."""
    first = bytes((0x80 * is_final | opcode,))
    size = len(content)
    if size < 126:
        length = bytes((0x80 | size,))
    else:
        length = bytes((0x80 | 126,)) + size.to_bytes(2, "big") if size < 2**16 else b"\xff" + size.to_bytes(8, "big")
    return first + length + MASK + bytes(byte ^ MASK[place % 4] for place, byte in enumerate(content))


@pytest.mark.parametrize("size", [0, 1, 125, 126, 1001, 70_001])
def test_messages_of_every_length_arrive_as_they_were_sent(size: int) -> None:
    content = bytes(range(256)) * 300
    ours, browsers = socket.socketpair()
    with ours, browsers:
        browsers.sendall(frame(content[:size]))
        assert WebSocket(ours).receive() == content[:size]


def test_a_message_in_pieces_is_one_message() -> None:
    ours, browsers = socket.socketpair()
    with ours, browsers:
        browsers.sendall(frame(b"one", is_final=False) + frame(b"two", opcode=0, is_final=False) + frame(b"", opcode=0))
        assert WebSocket(ours).receive() == b"onetwo"


@pytest.mark.parametrize(
    ("size", "length"),
    [(7, b"\x07"), (125, b"\x7d"), (126, b"\x7e\0\x7e"), (65_535, b"\x7e\xff\xff"), (65_536, b"\x7f\0\0\0\0\0\1\0\0")],
)
def test_a_message_of_parts_is_one_frame_with_the_shortest_length(size: int, length: bytes) -> None:
    """Browsers refuse a length in more bytes than it needs."""
    ours, browsers = socket.socketpair()
    with ours, browsers:
        WebSocket(ours).send([b"abc", memoryview(bytes(size - 3))])
        assert browsers.recv(3 + len(length)) == b"\x82" + length + b"ab"


@pytest.mark.parametrize("last", [frame(b"", opcode=8), b"", frame(b"half of a message")[:9]])
def test_the_end_of_the_page_is_an_error(last: bytes) -> None:
    ours, browsers = socket.socketpair()
    with ours:
        browsers.sendall(last)
        browsers.close()
        with pytest.raises(ConnectionError):
            WebSocket(ours).receive()


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path | bytes]:
    (tmp_path / "a.wasm").write_bytes(b"code")
    return {"": b"page", "ort/a.wasm": tmp_path / "a.wasm"}


def test_files_are_served_by_name_to_whoever_knows_the_address(files: dict[str, Path | bytes]) -> None:
    server = PageServer(files)
    try:
        address = urlsplit(server.address)
        assert address.hostname == "127.0.0.1" and len(address.path) > 40

        def get(path: str) -> tuple[int, str | None, bytes]:
            client = http.client.HTTPConnection("127.0.0.1", address.port or 0)
            client.request("GET", path)
            answer = client.getresponse()
            if answer.status == 200:
                assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
                assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            return answer.status, answer.headers["Content-Type"], answer.read()

        assert get(address.path) == (200, "text/html", b"page")
        assert get(f"{address.path}ort/a.wasm") == (200, "application/wasm", b"code")
        for path in ("/", "/ort/a.wasm", "/guess/ort/a.wasm", "/guess/socket", f"{address.path}ort/../a.wasm"):
            assert get(path)[0] == 404
    finally:
        server.close()


def test_the_socket_of_the_page_stays_open_when_the_server_has_closed() -> None:
    server = PageServer({})
    address = urlsplit(server.address)
    with socket.create_connection(("127.0.0.1", address.port or 0)) as browser:
        browser.sendall(f"GET {address.path}socket HTTP/1.1\r\nSec-WebSocket-Key: key\r\n\r\n".encode())
        connection = server.connection(lambda: True, 60)
        server.close()
        assert connection is not None
        accepted = b64encode(hashlib.sha1(f"key{GUID}".encode()).digest())
        assert browser.recv(1000).endswith(b"Sec-WebSocket-Accept: " + accepted + b"\r\n\r\n")
        browser.sendall(frame(b"ready"))
        assert connection.receive() == b"ready"
        connection.close()


def test_a_browser_that_ends_opens_no_socket() -> None:
    server = PageServer({})
    assert server.connection(lambda: False, 60) is None
    server.close()
