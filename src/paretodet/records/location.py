"""Where rows are: the path of an SQLite file, the path of a file of JSON lines, or the URL of a database."""

import re
from pathlib import Path

from paretodet.errors import InputError

LINES = ".jsonl"
# Before the host, or as a parameter. As SQLAlchemy reads it, a password is all between the colon behind the user and an
# "@", also "/", "?" and "#". More may be hidden than the password, never less: which "@" is meant is not known.
_OF_URL = re.compile(r"(?<=://)([^:/]*):.*@|([?&](?:ssl)?password)=[^&]*", re.DOTALL)
_IN_TEXT = re.compile(r"(?<=://)([^\s:/]*):\S*@|([?&](?:ssl)?password)=\S*?(?=['\"]?(?:[\s&]|$))")


def is_url(target: str | Path) -> bool:
    """Whether it is an SQLAlchemy URL."""
    return "://" in str(target)


def is_lines(target: str | Path) -> bool:
    """Whether it is a file of JSON lines."""
    return not is_url(target) and str(target).endswith(LINES)


def check_database(target: str | Path) -> None:
    """Raises InputError for a file of JSON lines, to which no row can be added."""
    if is_lines(target):
        raise InputError(
            f"store: by its name, {target} is a file of JSON lines, which can only be read, by `paretodet.read_rows`; "
            f"give a .db file or a database URL (`paretodet store copy {target} STORE` copies its rows to one; rename "
            "the file if it is an SQLite database)",
            "store-format",
        )


def without_password(target: str | Path) -> str:
    """A text for messages, in which a password in a URL becomes `***`."""
    return _OF_URL.sub(_hidden, str(target))


def without_passwords(text: str) -> str:
    """A text in which the password in every URL becomes `***`; there, a URL ends at a space."""
    return _IN_TEXT.sub(_hidden, text)


def _hidden(found: re.Match[str]) -> str:
    return f"{found[2]}=***" if found[2] else f"{found[1]}:***@"
