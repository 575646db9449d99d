"""Downloads one file over https: continued where an earlier download stopped, within limits, and checked.

The standard library's client is enough for one GET at a time, and reads the proxies of the environment
(`HTTPS_PROXY`, `NO_PROXY`). Plain http is for servers on this machine only.
"""

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, getproxies, proxy_bypass

from paretodet.errors import ErrorId, InputError
from paretodet.reading import PIECE, sha256
from paretodet.version import __version__
from paretodet.writing import explained_disk_errors, held

ATTEMPTS = 3  # of one command; every further one continues the file
REDIRECTS = 5
SLOW = 1024  # bytes in `stall` seconds: less is a stall
LOCAL = ("localhost", "127.0.0.1", "::1")
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
PROXY = re.compile(r"(?:https?://|(?!\w+:/))(?:.*@)?([^/@]+)(?:/.*)?", re.IGNORECASE)  # a host alone is one too

Progress = Callable[[int, int | None], None]  # bytes so far, and of all if known


@dataclass(frozen=True, kw_only=True)
class Download:
    """What is downloaded, and how it is recognized."""

    url: str
    target: Path
    limit: int  # bytes
    size: int | None = None  # bytes, if known exactly
    sha256: str | None = None  # or its first digits
    stall: float = 30.0  # seconds

    def error(self, reason: str, id: ErrorId = "download-failed") -> InputError:
        """The error with this reason. It ends in what else the user can do."""
        return InputError(f"{self.url}: {reason}; otherwise put the file at {self.target}", id)


class _Interrupted(Exception):
    """The server stopped before the end; a further request can continue."""


def fetch(download: Download, progress: Progress = lambda done, total: None) -> str:
    """Downloads a file to its target, whose folder exists, and returns its SHA-256.

    Until it is complete and checked, the file is called NAME.part. Raises InputError, ending in the target, if a server
    cannot be reached or refuses, stops sending, or sends another file than described; then a later call continues.
    """
    check_address(download.url)
    lock = download.target.with_name(f".{download.target.name}.lock")
    busy = f"{download.target}: another process downloads this file; wait until it ends"
    part = _Part(download)
    kept = f"{part.path.name} is kept, and the same command continues it"
    with held(lock, busy=busy), explained_disk_errors(download.target.parent, kept):
        _receive_all(download, part, progress)
        digest = sha256(part.path)
        if download.sha256 and not digest.startswith(download.sha256):
            part.clear()
            raise download.error(
                f"this is not the listed file: its SHA-256 is {digest}, not {download.sha256}", "download-other"
            )
        part.complete()
    return digest


def check_address(url: str, *, secure: bool = False) -> None:
    """Raises InputError unless `url` is https, or, where not `secure`, http on this machine."""
    try:
        parts = urlsplit(url)
        is_allowed = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL and not secure)
    except ValueError:
        is_allowed = False
    if not is_allowed:
        raise InputError(f"{url}: refused, because the address does not begin with https://", "download-failed")


class _Part:
    """What has come of a file, and the server's name for that version of it, by which a request continues it."""

    def __init__(self, download: Download) -> None:
        self.path = download.target.with_name(f"{download.target.name}.part")
        self.note = download.target.with_name(f"{download.target.name}.part.version")
        self.target = download.target
        self.url = download.url

    def version(self) -> str | None:
        """None: there is nothing that can be continued."""
        if not self.path.is_file() or not self.note.is_file():
            return None
        url, _, version = self.note.read_text(encoding="utf-8").partition("\n")
        return version if url == self.url and self.size() else None

    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def begin(self, start: int, version: str | None) -> None:
        """Cuts the file to `start` bytes, which are of this version."""
        with self.path.open("ab") as file:
            file.truncate(start)
        self.note.write_text(f"{self.url}\n{version or ''}", encoding="utf-8")

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def complete(self) -> None:
        os.replace(self.path, self.target)
        self.note.unlink(missing_ok=True)


class _Redirects(HTTPRedirectHandler):
    """At most five, each to https."""

    max_redirections = REDIRECTS

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> Request | None:
        check_address(newurl, secure=req.full_url.startswith("https:"))
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _receive_all(download: Download, part: _Part, progress: Progress) -> None:
    reason = ""
    for _ in range(ATTEMPTS):
        try:
            return _receive(download, part, progress)
        except _Interrupted as stop:
            reason = str(stop)
    raise download.error(f"{reason}; run the command again, it continues after {part.size():,} bytes")


def _receive(download: Download, part: _Part, progress: Progress) -> None:
    with _opened(download, part) as response:
        start = _start(response, part)
        total = _total(response, start, download, part)
        part.begin(start, _version(response))
        received = _copy(response, part, start, total, download, progress)
    if total is not None and received < total:
        raise _Interrupted(f"the server stops after {received:,} of {total:,} bytes")
    if not received:
        raise download.error("the server sends an empty file", "download-other")


