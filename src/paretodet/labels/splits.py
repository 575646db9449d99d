"""What the parts of a data set are called."""

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from paretodet.errors import ErrorId, InputError

TRAIN, VAL, TEST = ("train", "training"), ("val", "valid", "validation"), ("test",)  # in exports, with a year or not
HELD_OUT = (*VAL, "dev", *TEST)  # not trained on
PARTS = (*TRAIN, *HELD_OUT)
SAME = (TRAIN, VAL, TEST)  # names of one split
WHOLE = "all"  # the only part of a set that has none
REST = "rest"  # images that no other part has, and that training takes all the same


def usual(name: str) -> str:
    """Without its year, in small letters: CVAT and folders of Windows have Train."""
    return re.sub(r"\d+$", "", name).lower()


def canonical(name: str) -> str:
    """The same for all names of one split: with its year, in small letters, and for val, valid and validation val."""
    year = name[len(name.rstrip("0123456789")) :]
    return next((names[0] for names in SAME if usual(name) in names), usual(name)) + year


def is_usual(name: str) -> bool:
    """Whether it is what a split is usually called."""
    return usual(name) in PARTS


def words_of(stem: str) -> list[str]:
    """Of a file's name."""
    return [word for word in re.split(r"[-_. ]+", stem) if word]


def split_of_file(file: Path, stem: str) -> str:
    """What a file of labels is called as a split: `stem`, which its name says, unless its folder alone is named so."""
    return file.parent.name if is_usual(file.parent.name) and not is_usual(stem) else stem


def distinct(names: Iterable[str], files: Iterable[Path], base: Path) -> dict[str, Path]:
    """Split -> file. Files that would be one split have the names of their own, and, if these are equal too, the path
    from `base` to them.
    """
    pairs = list(zip(names, files, strict=True))
    for own in (lambda file: file.stem, lambda file: "-".join(file.relative_to(base).with_suffix("").parts)):
        times = Counter(name for name, _ in pairs)
        pairs = [(name if times[name] == 1 else own(file), file) for name, file in pairs]
    return dict(pairs)


def named(split: str | None, known: Iterable[str]) -> str | None:
    """The split itself, or, if it is none of `known`, the only one of these that is another usual name for it."""
    names = list(known)
    if split is None or split in names:
        return split
    alike = [name for name in names if any({split.lower(), usual(name)} <= set(usuals) for usuals in SAME)]
    return alike[0] if len(alike) == 1 else split


def learned(names: Iterable[str]) -> bool:
    """Whether one of the splits is what training takes by default."""
    return any(usual(name) in TRAIN for name in names)


def chosen_file(files: dict[str, Path], split: str | None, path: Path) -> Path:
    """The file of a split, whose year may be left out; the only one if no split is named. Raises ValueError."""
    years = [name for name in files if split and name.rstrip("0123456789") == split]
    other = named(split, files)
    names = [other] if other in files else years if split else list(files)
    if len(names) == 1 and names[0] is not None:
        return files[names[0]]
    got = "several files and no split named" if split is None else f"split: got {split!r:.80}"
    id: ErrorId = "split-unnamed" if split is None else "split-unknown"
    raise InputError(f"labels: {path}: {got}, it has {', '.join(files)}: name one of them as the split", id)
