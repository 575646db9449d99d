"""Accuracy of finished results, or of a candidate's, with the name of what it belongs to."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paretodet.evaluation import coco
from paretodet.evaluation.checks import check_labels, check_outlines, check_results
from paretodet.evaluation.coco import CocoScores, Scores
from paretodet.evaluation.curves import best_threshold
from paretodet.evaluation.errors import CAUSES, SIZES, Errors, errors
from paretodet.evaluation.files import read_instances, read_results

if TYPE_CHECKING:  # a finished file is scored without torch
    from paretodet.bench.candidate import Candidate
    from paretodet.bench.job import Progress

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """COCO's scores of one artefact, or of one results file, on one labels file."""

    subject: Row  # whose they are
    labels: Row  # the labels' file name, SHA-256, number of images and, said one by one, what could not be used
    names: dict[int, str]  # of the categories, by id
    boxes: CocoScores
    masks: CocoScores | None  # where both sides have some
    errors: Errors | None  # where the boxes' AP is lost, where that was asked for


def evaluate_file(results: Path, labels: Path, *, lost: bool = False) -> Evaluation:
    """Score a COCO results file against a COCO instances file.

    Raises ValueError, one sentence, where either is missing, too large, or not what its format says.
    """
    truth = _labels(labels)
    rows = read_results(results)
    check_results(rows, truth)
    return _evaluation({"file": results.name, "sha256": _sha256(results)}, labels, truth, rows, lost)


def evaluate_candidate(
    candidate: "Candidate",
    labels: Path,
    images: Path | None = None,
    *,
    split: str | None = None,
    names: Sequence[str | None] | None = None,
    asked: Row | None = None,
    out: Path | None = None,
    lost: bool = False,
    on_progress: "Callable[[Progress], None]" = lambda progress: None,
) -> Evaluation:
    """Score a candidate on every image of a COCO instances file, read from the folder `images`, or of a `split` of
    Pascal VOC's or YOLO's labels, whose images lie where the format says; an object's area is then its box's.

    `names` are of its labels, its own unless given; `asked` is told beside the artefact: thresholds and fit that a spec
    does not hold. Its results are written to `out` as COCO's. Raises ValueError as `evaluate_file` does, and where an
    image cannot be read or no label fits the categories.
    """
    from paretodet.bench.accuracy import results

    truth = _labels(labels) if images else _instances(labels, split)
    if out and not out.parent.is_dir():
        raise ValueError(f"out: {out.parent} is no folder")
    heard = _Heard(candidate.name, len(truth["images"]), on_progress)
    rows = list(results(candidate, truth, images or labels, labels=names, on_image=heard))
    if out:
        out.write_text(json.dumps(rows), encoding="utf-8")
    return _evaluation(artefact(candidate) | {"asked": asked or {}}, labels, truth, rows, lost)


def artefact(candidate: "Candidate") -> Row:
    """What a result belongs to; the spec holds fit, thresholds and capacity."""
    from paretodet.bench.candidate import Facts, Stated

    facts = candidate.facts() if isinstance(candidate, Stated) else Facts()
    told = {name: getattr(facts, name) for name in ("artefact", "weights", "runtime", "precision", "device", "load")}
    return {"name": candidate.name, **told, "spec": json.loads(facts.spec) if facts.spec else None}


def document(found: Evaluation) -> Row:
    """JSON-ready: COCO's numbers in percent at the top, `mask_` before those of masks; null: nothing to find."""
    return {
        **found.boxes.whole._asdict(),
        **({} if found.masks is None else _masked(found.masks.whole)),
        "subject": found.subject,
        "labels": found.labels,
        "categories": [_category(found, key) for key in found.boxes.categories],
        **({} if found.errors is None else {"lost": _lost(found.errors)}),
    }


def _labels(path: Path) -> Row:
    truth = read_instances(path)
    check_labels(truth)
    return truth


