"""Class names from a file."""

from pathlib import Path


def read_labels(path: Path | str) -> tuple[str | None, ...]:
    """One name a line, the first is label 0; an empty line is an unused slot, empty lines at the end are none.

    Raises ValueError naming the file where it cannot be read or holds no name.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"classes: {path} cannot be read ({error})") from error
    if not lines:
        raise ValueError(f"classes: {path} holds no name, one a line is needed")
    return tuple(line.strip() or None for line in lines)
