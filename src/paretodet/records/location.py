"""Where rows are: the path of an SQLite file, the path of a file of JSON lines, or the URL of a database."""

import re
from pathlib import Path

LINES = ".jsonl"
_PASSWORD = re.compile(
    r"(?<=://)([^\s/?#@:]*):[^\s/?#]*@|([?&]password)=[^\s&#'\"]*"
)  # before the host, or as a parameter


def is_url(target: str | Path) -> bool:
    """Whether it is an SQLAlchemy URL."""
    return "://" in str(target)


def is_lines(target: str | Path) -> bool:
    """Whether it is a file of JSON lines."""
    return not is_url(target) and str(target).endswith(LINES)


def without_password(target: str | Path) -> str:
    """A text for messages, in which a password in a URL becomes `***`."""
    return _PASSWORD.sub(lambda found: f"{found[2]}=***" if found[2] else f"{found[1]}:***@", str(target))
