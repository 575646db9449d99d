"""Class names from a file."""

import re
from pathlib import Path

from paretodet.errors import InputError, words
from paretodet.labels.builder import is_name
from paretodet.reading import read_bytes

MAX_BYTES = 2**20


def read_class_names(path: Path | str) -> tuple[str | None, ...]:
    """One name a line, the first is label 0; an empty line is an unused slot, empty lines at the end are ignored.

    Raises ValueError naming the file if it cannot be read or holds no name.
    """
    try:
        lines = read_bytes(Path(path), MAX_BYTES).decode("utf-8-sig").rstrip().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"classes: {path} cannot be read ({words(error)})", "labels-malformed") from error
    if not lines:
        raise InputError(f"classes: {path} holds no name, one a line is needed", "labels-malformed")
    names = tuple(line.strip() or None for line in lines)
    for number, name in enumerate(names, 1):
        if name and not is_name(name):
            raise InputError(f"classes: {path}:{number}: {name!r:.40} holds a control character", "labels-malformed")
    return names


def plain(name: str) -> str:
    """The same for names that differ in capitals, spaces and dashes alone."""
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()