def _instances(labels: Path, split: str | None) -> Row:
    """Labels of any known format in COCO's form; images have absolute paths."""
    from paretodet.data.dataset import open_dataset

    data = open_dataset(labels, split=split)
    pairs = list(zip(data.category_ids, data.labels, strict=True))
    truth: Row = {"images": [], "annotations": [], "categories": [{"id": key, "name": name} for key, name in pairs]}
    for place in range(len(data)):
        sample = data[place]
        file, (height, width) = str(sample.image.resolve()), sample.size
        truth["images"].append({"id": place, "file_name": file, "height": height, "width": width})
        columns = zip(sample.boxes.tolist(), sample.labels.tolist(), sample.crowd.tolist(), strict=True)
        for (x1, y1, x2, y2), label, crowd in columns:
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": int(crowd)}
            owner = {"image_id": place, "category_id": data.category_ids[label]}
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, **owner, **box})
    truth["skipped"] = [str(each) for each in data.skipped]
    if not truth["annotations"]:
        raise ValueError(f"labels: {labels} has no box, so no accuracy can be told")
    return truth


def _evaluation(subject: Row, labels: Path, truth: Row, rows: Sequence[Row], lost: bool) -> Evaluation:
    if lost and rows and "bbox" not in rows[0]:
        raise ValueError("lost: got results without bbox, and where the AP is lost is told of boxes")
    masks = [row for row in rows if "segmentation" in row]
    outlined = [each for each in truth["annotations"] if each.get("segmentation")]
    if masks and outlined:
        check_outlines(truth["annotations"], truth, "annotations")
    boxes = coco.evaluate(truth, rows)
    return Evaluation(
        subject=subject,
        labels={
            "file": labels.name,
            "sha256": _content(labels, truth),
            "images": len(truth["images"]),
            "skipped": truth.get("skipped", []),
        },
        names={each["id"]: str(each.get("name", each["id"])) for each in truth["categories"]},
        boxes=boxes,
        masks=coco.evaluate(truth, masks, kind="segm") if masks and outlined else None,
        errors=errors(truth, rows) if lost else None,
    )


def _category(found: Evaluation, key: int) -> Row:
    told = {"id": key, "name": found.names[key], **found.boxes.categories[key]._asdict()}
    if found.masks is not None:
        told |= _masked(found.masks.categories[key])
    if found.errors is None:
        return told
    place = found.errors.categories.index(key)
    line = found.errors.curves[place]
    best = None if line is None else best_threshold(line)
    sizes = {size: _causes(found.errors, at, place) for at, size in enumerate(SIZES)}
    return told | {"lost": sizes, "best_threshold": None if best is None else best._asdict()}


def _causes(found: Errors, size: int, place: int) -> Row:
    unknown = np.isnan(found.ap[size, place])
    lost = [None] * len(CAUSES) if unknown else found.lost[size, place].tolist()
    counts = found.counts[size, place].tolist()
    causes = {cause: {"ap": lost[n], "count": counts[n]} for n, cause in enumerate(CAUSES)}
    ap = None if unknown else float(found.ap[size, place])
    return {"ap50": ap, "truths": int(found.truths[size, place]), **causes}


def _lost(found: Errors) -> Row:
    """Points of AP50 that mending one cause alone would win, and how many errors each cause is behind; by size."""
    told = {}
    for at, size in enumerate(SIZES):
        ap, lost = found.mean(size)
        counts = dict(zip(CAUSES, found.counts[at].sum(0).tolist(), strict=True))
        told[size] = {"ap50": ap} | {cause: {"ap": lost.get(cause), "count": counts[cause]} for cause in CAUSES}
    return told


def _masked(scores: Scores) -> Row:
    return {f"mask_{name}": value for name, value in scores._asdict().items()}


def _content(labels: Path, truth: Row) -> str:
    """Of a file as it is; of a folder, of what was read from it, wherever it lies."""
    if labels.suffix == ".json":
        return _sha256(labels)
    bare = truth | {
        "skipped": [],
        "images": [each | {"file_name": Path(each["file_name"]).name} for each in truth["images"]],
    }
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class _Heard:
    """Images done -> the bar's `Progress`."""

    def __init__(self, name: str, total: int, tell: "Callable[[Progress], None]") -> None:
        self.name, self.total, self.tell, self.began = name, total, tell, time.monotonic()

    def __call__(self, done: int) -> None:
        from paretodet.bench.job import Progress

        left = (time.monotonic() - self.began) * (self.total - done) / done if done else None
        self.tell(Progress(name=self.name, phase="accuracy", done=done, total=self.total, left=left))