def _opened(download: Download, part: _Part) -> HTTPResponse:
    """The answer to the request for what is missing. Raises InputError if the server refuses or is not there."""
    via = _proxy(download)
    headers = {"User-Agent": f"paretodet/{__version__}", "Accept-Encoding": "identity"}
    if version := part.version():
        headers |= {"Range": f"bytes={part.size()}-", "If-Range": version}
    try:
        opener = build_opener(_Redirects)
        response: HTTPResponse = opener.open(Request(download.url, headers=headers), timeout=download.stall)
    except HTTPError as error:
        raise _refusal(error, download, part) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        is_late = isinstance(reason, TimeoutError)
        fault = f"no answer for {download.stall:g} s" if is_late else f"cannot be reached ({_said(reason)})"
        raise download.error(fault + via) from None
    kind, encoding = response.headers.get_content_type(), response.headers.get("Content-Encoding", "identity")
    if kind == "text/html" or encoding != "identity":
        response.close()
        raise download.error("the server sends a web page, not a file of weights", "download-other")
    return response


def _proxy(download: Download) -> str:
    """The proxy that the environment or the system states for this address, as a part of a message; "" without one.

    Raises InputError for one of another kind than http, such as socks5, which `urllib` would ask as if it was one.
    """
    parts = urlsplit(download.url)
    stated = getproxies().get(parts.scheme)
    if not stated or proxy_bypass(parts.netloc):
        return ""
    if (match := PROXY.fullmatch(stated)) is None:
        shown = re.sub(r"/.*@", "/...@", stated)  # without a password
        name = f"{parts.scheme.upper()}_PROXY"
        raise download.error(f"{name} is {shown!r:.80}, and has to be http://HOST:PORT: set another one or NO_PROXY")
    return f", through the proxy {match[1]}"


def _refusal(error: HTTPError, download: Download, part: _Part) -> Exception:
    error.close()
    if error.code == 416:  # there are no bytes after these
        part.clear()
        return _Interrupted("the server does not continue the file")
    if 300 <= error.code < 400:
        return download.error(f"more than {REDIRECTS} redirects")
    return download.error(f"the server answers {error.code} ({error.reason})")


def _start(response: HTTPResponse, part: _Part) -> int:
    """The place in the file of the first byte of an answer."""
    if response.status != 206:
        return 0
    found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    sent = _version(response)
    if not found or int(found[1]) != part.size() or (sent and sent != part.version()):
        part.clear()
        raise _Interrupted("the server continues another file")
    return part.size()


def _total(response: HTTPResponse, start: int, download: Download, part: _Part) -> int | None:
    """The size of the whole file. Raises InputError if that is another one than the listed size, or too large."""
    length = response.headers.get("Content-Length", "")
    total = start + int(length) if length.isascii() and length.isdecimal() else None
    if total is None:
        return download.size
    if total > download.limit or total != (download.size or total):
        part.clear()
        allowed = (
            f"the listed size is {download.size:,}" if download.size else f"at most {download.limit:,} are allowed"
        )
        raise download.error(f"the server sends {total:,} bytes, {allowed}", "download-other")
    return total


def _copy(
    response: HTTPResponse, part: _Part, start: int, total: int | None, download: Download, progress: Progress
) -> int:
    """Appends what the server sends, and returns the size of the file."""
    received, allowed = start, download.limit if total is None else total
    marked, since = start, time.monotonic()
    with part.path.open("ab") as file:
        while piece := _piece(response, download.stall):
            received += len(piece)
            if received > allowed:
                part.clear()
                raise download.error(f"the server sends more than {allowed:,} bytes", "download-other")
            file.write(piece)
            progress(received, total)
            if received - marked >= SLOW:
                marked, since = received, time.monotonic()
            elif time.monotonic() - since > download.stall:
                raise _Interrupted(f"the server sends less than {SLOW} bytes in {download.stall:g} s")
    return received


def _piece(response: HTTPResponse, stall: float) -> bytes:
    try:
        return response.read1(PIECE)
    except TimeoutError:
        raise _Interrupted(f"the server sends nothing for {stall:g} s") from None
    except (OSError, HTTPException) as error:
        raise _Interrupted(f"the connection ends ({_said(error)})") from None


def _said(reason: object) -> str:
    return str(reason) or type(reason).__name__


def _version(response: HTTPResponse) -> str | None:
    """What identifies the content exactly: a strong ETag, else the date of its last change."""
    tag = response.headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else response.headers.get("Last-Modified")
