"""Removes personal data from text and JSON: host and user names, paths, addresses, values of the environment."""

import getpass
import os
import platform
import re
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_WORD = r"[^\s/\\'\"<>|~]+"
_SPACED = rf"{_WORD}(?: {_WORD}){{0,3}}"  # the name of a folder may have spaces: up to four words
_REST = rf"(?:{_SPACED}[\\/]+)*(?:{_WORD}(?:(?: {_WORD}){{0,3}}?\.\w{{1,12}}\b)?)?"
_ROOTS = (
    r"(?<![\w.</])/+(?=[^\s/])|(?<![:/<])/{2,}(?=[^\s/])|(?<![\w.</])~[\w.-]*/|(?<!\w)[A-Za-z]:[\\/]+"
    r"|(?<![\\\w])\\\\+(?=\w)"
)
PATTERNS = (
    (
        re.compile(r"""(['"`])(?:/|~|file:|[A-Za-z]:[\\/]|\\\\)(?:(?!\1).)*\1"""),
        r"\1<path>\1",
    ),  # a quoted path, to the closing quote
    (re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s'\"<>]+", re.IGNORECASE), "<url>"),
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*"), "<mail>"),
    (re.compile(rf"(?:{_ROOTS}){_REST}"), "<path>"),
    (re.compile(r"\b([A-Z][A-Z0-9_]{2,})=\S+"), r"\1=<hidden>"),
    (re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.])"), "<address>"),
    (re.compile(r"\b(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}\b"), "<address>"),
    (re.compile(r"(% of a core, mostly )[\w.+-]+"), r"\1<program>"),
)
SECRET = re.compile(r"TOKEN|KEY|SECRET|PASS|CREDENTIAL|AUTH|USER|LOGNAME|HOSTNAME|MAIL", re.IGNORECASE)
MIN_LENGTH = 8  # characters of an environment variable's value that is removed, unless its name is in SECRET
OURS = re.compile(r"\w+_(?:NUM_THREADS|WAIT_POLICY|BLOCKTIME|SPINCOUNT)")  # what the bench sets itself
Scrub = Callable[[str], str]


def scrubber(*, environment: Mapping[str, str], hosts: Iterable[str], users: Iterable[str]) -> Scrub:
    """A function that removes these names, these variables' values and all paths, URLs and addresses from a text.

    Names are removed as whole words, in upper or lower case.
    """
    named = [(_values(environment), "<hidden>"), (sorted(_hosts(hosts)), "<host>"), (sorted(set(users)), "<user>")]
    words = [(_any_of(names), replacement) for names, replacement in named if any(names)]

    def scrub(text: str) -> str:
        for pattern, replacement in (*PATTERNS, *words):
            text = pattern.sub(replacement, text)
        return text

    return scrub


def own_scrubber() -> Scrub:
    """The scrubber for this machine, this user and this environment."""
    return scrubber(environment=os.environ, hosts=(socket.gethostname(), platform.node()), users=_users())


def scrubbed(value: Any, scrub: Scrub) -> Any:
    """JSON with all its texts scrubbed, keys included."""
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
        except (OSError, KeyError, ImportError, RuntimeError):  # a container may have no user name
            continue


def _values(environment: Mapping[str, str]) -> list[str]:
    """The values to remove, the longest first, so that a value inside a longer one does not split it."""
    values = {
        value
        for name, value in environment.items()
        if not OURS.fullmatch(name) and len(value) >= (3 if SECRET.search(name) else MIN_LENGTH)
    }
    return sorted(values, key=lambda value: (-len(value), value))


def _hosts(names: Iterable[str]) -> set[str]:
    """Full names and their first labels."""
    return {part for name in names for part in (name, name.partition(".")[0]) if part}


def _any_of(words: Iterable[str]) -> re.Pattern[str]:
    by_length = sorted(filter(None, words), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, by_length))})(?!\w)", re.IGNORECASE)
