"""Text and JSON without what is personal: host and user names, paths, addresses, and what the environment holds."""

import getpass
import os
import platform
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_WORD = r"[^\s/\\'\"<>|~]+"
_SPACED = rf"{_WORD}(?: {_WORD}){{0,3}}"  # a folder's name may have spaces; so many words are taken for one
_REST = rf"(?:{_SPACED}[\\/]+)*(?:{_WORD}(?:(?: {_WORD}){{0,3}}?\.\w{{1,12}}\b)?)?"
_ROOTS = (
    r"(?<![\w.</])/+(?=[^\s/])|(?<![:/<])/{2,}(?=[^\s/])|(?<![\w.</])~[\w.-]*/|(?<!\w)[A-Za-z]:[\\/]+"
    r"|(?<![\\\w])\\\\+(?=\w)"
)
PATTERNS = (
    (re.compile(r"""(['"`])(?:/|~|file:|[A-Za-z]:[\\/]|\\\\)(?:(?!\1).)*\1"""), r"\1<path>\1"),  # quoted, to its end
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE), "<url>"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*"), "<mail>"),
    (re.compile(rf"(?:{_ROOTS}){_REST}"), "<path>"),
    (re.compile(r"\b([A-Z][A-Z0-9_]{2,})=\S+"), r"\1=<hidden>"),
    (re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"), "<address>"),
    (re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b"), "<address>"),
)
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH|USER|LOGNAME|HOSTNAME|MAIL", re.IGNORECASE)
SHORTEST = 8  # characters of an environment variable's value that is looked for, where its name tells no secret
OURS = re.compile(r"\w+_(?:NUM_THREADS|WAIT_POLICY|BLOCKTIME|SPINCOUNT)")  # what the bench sets itself
Scrub = Callable[[str], str]


def scrubber(*, environment: Mapping[str, str], hosts: Iterable[str], users: Iterable[str]) -> Scrub:
    """A function that takes these names, the values of these variables and every path, URL and address out of a text.

    Names are taken out as whole words, whatever their case.
    """
    named = [(_values(environment), "<hidden>"), (sorted(_hosts(hosts)), "<host>"), (sorted(set(users)), "<user>")]
    words = [(_any_of(each), instead) for each, instead in named if any(each)]

    def scrub(text: str) -> str:
        for pattern, instead in (*PATTERNS, *words):
            text = pattern.sub(instead, text)
        return text

    return scrub


def own_scrubber() -> Scrub:
    """For what was written on this machine by this user."""
    return scrubber(environment=os.environ, hosts=(socket.gethostname(), platform.node()), users=_users())


def scrubbed(value: Any, scrub: Scrub) -> Any:
    """JSON with every text in it scrubbed, keys too."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {scrub(str(key)): scrubbed(inner, scrub) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [scrubbed(inner, scrub) for inner in value]
    return value


def _users() -> Iterator[str]:
    for name in (getpass.getuser, lambda: Path.home().name):
        try:
            yield name()
        except (OSError, KeyError, ImportError, RuntimeError):  # a container may know no user
            continue


def _values(environment: Mapping[str, str]) -> list[str]:
    """The longest first, so that what holds another goes whole."""
    found = {
        value
        for name, value in environment.items()
        if not OURS.fullmatch(name) and len(value) >= (3 if SECRET.search(name) else SHORTEST)
    }
    return sorted(found, key=lambda value: (-len(value), value))


def _hosts(names: Iterable[str]) -> set[str]:
    """Whole names and their first parts."""
    return {part for name in names for part in (name, name.partition(".")[0]) if part}


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(filter(None, words), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)
