"""Class names from a file."""

from pathlib import Path

from paretodet.reading import read_bytes

MAX_BYTES = 2**20


def read_labels(path: Path | str) -> tuple[str | None, ...]:
    """One name a line, the first is label 0; an empty line is an unused slot, empty lines at the end are none.

    Raises ValueError naming the file where it cannot be read or holds no name.
    """
    try:
        lines = read_bytes(Path(path), MAX_BYTES).decode("utf-8-sig").rstrip().splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"classes: {path} cannot be read ({error})") from error
    if not lines:
        raise ValueError(f"classes: {path} holds no name, one a line is needed")
    return tuple(line.strip() or None for line in lines)
