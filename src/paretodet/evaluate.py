"""Accuracy of finished results, or of a candidate's, with the name of what it belongs to."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paretodet.evaluation import coco, voc
from paretodet.evaluation.checks import check_results
from paretodet.evaluation.coco import CocoScores, Scores
from paretodet.evaluation.curves import RECALLS, best_threshold, sampled
from paretodet.evaluation.errors import CAUSES, SIZES, Errors, errors
from paretodet.evaluation.files import read_results
from paretodet.evaluation.ground_truth import GroundTruth, read_ground_truth
from paretodet.labels.model import Purpose
from paretodet.reading import sha256
from paretodet.writing import check_target, write_text

if TYPE_CHECKING:  # a finished file is scored without torch
    from paretodet.bench.candidate import Candidate
    from paretodet.bench.job import Progress

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """COCO's scores of one artefact, or of one results file, on one set of labels."""

    subject: Row  # whose they are
    labels: Row  # their name, SHA-256, number of images scored and left out and, one by one, what could not be used
    names: dict[int, str]  # of the categories, by id
    boxes: CocoScores
    masks: CocoScores | None  # where both sides have some
    errors: Errors | None  # where the boxes' AP is lost, where that was asked for
    voc: dict[int, voc.Areas] | None  # Pascal VOC's AP50 by category, where that was asked for


def evaluate_file(
    results: Path, labels: Path, *, split: str | None = None, with_errors: bool = False, voc_ap: bool = False
) -> Evaluation:
    """Score a COCO results file against labels, a `split` of them where there are several.

    `with_errors` adds where the AP is lost, `voc_ap` the AP as VOC computes it.

    Raises ValueError, one sentence, where either is missing, too large, or not what its format says.
    """
    known = read_ground_truth(labels, split=split, purpose=Purpose.SCORE)
    rows = read_results(results)
    check_results(rows, known.labels)
    subject = {"file": results.name, "sha256": sha256(results)}
    return _evaluation(subject, known, rows, with_errors=with_errors, voc_ap=voc_ap)


def evaluate_candidate(
    candidate: "Candidate",
    labels: Path,
    images: Path | None = None,
    *,
    split: str | None = None,
    names: Sequence[str | None] | None = None,
    asked: Row | None = None,
    out: Path | None = None,
    with_errors: bool = False,
    voc_ap: bool = False,
    on_progress: "Callable[[Progress], None]" = lambda progress: None,
) -> Evaluation:
    """Score a candidate on every image of `labels`, a file or folder of any known format, of one `split` if there
    are several; `images` is the images' folder, if it is not near the labels. An image that cannot be read or has
    another size than its labels state is left out, and `Evaluation.labels` says why.

    `names` are of its labels, its own unless given; `asked` is told beside the artefact: thresholds and fit that a spec
    does not hold. Its results are written to `out` as COCO's. Raises ValueError as `evaluate_file` does, and where
    no image is left, no label fits the categories or `out` cannot be written.
    """
    from paretodet.bench.accuracy import results
    from paretodet.bench.job import ProgressReporter

    if out:
        check_target(out, "results-out", read=[labels])
    known = read_ground_truth(labels, split=split, images=images)
    heard = ProgressReporter(candidate.name, "accuracy", len(known.labels), on_progress)
    found = results(candidate, known.labels, labels=names, on_image=heard)
    if out:
        write_text(out, json.dumps(found.rows))
    known = replace(known, labels=found.truth, skipped=known.skipped + found.skipped)
    subject, left_out = artefact(candidate) | {"asked": asked or {}}, known.left_out + len(found.skipped)
    return _evaluation(subject, known, found.rows, with_errors=with_errors, voc_ap=voc_ap, left_out=left_out)


def artefact(candidate: "Candidate") -> Row:
    """What a result belongs to; the spec holds fit, thresholds and capacity."""
    from paretodet.bench.candidate import ModelInfo, Stated

    facts = candidate.facts() if isinstance(candidate, Stated) else ModelInfo()
    told = {name: getattr(facts, name) for name in ("artefact", "weights", "runtime", "precision", "device", "load")}
    return {"name": candidate.name, **told, "spec": json.loads(facts.spec) if facts.spec else None}


def document(found: Evaluation) -> Row:
    """JSON-ready: numbers in percent at the top, `mask_` before those of masks, `voc_` before Pascal VOC's; null:
    nothing to find.
    """
    return {
        **found.boxes.whole._asdict(),
        **({} if found.masks is None else _masked(found.masks.whole)),
        **({} if found.boxes.federated is None else found.boxes.federated._asdict()),
        **({} if found.voc is None else _voc(voc.means(found.voc))),
        "subject": found.subject,
        "labels": found.labels,
        "categories": [_category(found, key) for key in found.boxes.categories],
        **({} if found.errors is None else {"lost": _lost(found.errors), "recalls": _percents(RECALLS)}),
    }


def _evaluation(
    subject: Row, known: GroundTruth, rows: Sequence[Row], *, with_errors: bool, voc_ap: bool, left_out: int = 0
) -> Evaluation:
    truth, boxes = known.labels, coco.boxed(rows) if with_errors or voc_ap else []
    masks = [row for row in rows if "segmentation" in row]
    outlined = truth.outlines is not None
    about = {"file": known.name, "sha256": known.sha256, "images": len(truth), "left_out": left_out}
    return Evaluation(
        subject=subject,
        labels=about | {"skipped": list(known.skipped)},
        names=truth.categories,
        boxes=coco.evaluate(truth, rows),
        masks=coco.evaluate(truth, masks, kind="segm") if masks and outlined else None,
        errors=errors(truth, boxes) if with_errors else None,
        voc=voc.both(truth, boxes) if voc_ap else None,
    )


def _category(found: Evaluation, key: int) -> Row:
    told = {"id": key, "name": found.names[key], **found.boxes.categories[key]._asdict()}
    if found.masks is not None:
        told |= _masked(found.masks.categories[key])
    if found.voc is not None:
        told |= _voc(found.voc[key])
    return told if found.errors is None else told | _where(found.errors, found.errors.categories.index(key))


def _where(found: Errors, place: int) -> Row:
    """What one category loses by size, its best threshold, and its precision at each of the document's `recalls`."""
    line = found.curves[place]
    best = None if line is None else best_threshold(line)
    return {
        "lost": {size: _causes(found, at, place) for at, size in enumerate(SIZES)},
        "best_threshold": None if best is None else best._asdict(),
        "precisions": None if line is None else _percents(sampled(line)),
    }


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


def _voc(areas: voc.Areas) -> Row:
    return {"voc_ap50_11": areas.eleven, "voc_ap50": areas.all}


def _percents(shares: np.ndarray) -> list[float]:
    """0..1 -> percent to a thousandth."""
    return [round(100 * share, 3) for share in shares.tolist()]
