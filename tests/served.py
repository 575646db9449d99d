"""A server on this machine that answers a download as the test scripts it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

Answer = Callable[[Any], None]  # takes the handler of one request


@dataclass
class Served:
    """The address of the server and what it was asked: (method, path, headers)."""

    address: str
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)

    def ranges(self) -> list[str | None]:
        return [headers.get("range") for _, _, headers in self.requests]


@contextmanager
def serving(*answers: Answer) -> Iterator[Served]:
    """Answers the first request by the first of `answers`, and all after the last one by the last one."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            place = len(served.requests)
            headers = {name.lower(): value for name, value in self.headers.items()}
            served.requests.append((self.command, self.path, headers))
            self.close_connection = True
            answers[min(place, len(answers) - 1)](self)

        do_CONNECT = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served = Served(f"http://127.0.0.1:{server.server_port}")
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def sends(content: bytes, *, status: int = 200, cut: int | None = None, wait: Any = None, **headers: Any) -> Answer:
    """The content with its length, or only `cut` bytes of it, after which the connection closes or `wait` is awaited.

    A header is named as a keyword (`etag`, `content_length`); None leaves it out.
    """

    def answer(handler: Any) -> None:
        handler.send_response(status)
        for name, value in ({"content_length": len(content)} | headers).items():
            if value is not None:
                handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        handler.wfile.write(content if cut is None else content[:cut])
        handler.wfile.flush()
        if wait is not None:
            wait.wait(20)

    return answer


def resumes(content: bytes, etag: str = '"one"', *, cut: int | None = None) -> Answer:
    """As a server should: the whole file, or the rest of it if the request names this version."""

    def answer(handler: Any) -> None:
        asked = handler.headers.get("Range")
        if not asked or handler.headers.get("If-Range") != etag:
            return sends(content, cut=cut, etag=etag)(handler)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            return sends(b"", status=416, content_range=f"bytes */{len(content)}")(handler)
        part = f"bytes {start}-{len(content) - 1}/{len(content)}"
        return sends(content[start:], status=206, cut=cut, etag=etag, content_range=part)(handler)

    return answer


def redirects(place: str, status: int = 302) -> Answer:
    return sends(b"", status=status, location=place)
