"""Which laws a candidate breaks, in sentences: what the bench takes for granted of whatever it measures; and whether a
name means a candidate or labeled images, which `data.doctor` examines."""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from paretodet.bench.candidate import Image, ModelInfo, Staged, Stated
from paretodet.bench.contract import BackgroundWork, ContractError, Outputs, check_settled
from paretodet.types import Detections

CLOSE = 1e-3  # of scores: what another batch or another call may change
CALLS = 3  # after which the process must come to rest
LABELS = (".json", ".yaml", ".yml")  # files that hold labels, no candidate


@dataclass(frozen=True, kw_only=True)
class ContractCheck:
    """A law and how it is broken; `broken` is None where it holds."""

    law: str
    broken: str | None = None


def means_data(name: str) -> bool:
    """Whether `name` is a path of labeled images, there or not, and no candidate's: a folder, or a file of labels."""
    path = Path(name)
    folder = path.is_dir() or (os.sep in name and ":" not in name and not path.suffix)
    return folder or path.suffix.lower() in LABELS


def told(finding: ContractCheck) -> str:
    """The finding as a line."""
    return f"ok      {finding.law}" if finding.broken is None else f"broken  {finding.law} But {finding.broken}."


class _Broken(Exception):
    """The sentence that says how."""


class _Visit:
    """One candidate and the images it is tried on: two of one size, one of another."""

    def __init__(self, candidate: Any, images: Sequence[Image]) -> None:
        self.candidate = candidate
        first = images[0]
        self.image, self.twin = first, np.ascontiguousarray(first[::-1])
        self.other = np.ascontiguousarray(images[-1][: max(1, first.shape[0] // 2), : max(1, 2 * first.shape[1] // 3)])

    @cached_property
    def found(self) -> Detections:
        return self.detect(self.image)

    @cached_property
    def facts(self) -> ModelInfo:
        return _step("facts", self.candidate.facts) if isinstance(self.candidate, Stated) else ModelInfo()

    def detect(self, *images: Image) -> Detections:
        sizes = torch.tensor([image.shape[:2] for image in images], dtype=torch.float32)
        batch = _step("prepare", self.candidate.prepare, [image.copy() for image in images])
        outputs = _step("infer", self.candidate.infer, batch)
        detections = _step("finish", self.candidate.finish, outputs, sizes)
        Outputs(len(images)).check(detections)
        return detections


def examine(candidate: Any, images: Sequence[Image]) -> Iterator[ContractCheck]:
    """One finding a law, in order, as soon as it is known; none after a broken one that the rest depends on."""
    visit = _Visit(candidate, images)
    for law, test in LAWS:
        try:
            test(visit)
            yield ContractCheck(law=law)
        except (_Broken, ContractError) as broken:
            yield ContractCheck(law=law, broken=str(broken))
            if test in (_complete, _form):
                return


def _complete(visit: _Visit) -> None:
    lacking = [part for part in ("name", "prepare", "infer", "finish") if not hasattr(visit.candidate, part)]
    if lacking:
        raise _Broken(f"{type(visit.candidate).__name__} has no {' and no '.join(lacking)}")
    if not isinstance(visit.candidate.name, str) or not visit.candidate.name:
        raise _Broken(f"its name is {visit.candidate.name!r}, not a text")


def _images_stay(visit: _Visit) -> None:
    given = visit.image.copy()
    _step("prepare", visit.candidate.prepare, [given])
    if not np.array_equal(given, visit.image):
        raise _Broken("prepare changed the pixels of an image it was given")


def _form(visit: _Visit) -> None:
    wanted = (torch.float32, torch.float32, torch.int64)
    for name, dtype in zip(Detections._fields, wanted, strict=False):
        if (got := getattr(visit.found, name).dtype) != dtype:
            raise _Broken(f"{name} is {got}, it must be {dtype}")


def _scores(visit: _Visit) -> None:
    scores = visit.found.scores
    if not scores.isfinite().all() or scores.min() < 0 or scores.max() > 1:
        raise _Broken(f"scores reach from {scores.min():g} to {scores.max():g}, they must be in 0..1")
    if (scores.diff(dim=1) > 0).any():
        raise _Broken("scores are not sorted from high to low")


def _boxes(visit: _Visit) -> None:
    height, width = visit.image.shape[:2]
    boxes = visit.found.boxes[visit.found.scores > 0]
    if not boxes.isfinite().all():
        raise _Broken("a box is not finite")
    if (boxes[:, :2] > boxes[:, 2:]).any():
        raise _Broken("a box has its right or lower edge before its left or upper one: boxes are x1, y1, x2, y2")
    outside = boxes.new_tensor([width, height, width, height]) + 0.5
    if (boxes < -0.5).any() or (boxes > outside).any():
        raise _Broken(
            f"a box reaches out of the {width}x{height} image, to {[round(v, 1) for v in _extent(boxes)]}: "
            "finish must return pixels of the original image"
        )


def _labels(visit: _Visit) -> None:
    labels = visit.found.labels[visit.found.scores > 0]
    classes = visit.facts.classes
    if len(labels) and (labels.min() < 0 or (classes is not None and labels.max() >= classes)):
        allowed = "0 or more" if classes is None else f"0..{classes - 1}"
        raise _Broken(f"labels reach from {labels.min()} to {labels.max()}, they must be {allowed}")


def _one_shape(visit: _Visit) -> None:
    other = visit.detect(visit.other)
    if other.scores.shape != visit.found.scores.shape:
        raise _Broken(
            f"an image of another size gives {other.scores.shape[1]} slots in place of {visit.found.scores.shape[1]}: "
            "the capacity must be fixed, a score of 0 marks an empty slot"
        )


def _repeats(visit: _Visit) -> None:
    _same("the same image a second time", visit.found.scores, visit.detect(visit.image).scores)


def _batches(visit: _Visit) -> None:
    both = visit.detect(visit.image, visit.twin)
    _same("an image beside another in a batch", visit.found.scores[0], both.scores[0])
    _same("an image after another in a batch", visit.detect(visit.twin).scores[0], both.scores[1])


def _rests(visit: _Visit) -> None:
    check_settled([BackgroundWork(visit.detect(visit.image)).settle(0.0) for _ in range(CALLS)], 1.0)


def _composes(visit: _Visit) -> None:
    candidate = visit.candidate
    stages = _step("stages", candidate.stages) if isinstance(candidate, Staged) else ()
    if not stages:
        return
    sizes = torch.tensor([visit.image.shape[:2]], dtype=torch.float32)
    value = visit.candidate.prepare([visit.image.copy()])
    for name, stage in stages:
        value = _step(f"stage {name}", stage, value)
    found = _step("finish", visit.candidate.finish, value, sizes)
    _same("the stages one after another", visit.found.scores, found.scores)


def _states(visit: _Visit) -> None:
    facts = visit.facts
    for name in ("height", "width", "proposals", "classes", "parameters", "macs"):
        number = getattr(facts, name)
        if number is not None and number < 1:
            raise _Broken(f"it states {name} = {number}; None is for what is unknown")
    if facts.load not in ("capacity", "data"):
        raise _Broken(f"it states load = {facts.load!r}, it must be 'capacity' or 'data'")


LAWS: tuple[tuple[str, Callable[[_Visit], None]], ...] = (
    ("It has a name, prepare, infer and finish.", _complete),
    ("It leaves the images as they are.", _images_stay),
    ("It returns Detections in host memory: boxes and scores float32, labels int64.", _form),
    ("Scores are in 0..1, sorted from high to low.", _scores),
    ("Boxes are x1, y1, x2, y2 inside the original image.", _boxes),
    ("Labels count from 0.", _labels),
    ("The number of slots is the same for every image.", _one_shape),
    ("The same image gives the same detections.", _repeats),
    ("A batch of two is two of one.", _batches),
    ("Its work is done when finish returns.", _rests),
    ("Its stages, if it has any, compose to infer.", _composes),
    ("What it states of itself is possible.", _states),
)


def _step(name: str, function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except Exception as error:
        raise _Broken(f"{name} raised {type(error).__name__}: {error}") from error


def _same(what: str, first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise _Broken(f"{what} gives {list(second.shape)} scores in place of {list(first.shape)}")
    if first.numel() and (gap := float((first - second).abs().max())) > CLOSE:
        raise _Broken(f"{what} gives scores that differ by {gap:.3g}")


def _extent(boxes: Tensor) -> list[float]:
    return [*boxes[:, :2].amin(0).tolist(), *boxes[:, 2:].amax(0).tolist()]
