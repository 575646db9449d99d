"""Divides a set of labeled images into splits that have about the same share of every class."""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from paretodet.errors import InputError
from paretodet.labels.convert import Converted, target_format, writable_formats, write_parts
from paretodet.labels.lint.parts import open_parts
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.model import Labels
from paretodet.labels.read import format_of
from paretodet.labels.splits import REST, TRAIN, VAL, WHOLE, usual
from paretodet.labels.target import check_new_folder

TIE = 1e-6  # of the share of images, where splits lack equally much of a class
FOLDER = "folder"  # a group is the images of one folder


def split_set(
    path: Path | str,
    *,
    out: Path | str,
    val: float = 0.2,
    test: float = 0.0,
    seed: int = 0,
    group: str | None = None,
    to: str | None = None,
    images: Path | None = None,
    copy_images: bool = False,
) -> Converted:
    """Write the set at `path` to the new folder `out` with the splits train, val and, if it has a share, test.

    `val` and `test` are shares of the images; every class has about the same share. Images of one `group` stay
    together: those whose names give the same match of this regular expression, or lie in one folder ("folder"). The
    format is the set's own if it can be written, else `to`, by default the first that can. Splits other than that for
    training stay as they are. Raises ValueError if there is a split val already, or too few images.
    """
    path, out = Path(path), Path(out)
    shares = {"train": 1 - val - test, "val": val, "test": test}
    _check_shares(val, test)
    check_new_folder(out, "out", outside=path)
    form = format_of(path)
    form.check_images(path, images)
    own = to or (form.name if form.write is not None else next(iter(writable_formats())))
    parts, unread = open_parts(path, form, images)
    if unread:
        raise InputError(f"labels: {unread[0]}", "labels-malformed")
    chosen = _divided(parts, path, with_test=test > 0)
    groups = group_of(chosen.data, group)
    places = assign(chosen.data, groups, {name: share for name, share in shares.items() if share > 0}, seed)
    made = [_part(chosen, name, places == place) for place, name in enumerate(n for n, s in shares.items() if s > 0)]
    if empty := [part.split for part in made if not len(part.data)]:
        found = f"{len(chosen.data)} images{f' in {len(set(groups.tolist()))} groups' if group else ''}"
        way = f"give it a larger share, or {'make smaller groups' if group else 'add images'}"
        raise InputError(f"{empty[0]}: {found} are too few for this split; {way}", "labels-none")
    others = [part for part in parts if part is not chosen]
    return write_parts(
        [*made, *others], form, target_format(own), path=path, out=out, images=images, copy_images=copy_images
    )


def group_of(data: Labels, pattern: str | None) -> np.ndarray:
    """[N] the number of each image's group. Raises InputError for a pattern that is none."""
    names = [data.name(index) for index in range(len(data))]
    if pattern is None:
        return np.arange(len(names))
    if pattern == FOLDER:
        keys = [str(PurePosixPath(name).parent) for name in names]
    else:
        try:
            matches = [re.search(pattern, name) for name in names]
        except re.error as error:
            raise InputError(f"group: {pattern!r:.60} is not a regular expression ({error})", "option-value") from None
        if not any(matches):
            raise InputError(f"group: {pattern!r:.60} matches no file name, such as {names[0]!r:.60}", "option-value")
        keys = [
            name if found is None else "\0".join((found[0], *map(str, found.groups()))) if not found.groups()
            else "\0".join(map(str, found.groups()))
            for name, found in zip(names, matches, strict=True)
        ]  # fmt: skip
    return np.unique(keys, return_inverse=True)[1]


def assign(data: Labels, groups: np.ndarray, shares: Mapping[str, float], seed: int) -> np.ndarray:
    """[N] the number of each image's split.

    Groups are taken one after another, those with the rarest classes and the most boxes first, each into the split that
    lacks most of the class of which the group has most (Sechidis et al. 2011, "On the Stratification of Multi-Label
    Data", for groups). A class of several groups is then brought into every split.
    """
    wanted = np.array(list(shares.values()))
    content = _content(data, groups)
    lacking = wanted[:, None] * np.ones(content.shape[1])  # [S, K + 1]
    chance = np.random.default_rng(seed)
    order = chance.permutation(len(content))
    order = order[np.argsort(-content[order].max(1), kind="stable")]
    place = np.empty(len(content), np.int64)
    for group in order.tolist():
        needs = lacking[:, content[group].argmax()]
        place[group] = int(np.argmax(needs + TIE * lacking[:, -1]))
        lacking[place[group]] -= content[group]
    _spread(content > 0, content.sum(1), place, len(wanted))
    return place[groups]


def _spread(has: np.ndarray, size: np.ndarray, place: np.ndarray, count: int) -> None:
    """Moves single groups so that every split has every class that enough groups have: the smallest that is not the
    last one of any of its classes where it is. `has` [G, K + 1] bool, `size` [G], `place` [G] is changed.
    """
    for label in np.argsort(has.sum(0), kind="stable").tolist():
        for split in range(count):
            if has[place == split, label].any():
                continue
            counts = np.stack([has[place == each].sum(0) for each in range(count)])
            spare = np.where(has, counts[place], len(has)).min(1) > 1
            movable = np.flatnonzero(has[:, label] & spare)
            if len(movable):
                place[movable[size[movable].argmin()]] = split


def _content(data: Labels, groups: np.ndarray) -> np.ndarray:
    """[G, K + 1] the shares of each class's boxes, and of the images, that each group has."""
    classes, count = len(data.labels), int(groups.max()) + 1
    pairs = groups[data.owners] * classes + data.classes
    boxes = np.bincount(pairs, minlength=count * classes).reshape(count, classes).astype(np.float64)
    counts = np.hstack([boxes, np.bincount(groups, minlength=count)[:, None]])
    return counts / np.maximum(counts.sum(0), 1)


def _part(part: LabeledSplit, name: str, kept: np.ndarray) -> LabeledSplit:
    return replace(part, split=name, data=part.data.select(kept))


def _check_shares(val: float, test: float) -> None:
    if not (0 < val < 1 and 0 <= test < 1 and val + test < 1):
        raise InputError(
            f"val, test: got {val:g} and {test:g}; they are shares: val above 0, and both together below 1",
            "option-range",
        )


def _divided(parts: list[LabeledSplit], path: Path, *, with_test: bool) -> LabeledSplit:
    """The part that is divided. Raises InputError if there is none."""
    if len(parts) == 1:
        return parts[0]
    names = {usual(part.split): part for part in parts}
    if known := [name for name in names if name in VAL or with_test and name == "test"]:
        raise InputError(f"data: {path} has the split {known[0]} already: use it", "option-conflict")
    for usuals in (TRAIN, ("trainval", WHOLE, REST)):
        if len(found := [names[name] for name in names if name in usuals]) == 1:
            return found[0]
    raise InputError(f"data: {path} has the splits {', '.join(names)}, and none is named train", "split-unnamed")
