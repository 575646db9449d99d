"""The yaml of a YOLO set: which file it is, and its keys as text, lists and mappings."""

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from paretodet.errors import InputError, words
from paretodet.labels.builder import is_name
from paretodet.labels.image_index import with_slashes
from paretodet.labels.splits import TRAIN, VAL
from paretodet.reading import is_file, is_folder, visible_files

SPLITS = {"train": TRAIN, "val": VAL, "test": ("test", "testing")}  # a split, and the keys that name it
OTHER_KEYS = ("path", "names", "nc", "download")  # of the yaml, that name no split
SUFFIXES = (".yaml", ".yml")
USUAL = "data"  # the yaml's stem
WORDS = "|".join(("names", *(name for names in SPLITS.values() for name in names)))
KEY = re.compile(rf"\b({WORDS})[\"']?\s*:", re.IGNORECASE)
BOTH, ONE, NONE = 2, 1, 0  # of names and splits, in a yaml
PLAIN = re.compile(r"[\w./][\w./-]*")  # a text that needs no quotes
NOTHING: tuple[Any, ...] = (None, "", [], "~", "null", "Null", "NULL")  # YAML's, which is read as text here
MAX_YAML = 2**20
MAX_DEPTH = 16


def settings_file(path: Path, *, least: int = BOTH) -> Path | None:
    """The yaml itself; of a folder data.yaml, or the only one, of those that hold as much of names and splits."""
    if not path.is_dir():
        return path if path.suffix.lower() in SUFFIXES and path.is_file() else None
    listed = settings_files(path, least=least)
    named = [each for each in listed if each.stem == USUAL]
    return (named or listed)[0] if named or len(listed) == 1 else None


def settings_files(folder: Path, *, least: int = BOTH) -> list[Path]:
    """The yamls of a folder that hold so much of names and splits."""
    return [each for each in visible_files(folder, "*") if each.suffix.lower() in SUFFIXES and _held(each) >= least]


def _held(path: Path) -> int:
    """How much a yaml holds of names and splits; one that cannot be read, by the words before its colons."""
    keys = [key.lower() for key in KEY.findall(_start(path))]
    try:
        settings = flat(read_yaml(path)) if keys else {}
    except ValueError:
        settings = dict.fromkeys(keys, [])
    splits = {key.strip().lower() for key, value in settings.items() if isinstance(value, str | list)}
    known = any(not splits.isdisjoint(names) for names in SPLITS.values())
    return known + isinstance(settings.get("names"), list | dict)


def _start(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_YAML).decode("utf-8", "replace")
    except OSError:
        return ""


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping whose values are text, lists and mappings: nothing is made a number, a date or an object.

    Raises ValueError naming the file if it is too large, nested too deeply, has an alias, or is no mapping.
    """
    try:
        text = read_text(path, MAX_YAML)
        _check_events(text)
        settings = yaml.load(text, yaml.BaseLoader)  # it makes text, lists and mappings alone
    except (ValueError, yaml.YAMLError) as problem:
        raise InputError(
            f"labels: {path} cannot be read as YAML ({' '.join(words(problem).split())})", "labels-malformed"
        ) from None
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise InputError(
            f"labels: {path} is no mapping, a data set's yaml names train, val and names", "labels-malformed"
        )
    return settings


def class_names(settings: dict[str, Any], path: Path) -> tuple[str, ...]:
    """`names`, a list or a mapping from 0, 1, ... Raises ValueError naming the file."""
    names = settings.get("names")
    if isinstance(names, dict):
        numbered = {whole(number): name for number, name in names.items()}
        if numbered.keys() != set(range(len(names))):
            raise InputError(
                f"labels: {path} names: its numbers are 0 to {len(names) - 1}, each once", "labels-malformed"
            )
        names = [numbered[number] for number in range(len(names))]
    if not isinstance(names, list) or not names or not all(isinstance(each, str) and each for each in names):
        raise InputError(
            f"labels: {path} has no names, a list of the classes or a mapping from 0, 1, ...", "labels-malformed"
        )
    if bad := [each for each in names if not is_name(each)]:
        raise InputError(f"labels: {path} names: {bad[0]!r:.40} holds a control character", "labels-malformed")
    if (stated := settings.get("nc")) not in NOTHING and whole(stated) != len(names):
        raise InputError(f"labels: {path} nc: got {stated!r:.40}, names has {len(names)} classes", "labels-malformed")
    return tuple(names)


def whole(text: Any) -> int | None:
    """The whole number that the text is by its value, as 2 and 2.0 are; None if it is none."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        return None
    return int(value) if value.is_integer() else None


def flat(settings: dict[str, Any]) -> dict[str, Any]:
    """With the splits that stand in a mapping, as under `splits`, beside the other keys."""
    known = {name for names in SPLITS.values() for name in names}
    inner = [
        value
        for key, value in settings.items()
        if key not in OTHER_KEYS and isinstance(value, dict) and known & {str(name).strip().lower() for name in value}
    ]
    return settings | {key: value for each in inner for key, value in each.items() if key not in settings}


def missing_keys(settings: dict[str, Any], known: dict[str, Any], root: Path) -> dict[str, str]:
    """Key -> value of those that seem to name a split and are none: nothing is at their value, which is a place beside
    that of a split in `known`, or of the same name in another folder.
    """
    others = {key: value for key, value in flat(settings).items() if key not in OTHER_KEYS and not _is_split(key)}
    places = [_bare(each) for value in known.values() for each in _texts_of(value)]
    return {
        key: each
        for key, value in others.items()
        for each in _texts_of(value)
        if not _is_there(each, root) and any(_is_beside(_bare(each), place) for place in places)
    }


def _is_split(key: str) -> bool:
    return any(key.strip().lower() in names for names in SPLITS.values())


def _is_there(place: str, root: Path) -> bool:
    return any(is_file(path) or is_folder(path) for path in (root / place, root / _bare(place)))


def _texts_of(value: Any) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    return [with_slashes(each) for each in listed if isinstance(each, str) and each and "\0" not in each]


def _bare(place: str) -> PurePosixPath:
    """Without what some exports write before it."""
    return PurePosixPath(place.removeprefix("../"))


def _is_beside(one: PurePosixPath, other: PurePosixPath) -> bool:
    if one.suffix != other.suffix or one.suffix not in ("", ".txt") or len(one.parts) != len(other.parts):
        return False
    nested = len(one.parts) > 1
    return one.parent == other.parent and (nested or bool(one.suffix)) or nested and one.name == other.name


def quoted(text: str) -> str:
    """A text as a yaml has it, in quotes if it needs some."""
    return text if PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def read_text(path: Path, limit: int) -> str:
    """Raises InputError naming a file that is larger than `limit` bytes, cannot be read or is no text."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
        if len(content) > limit:
            raise InputError(f"{path} is larger than {limit >> 10} KiB", "label-file-unreadable")
        return content.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path} cannot be read ({problem})", "label-file-unreadable") from None


def _check_events(text: str) -> None:
    depth = 0
    for event in yaml.parse(text, yaml.BaseLoader):
        if isinstance(event, yaml.AliasEvent):
            raise InputError("it has an alias (*name), write the value out", "labels-malformed")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise InputError(f"more than {MAX_DEPTH} lists inside of each other", "labels-malformed")
