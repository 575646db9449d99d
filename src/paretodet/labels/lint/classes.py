"""Checks of the classes, within a part and between parts."""

from collections.abc import Iterator

import numpy as np

from paretodet.labels.class_names import plain
from paretodet.labels.lint.check import check
from paretodet.labels.lint.finding import Place
from paretodet.labels.lint.subject import LabeledSplit, Subject

RARER = 100.0  # times rarer than the commonest class
FEW = 10  # boxes of a class


@check("classes-differ", "fault", "Give all splits the same categories: a label must mean one thing.")
def differ(subject: Subject) -> Iterator[Place]:
    first = subject.parts[0]
    for part in subject.parts[1:]:
        mine, theirs = (list(zip(each.data.category_ids, each.data.labels, strict=True)) for each in (part, first))
        if mine != theirs:
            lone = [each for each in (*mine, *theirs) if each not in mine or each not in theirs]
            other = [*lone, *theirs][0]
            yield Place(part.file, "", f"{part.split} has other categories than {first.split}, as {other[1]!r}")


@check("class-names-alike", "warning", "Make them one class, or give them names that differ.")
def alike(subject: Subject) -> Iterator[Place]:
    for part in subject.parts[:1]:
        firsts = dict[str, str]()
        for name in part.data.labels:
            same = plain(name)
            if same in firsts:
                yield Place(part.file, "", f"{name!r} and {firsts[same]!r} are two classes")
            firsts.setdefault(same, name)


@check("class-unused", "note", "Remove the class, or label its objects.")
def unused(subject: Subject) -> Iterator[Place]:
    counts = _counts(subject)
    for name in np.flatnonzero(counts == 0).tolist():
        yield _of_class(subject, name, "has no box")


@check(
    "class-few",
    "note",
    f"Label more of it: of fewer than {FEW} boxes little is learned, and an accuracy on them is uncertain.",
)
def few(subject: Subject) -> Iterator[Place]:
    counts = _counts(subject)
    for name in np.flatnonzero((counts > 0) & (counts < FEW)).tolist():
        yield _of_class(subject, name, f"has {counts[name]} {'box' if counts[name] == 1 else 'boxes'}")


@check("class-imbalance", "warning", "Label more objects of the rare class, or expect a low AP for it.")
def imbalance(subject: Subject) -> Iterator[Place]:
    counts = _counts(subject)
    most = int(counts.argmax())
    for name in np.flatnonzero((counts > 0) & (counts * RARER < counts[most])).tolist():
        text = f"has {counts[name]} boxes, {subject.parts[0].data.labels[most]!r} has {counts[most]}"
        yield _of_class(subject, name, text)


@check("class-missing-in-split", "warning", "Divide the images so that every split has boxes of every class.")
def missing(subject: Subject) -> Iterator[Place]:
    every = _counts(subject) > 0
    for part in subject.parts if len(subject.parts) > 1 else ():
        for name in np.flatnonzero(every & (_of(part, len(every)) == 0)).tolist():
            yield Place(part.file, "", f"{part.split} has no box of {subject.parts[0].data.labels[name]!r}")


@check("category-ids", "note", "Nothing to do: classes are numbered from 0 here, and results get the ids back.")
def ids(subject: Subject) -> Iterator[Place]:
    for part in subject.parts:
        keys = part.data.category_ids
        if keys != tuple(range(len(keys))):
            yield Place(part.file, "", f"{part.split}: ids {min(keys)} to {max(keys)} of {len(keys)} categories")


def _of(part: LabeledSplit, classes: int) -> np.ndarray:
    """[K] boxes of each class; of what is beyond, none is counted."""
    return np.bincount(part.data.classes, minlength=classes)[:classes]


def _counts(subject: Subject) -> np.ndarray:
    """[K] boxes of each class of the first part."""
    classes = len(subject.parts[0].data.labels)
    return np.sum([_of(part, classes) for part in subject.parts], 0)


def _of_class(subject: Subject, name: int, text: str) -> Place:
    return Place(subject.parts[0].file, "", f"{subject.parts[0].data.labels[name]!r} {text}")


CHECKS = (differ, alike, unused, few, imbalance, missing, ids)
