"""Serves files to a page in a browser of this machine, and exchanges messages with it over a WebSocket (RFC 6455).

Nothing is reachable from other machines, and from this one only under an address that cannot be guessed.
"""

import hashlib
import queue
import secrets
import shutil
import socket
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import numpy as np

SOCKET = "socket"  # the name under which the page opens its WebSocket
POLL = 0.2  # s between two checks whether the browser is running
TYPES = {".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
ISOLATION = {  # a page has threads only if it is isolated from other origins
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-store",
}
GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # of the protocol
FINAL, BINARY, CLOSE, LENGTH, MASKED = 0x80, 0x2, 0x8, 0x7F, 0x80  # bits of a frame's first two bytes
SHORT, LONG = 126, 127  # lengths that say that two or eight bytes with the length follow

Content = Path | bytes


class PageServer:
    """Files by name, on a port of 127.0.0.1, until `close`."""

    def __init__(self, files: Mapping[str, Content]) -> None:
        self._server = _Server(files)
        self.address = f"http://127.0.0.1:{self._server.server_port}/{self._server.token}/"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def connection(self, is_running: Callable[[], bool], seconds: float) -> "WebSocket | None":
        """The socket that the page opens; None if the browser ends before, or the time is over."""
        for _ in range(int(seconds / POLL)):
            try:
                return WebSocket(self._server.sockets.get(timeout=POLL))
            except queue.Empty:
                if not is_running():
                    break
        return None

    def close(self) -> None:
        """Serves no more files. The socket stays open."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class PageEnded(ConnectionError):
    """The page ended, or closed its socket."""


class WebSocket:
    """Messages of bytes, in the calling thread. Raises PageEnded if the page has ended, or another ConnectionError."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, parts: Sequence[bytes | memoryview]) -> None:
        """One message of several parts."""
        size = sum(memoryview(part).nbytes for part in parts)
        self._connection.sendall(bytes((FINAL | BINARY,)) + _length(size))
        for part in parts:
            self._connection.sendall(part)

    def receive(self) -> bytes:
        """The next message."""
        return b"".join(self._frames())

    def close(self) -> None:
        self._connection.close()

    def _frames(self) -> Iterator[bytes]:
        is_final = False
        while not is_final:
            first, second = self._read(2)
            if first & 0xF == CLOSE:
                raise PageEnded("the page has closed its socket")
            is_final, size = bool(first & FINAL), second & LENGTH
            if size in (SHORT, LONG):
                size = int.from_bytes(self._read(2 if size == SHORT else 8), "big")
            mask = self._read(4) if second & MASKED else bytes(4)
            yield _unmasked(self._read(size), mask)

    def _read(self, size: int) -> bytearray:
        content = bytearray(size)
        rest = memoryview(content)
        while rest:
            if not (count := self._connection.recv_into(rest, 0, socket.MSG_WAITALL)):
                raise PageEnded("the page has ended")
            rest = rest[count:]
        return content


def _length(size: int) -> bytes:
    """As few bytes as can hold it: browsers refuse more."""
    if size < SHORT:
        return bytes((size,))
    return bytes((SHORT,)) + size.to_bytes(2, "big") if size < 2**16 else bytes((LONG,)) + size.to_bytes(8, "big")


def _unmasked(content: bytearray, mask: bytes | bytearray) -> bytes:
    """A browser masks what it sends: every byte is combined with one of four."""
    whole = np.frombuffer(content + bytes(-len(content) % 4), np.uint32) ^ np.frombuffer(mask, np.uint32)
    return whole.tobytes()[: len(content)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # a browser may hold connections open that it never uses

    def __init__(self, files: Mapping[str, Content]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files, self.token = files, secrets.token_urlsafe()
        self.sockets: queue.Queue[socket.socket] = queue.Queue()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        token, _, name = self.path.removeprefix("/").partition("/")
        content = self.server.files.get(unquote(name)) if token == self.server.token else None
        if token == self.server.token and name == SOCKET:
            self._upgrade()
        elif content is None:
            self.send_error(404)
        else:
            self._send(content, TYPES.get(PurePosixPath(name or "index.html").suffix, "application/octet-stream"))

    def log_message(self, format: str, *args: object) -> None:
        return None

    def _send(self, content: Content, kind: str) -> None:
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        self.send_response(200)
        for name, value in {**ISOLATION, "Content-Type": kind, "Content-Length": str(size)}.items():
            self.send_header(name, value)
        self.end_headers()
        if isinstance(content, bytes):
            self.wfile.write(content)
            return
        with content.open("rb") as file:
            shutil.copyfileobj(file, self.wfile, 2**20)

    def _upgrade(self) -> None:
        """Turns the connection into a WebSocket and hands it over."""
        key = hashlib.sha1((self.headers.get("Sec-WebSocket-Key", "") + GUID).encode()).digest()
        answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        self.wfile.write(f"{answer}Sec-WebSocket-Accept: {b64encode(key).decode()}\r\n\r\n".encode())
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
        self.server.sockets.put(socket.socket(fileno=self.connection.detach()))
