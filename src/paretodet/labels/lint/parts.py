"""The splits of a data set, to be examined."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from paretodet.errors import words
from paretodet.labels.format import Format
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit
from paretodet.labels.model import Labels
from paretodet.labels.splits import REST, WHOLE


def open_parts(path: Path, form: Format, images: Path | None = None) -> tuple[list[LabeledSplit], list[Place]]:
    """The splits that share no image, and those that cannot be read; `images` is the images' folder, if it is not near
    the labels.

    Raises ValueError, as `read_labels` does, if none can be read.
    """
    parts, unread, problem = list[LabeledSplit](), list[Place](), None
    names: list[str | None] = [*(form.parts or form.splits)(path)] or [None]
    for split in names:
        try:
            parts.append(_part(path, form, split, images))
        except ValueError as error:
            problem = error
            unread.append(Place(path, split or "", words(error).removeprefix("labels: ")))
    if problem and not parts:
        raise problem
    rest = form.rest(path, [part.split for part in parts if part.split in names])
    if form.loose and None not in names and not unread:
        rest = _of_no_split(form.read(path, images=images), parts)
    if rest is not None:
        file = form.file(path, None)
        parts.append(LabeledSplit(split=REST, file=file, data=rest, where=form.where(file)))
    return parts, unread


def _of_no_split(whole: Labels, parts: Sequence[LabeledSplit]) -> Labels | None:
    """The images that no split has, with what was left out of them; None if there are none."""
    kept = ~np.isin(whole.keys, np.concatenate([part.data.keys for part in parts]))
    known = {each for part in parts for each in part.data.skipped}
    counts = Counter(whole.skip_counts)
    for part in parts:
        counts.subtract(part.data.skip_counts)
    skipped = tuple(each for each in whole.skipped if each not in known)
    return replace(whole.select(kept), skipped=skipped, skip_counts=dict(+counts)) if kept.any() else None


def _part(path: Path, form: Format, split: str | None, images: Path | None) -> LabeledSplit:
    data = form.read(path, split=split, images=images)
    file = form.file(path, split)
    name = split or (file.stem.removeprefix("instances_") if form.single_files else WHOLE)
    return LabeledSplit(split=name, file=file, data=data, where=form.where(file))
