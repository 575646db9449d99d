"""Checks the contract of a candidate, rule by rule, and labeled images through `labels.lint`.

The contract is what the bench relies on when it measures a candidate.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from paretodet.bench.candidate import Candidate, Image, ModelInfo, Staged, Stated
from paretodet.bench.contract import ContractError, OutputCheck, PostCallCheck, check_idle_after_calls
from paretodet.bench.synthetic_images import draw_images
from paretodet.config import is_bundle
from paretodet.errors import words
from paretodet.labels.formats import SUFFIXES
from paretodet.labels.lint.examine import Examination, examine
from paretodet.labels.unread import SUFFIXES as UNREAD
from paretodet.labels.xml_stream import root_of
from paretodet.readings.openvino_graph import ROOT
from paretodet.sources.hub_config import CONFIG
from paretodet.types import Detections

CLOSE = 1e-3  # maximum difference of a score in another batch or another call
TINY = 2.0  # px: no detector finds only boxes that are smaller
CALLS = 3  # after which no thread of the process may be working


@dataclass(frozen=True, kw_only=True)
class ContractCheck:
    """A rule of the contract, and how the candidate breaks it; None if it keeps it."""

    rule: str
    broken: str | None = None


@overload
def doctor(subject: Candidate, *, images: Sequence[Image] = ()) -> list[ContractCheck]: ...


@overload
def doctor(subject: Path | str, *, image_root: Path | None = None, quick: bool = False) -> Examination: ...


def doctor(
    subject: Candidate | Path | str,
    *,
    images: Sequence[Image] = (),
    image_root: Path | None = None,
    quick: bool = False,
) -> list[ContractCheck] | Examination:
    """What is wrong with a candidate, or with the labeled images at a path.

    A candidate is run on `images`, by default on synthetic ones, and each rule of its contract is checked. Of a path,
    `image_root` is the folder that the file names in a COCO file start from, and `quick` skips decoding the images.
    Raises ValueError if the labels cannot be read.

    >>> import paretodet
    >>> examination = paretodet.doctor("labels.json")
    >>> [finding.check for finding in examination.findings if finding.level == "fault"]
    []
    >>> candidate = paretodet.open("ssd-mobilenet_v1-300")
    >>> [check.rule for check in paretodet.doctor(candidate) if check.broken]
    []
    """
    if isinstance(subject, str | Path):
        return examine(subject, images=image_root, decode=not quick)
    return list(check_contract(subject, images or draw_images(seed=0, count=2)))


def means_data(name: str) -> bool:
    """Whether `name` is a path of labeled images, existing or not, and not the name of a candidate: a folder that is
    no bundle, or a file of labels.
    """
    path = Path(name)
    if is_bundle(name):
        return False
    if path.suffix == ".xml" and root_of(path) == ROOT:
        return False  # a model of OpenVINO
    if path.name == CONFIG:
        return False  # of transformers
    folder = path.is_dir() or (os.sep in name and ":" not in name and not path.suffix)
    return folder or path.suffix.lower() in SUFFIXES | UNREAD


def check_line(check: ContractCheck) -> str:
    """The result of a check as one line."""
    return f"ok      {check.rule}" if check.broken is None else f"broken  {check.rule} But {check.broken}."


class _Broken(Exception):
    """A rule is broken; the message says how."""


class _Trial:
    """A candidate and the images it is run on: two of one size and one of another."""

    def __init__(self, candidate: Any, images: Sequence[Image]) -> None:
        self.candidate = candidate
        first = images[0]
        self.image, self.twin = first, np.ascontiguousarray(first[::-1])
        self.other = np.ascontiguousarray(images[-1][: max(1, first.shape[0] // 2), : max(1, 2 * first.shape[1] // 3)])

    @cached_property
    def detections(self) -> Detections:
        return self.detect(self.image)

    @cached_property
    def info(self) -> ModelInfo:
        return _step("facts", self.candidate.facts) if isinstance(self.candidate, Stated) else ModelInfo()

    def detect(self, *images: Image) -> Detections:
        sizes = torch.tensor([image.shape[:2] for image in images], dtype=torch.float32)
        batch = _step("prepare", self.candidate.prepare, [image.copy() for image in images])
        outputs = _step("infer", self.candidate.infer, batch)
        detections = _step("finish", self.candidate.finish, outputs, sizes)
        OutputCheck(len(images)).check(detections)
        return detections


def check_contract(candidate: Any, images: Sequence[Image]) -> Iterator[ContractCheck]:
    """Each rule of the contract in order, as soon as it is checked. Ends at a broken rule that the others depend on."""
    trial = _Trial(candidate, images)
    for rule, test in RULES:
        broken = _how_broken(test, trial)
        yield ContractCheck(rule=rule, broken=broken)
        if broken is not None and test in (_complete, _form):
            return


def _how_broken(test: Callable[[_Trial], None], trial: _Trial) -> str | None:
    try:
        test(trial)
    except (_Broken, ContractError) as broken:
        return words(broken)
    except Exception as error:  # what the candidate returned is not of the form that the test reads
        return f"what it returned caused {type(error).__name__}: {words(error)}"
    return None


def _complete(trial: _Trial) -> None:
    missing = [part for part in ("name", "prepare", "infer", "finish") if not hasattr(trial.candidate, part)]
    if missing:
        raise _Broken(f"{type(trial.candidate).__name__} has no {' and no '.join(missing)}")
    if not isinstance(trial.candidate.name, str) or not trial.candidate.name:
        raise _Broken(f"its name is {trial.candidate.name!r}, it must be a non-empty string")


def _images_stay(trial: _Trial) -> None:
    given = trial.image.copy()
    _step("prepare", trial.candidate.prepare, [given])
    if not np.array_equal(given, trial.image):
        raise _Broken("prepare changed the pixels of its input image")


def _form(trial: _Trial) -> None:
    wanted = (torch.float32, torch.float32, torch.int64)
    for name, dtype in zip(Detections._fields, wanted, strict=False):
        if (got := getattr(trial.detections, name).dtype) != dtype:
            raise _Broken(f"{name} is {got}, it must be {dtype}")


def _scores(trial: _Trial) -> None:
    scores = trial.detections.scores
    if scores.numel() and not (scores.isfinite().all() and scores.min() >= 0 and scores.max() <= 1):
        raise _Broken(f"scores range from {scores.min():g} to {scores.max():g}, they must be in 0..1")
    if (scores.diff(dim=1) > 0).any():
        raise _Broken("scores are not sorted from high to low")


def _boxes(trial: _Trial) -> None:
    height, width = trial.image.shape[:2]
    boxes = trial.detections.boxes[trial.detections.scores > 0]
    if not boxes.isfinite().all():
        raise _Broken("a box is not finite")
    if (boxes[:, :2] > boxes[:, 2:]).any():
        raise _Broken("a box has x2 < x1 or y2 < y1: boxes are x1, y1, x2, y2")
    if len(boxes) and min(height, width) > 2 * TINY and float((boxes[:, 2:] - boxes[:, :2]).max()) <= TINY:
        raise _Broken(f"no box is larger than {TINY:g} px: finish must return pixels of the image, not fractions")
    outside = boxes.new_tensor([width, height, width, height]) + 0.5
    if (boxes < -0.5).any() or (boxes > outside).any():
        raise _Broken(
            f"boxes extend to {[round(v, 1) for v in _extent(boxes)]}, outside of the {width}x{height} image: "
            "finish must return pixels of the original image"
        )


def _labels(trial: _Trial) -> None:
    labels = trial.detections.labels[trial.detections.scores > 0]
    classes = trial.info.classes
    if len(labels) and (labels.min() < 0 or (classes is not None and labels.max() >= classes)):
        allowed = "0 or more" if classes is None else f"0..{classes - 1}"
        raise _Broken(f"labels range from {labels.min()} to {labels.max()}, they must be {allowed}")


def _one_shape(trial: _Trial) -> None:
    other = trial.detect(trial.other)
    if other.scores.shape != trial.detections.scores.shape:
        raise _Broken(
            f"an image of another size gives {other.scores.shape[1]} slots, not {trial.detections.scores.shape[1]}: "
            "the capacity must be fixed; score 0 marks an empty slot"
        )


def _repeats(trial: _Trial) -> None:
    _same("the same image a second time", trial.detections.scores, trial.detect(trial.image).scores)


def _batches(trial: _Trial) -> None:
    both = trial.detect(trial.image, trial.twin)
    _same("an image beside another in a batch", trial.detections.scores[0], both.scores[0])
    _same("an image after another in a batch", trial.detect(trial.twin).scores[0], both.scores[1])


def _rests(trial: _Trial) -> None:
    check_idle_after_calls([PostCallCheck(trial.detect(trial.image)).wait(0.0) for _ in range(CALLS)], 1.0)


def _composes(trial: _Trial) -> None:
    candidate = trial.candidate
    stages = _step("stages", candidate.stages) if isinstance(candidate, Staged) else ()
    if not stages:
        return
    sizes = torch.tensor([trial.image.shape[:2]], dtype=torch.float32)
    value = trial.candidate.prepare([trial.image.copy()])
    for name, stage in stages:
        value = _step(f"stage {name}", stage, value)
    found = _step("finish", trial.candidate.finish, value, sizes)
    _same("the stages one after another", trial.detections.scores, found.scores)


def _valid_info(trial: _Trial) -> None:
    info = trial.info
    for name in ("height", "width", "proposals", "classes", "parameters", "macs"):
        number = getattr(info, name)
        if number is not None and number < 1:
            raise _Broken(f"facts has {name} = {number}; use None if it is unknown")
    if info.load not in ("capacity", "data"):
        raise _Broken(f"facts has load = {info.load!r}, it must be 'capacity' or 'data'")


def _meaning(trial: _Trial) -> None:
    if doubt := getattr(trial.candidate, "doubt", ""):
        raise _Broken(f"its file leaves something open: it {doubt}; check the boxes that `inspect` draws")


RULES: tuple[tuple[str, Callable[[_Trial], None]], ...] = (
    ("It has a name, prepare, infer and finish.", _complete),
    ("It does not change its input images.", _images_stay),
    ("It returns Detections in host memory: boxes and scores float32, labels int64.", _form),
    ("Scores are in 0..1, sorted from high to low.", _scores),
    ("Boxes are x1, y1, x2, y2 inside the original image.", _boxes),
    ("Labels count from 0.", _labels),
    ("The number of slots is the same for every image.", _one_shape),
    ("The same image gives the same detections.", _repeats),
    ("A batch of two gives the same detections as two batches of one.", _batches),
    ("No work is left when finish returns.", _rests),
    ("Its stages, if it has any, compose to infer.", _composes),
    ("The values of facts, if it has any, are possible.", _valid_info),
    ("What the outputs of a file mean is beyond doubt.", _meaning),
)


def _step(name: str, function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except (Exception, SystemExit) as error:
        raise _Broken(f"{name} raised {type(error).__name__}: {words(error)}") from error


def _same(what: str, first: Tensor, second: Tensor) -> None:
    if first.shape != second.shape:
        raise _Broken(f"{what} gives {list(second.shape)} scores, not {list(first.shape)}")
    if first.numel() and (gap := float((first - second).abs().max())) > CLOSE:
        raise _Broken(f"{what} gives scores that differ by {gap:.3g}")


def _extent(boxes: Tensor) -> list[float]:
    return [*boxes[:, :2].amin(0).tolist(), *boxes[:, 2:].amax(0).tolist()]
