"""Scores COCO results, or the detections of a candidate, on labels."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from paretodet.errors import InputError
from paretodet.evaluation import coco, voc
from paretodet.evaluation.checks import check_results
from paretodet.evaluation.coco import CocoScores, Scores
from paretodet.evaluation.coverage import missing_images
from paretodet.evaluation.curves import RECALLS, best_threshold, sampled
from paretodet.evaluation.errors import CAUSES, Errors, errors
from paretodet.evaluation.files import read_results
from paretodet.evaluation.ground_truth import GroundTruth, read_ground_truth
from paretodet.evaluation.matching import SIZES
from paretodet.evaluation.misplaced import check_places
from paretodet.evaluation.pairing import pair_results
from paretodet.labels.model import Labels, Purpose
from paretodet.reading import sha256
from paretodet.writing import check_target, write_text

if TYPE_CHECKING:  # a results file is scored without importing torch
    from paretodet.bench.candidate import Candidate
    from paretodet.bench.job import Progress

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """COCO's scores of one artifact, or of one results file, on one set of labels."""

    subject: Json  # name and hashes of what was scored
    labels: Json  # name, SHA-256, number of images scored and left out, and a sentence for everything skipped
    names: dict[int, str]  # category id -> name
    boxes: CocoScores
    masks: CocoScores | None  # None unless the results and the labels have masks
    errors: Errors | None  # causes of lost AP of the boxes, if requested
    voc: dict[int, voc.Areas] | None  # category id -> Pascal VOC's AP50, if requested


def evaluate(
    subject: "Candidate | Path | str",
    labels: Path | str,
    *,
    image_root: Path | str | None = None,
    split: str | None = None,
    names: Sequence[str | None] | None = None,
    out: Path | str | None = None,
    with_errors: bool = False,
    voc_ap: bool = False,
    on_progress: "Callable[[Progress], None]" = lambda progress: None,
) -> Evaluation:
    """Scores a candidate, as `open` returns it, or the path of a file of COCO results, on `labels`, a file or folder in
    any supported format.

    `image_root` is the folder of the images, if it is not near the labels; `names` and `out` are for a candidate only,
    see `evaluate_candidate`. Raises ValueError for a file that is missing or not in its format.

    >>> import paretodet
    >>> round(paretodet.evaluate("results.json", "labels.json").boxes.whole.ap)
    100
    >>> candidate = paretodet.open("ssd-mobilenet_v1-300")
    >>> 0 <= paretodet.evaluate(candidate, "labels.json").boxes.whole.ap <= 100
    True
    """
    root = Path(image_root) if image_root else None
    options: dict[str, Any] = {"split": split, "with_errors": with_errors, "voc_ap": voc_ap}
    if isinstance(subject, str | Path):
        if names or out:
            message = "evaluate: names and out are for a candidate, and a results file was given"
            raise InputError(message, "option-conflict")
        return evaluate_file(Path(subject), Path(labels), root, **options)
    options |= {"names": names, "out": Path(out) if out else None, "on_progress": on_progress}
    return evaluate_candidate(subject, Path(labels), root, **options)


def evaluate_file(
    results: Path,
    labels: Path,
    image_root: Path | None = None,
    *,
    split: str | None = None,
    with_errors: bool = False,
    voc_ap: bool = False,
) -> Evaluation:
    """Scores a COCO results file on labels, or on one `split` of them.

    `image_root` is the folder of the images, which some labels need for their sizes, if it is not near the labels.
    `with_errors` adds the causes of lost AP, `voc_ap` the AP of Pascal VOC. Raises ValueError if either file is
    missing, too large or not in its format, or if the boxes show that the results mean other categories, images or
    units than they state.
    """
    known = read_ground_truth(labels, split=split, images=image_root, purpose=Purpose.SCORE)
    rows, notes = pair_results(read_results(results), known.labels)
    check_results(rows, known.labels)
    notes += check_places(rows, known.labels)
    notes += missing_images(rows, known.labels, labels, split=split, images=image_root)
    subject = {"file": results.name, "sha256": sha256(results), "paired": list(notes)}
    return _evaluation(subject, known, rows, with_errors=with_errors, voc_ap=voc_ap)


def evaluate_candidate(
    candidate: "Candidate",
    labels: Path,
    image_root: Path | None = None,
    *,
    split: str | None = None,
    names: Sequence[str | None] | None = None,
    options: Json | None = None,
    out: Path | None = None,
    with_errors: bool = False,
    voc_ap: bool = False,
    on_progress: "Callable[[Progress], None]" = lambda progress: None,
    notify: Callable[[str], None] = lambda sentence: None,
) -> Evaluation:
    """Scores a candidate on every image of `labels`, or of one `split` of them.

    `image_root` is the folder that the file names in a COCO file start from; without it, folders near the labels are
    searched. An image that cannot be read, or has another size than in its labels, is left out and listed in
    `Evaluation.labels`. `names` are the class names, by default the candidate's own; given ones are recorded as
    `classes` in `Evaluation.subject`, as `options` are. `out` is a file for the COCO results, which also gets those
    until an error or interruption; `notify` receives a sentence about that. Raises ValueError as `evaluate_file` does,
    and if no image is left, no class name is a category or `out` cannot be written.
    """
    from paretodet.bench.accuracy import results, unknown_classes
    from paretodet.bench.job import ProgressReporter

    if out:
        check_target(out, "results-out", read=[labels])
    known = read_ground_truth(labels, split=split, images=image_root)
    report = ProgressReporter(candidate.name, "accuracy", len(known.labels), on_progress)
    rows: list[Json] = []
    with _kept(rows, known.labels, out, notify):
        detections = results(candidate, known.labels, labels=names, on_image=report, rows=rows)
        if out:
            _write(rows, known.labels, out)
    known = replace(known, labels=detections.truth, skipped=known.skipped + detections.skipped)
    subject, left_out = candidate_json(candidate) | {"options": options or {}}, known.left_out + len(detections.skipped)
    if names is not None:
        subject |= {"classes": list(names)}
    if unknown := unknown_classes(candidate, known.labels, names):
        subject |= {"paired": [_without_ap(unknown)]}
    return _evaluation(subject, known, detections.rows, with_errors=with_errors, voc_ap=voc_ap, left_out=left_out)


@contextmanager
def _kept(rows: Sequence[Json], labels: Labels, out: Path | None, notify: Callable[[str], None]) -> Iterator[None]:
    """A context that writes the rows so far to `out` if it raises or is interrupted."""
    try:
        yield
    except BaseException:
        if out and rows:
            images = len({row["image_id"] for row in rows})
            try:
                _write(rows, labels, out)
                notify(f"Stopped early: {out} has the detections in {images} of {len(labels)} images.")
            except OSError as error:  # it must not hide the error that ended the evaluation
                notify(f"{out} cannot be written ({error.strerror or error}).")
        raise


def _write(rows: Sequence[Json], labels: Labels, out: Path) -> None:
    write_text(out, json.dumps(_with_names(rows, labels)))


def _without_ap(unknown: Sequence[str]) -> str:
    first, more = ", ".join(unknown[:5]), f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    return f"the detector lacks classes of the labels ({first}{more}), and their AP of 0 counts in the mean"


def _with_names(rows: Sequence[Json], labels: Labels) -> Sequence[Json]:
    """With the images' ids as the labels have them, or, if they have none, with file names too."""
    if not labels.named:
        return [row | {"image_id": labels.image_id(row["image_id"])} for row in rows] if labels.text_ids else rows
    names = {key: labels.name(place) for place, key in enumerate(labels.keys.tolist())}
    return [row | {"file_name": names[row["image_id"]]} for row in rows]


def candidate_json(candidate: "Candidate") -> Json:
    """The name, hashes and spec of a candidate; the spec includes resize policy, thresholds and capacity."""
    from paretodet.bench.candidate import ModelInfo, Stated

    facts = candidate.facts() if isinstance(candidate, Stated) else ModelInfo()
    fields = ("artefact", "weights", "runtime", "precision", "device", "load")
    values = {name: getattr(facts, name) for name in fields}
    return {"name": candidate.name, **values, "spec": json.loads(facts.spec) if facts.spec else None}


def evaluation_json(evaluation: Evaluation) -> Json:
    """An evaluation as JSON: numbers in percent, with the prefix `mask_` for masks and `voc_` for Pascal VOC; null if
    there was nothing to detect.
    """
    return {
        **evaluation.boxes.whole._asdict(),
        **({} if evaluation.masks is None else _masked(evaluation.masks.whole)),
        **({} if evaluation.boxes.federated is None else evaluation.boxes.federated._asdict()),
        **({} if evaluation.voc is None else _voc(voc.means(evaluation.voc))),
        "subject": evaluation.subject,
        "labels": evaluation.labels,
        "categories": [_category(evaluation, key) for key in evaluation.boxes.categories],
        **({} if evaluation.errors is None else {"lost": _lost(evaluation.errors), "recalls": _percents(RECALLS)}),
    }


def _evaluation(
    subject: Json, known: GroundTruth, rows: Sequence[Json], *, with_errors: bool, voc_ap: bool, left_out: int = 0
) -> Evaluation:
    truth, boxes = known.labels, coco.boxed(rows) if with_errors or voc_ap else []
    masks = [row for row in rows if "segmentation" in row]
    outlined = truth.outlines is not None
    source = {"file": known.name, "sha256": known.sha256, "images": len(truth), "left_out": left_out}
    return Evaluation(
        subject=subject,
        labels=source | {"skipped": list(known.skipped)},
        names=truth.categories,
        boxes=coco.evaluate(truth, rows),
        masks=coco.evaluate(truth, masks, kind="segm") if masks and outlined else None,
        errors=errors(truth, boxes) if with_errors else None,
        voc=voc.both(truth, boxes) if voc_ap else None,
    )


def _category(evaluation: Evaluation, key: int) -> Json:
    values = {"id": key, "name": evaluation.names[key], **evaluation.boxes.categories[key]._asdict()}
    if evaluation.masks is not None:
        values |= _masked(evaluation.masks.categories[key])
    if evaluation.voc is not None:
        values |= _voc(evaluation.voc[key])
    if evaluation.errors is not None:
        values |= _category_errors(evaluation.errors, evaluation.errors.categories.index(key))
    return values


def _category_errors(lost_ap: Errors, place: int) -> Json:
    """The lost AP of one category by size, its best threshold, and its precision at each of the `recalls`."""
    line = lost_ap.curves[place]
    best = None if line is None else best_threshold(line)
    return {
        "lost": {size: _causes(lost_ap, at, place) for at, size in enumerate(SIZES)},
        "best_threshold": None if best is None else best._asdict(),
        "precisions": None if line is None else _percents(sampled(line)),
    }


def _causes(lost_ap: Errors, size: int, place: int) -> Json:
    unknown = np.isnan(lost_ap.ap[size, place])
    lost = [None] * len(CAUSES) if unknown else lost_ap.lost[size, place].tolist()
    counts = lost_ap.counts[size, place].tolist()
    causes = {cause: {"ap": lost[n], "count": counts[n]} for n, cause in enumerate(CAUSES)}
    ap = None if unknown else float(lost_ap.ap[size, place])
    return {"ap50": ap, "truths": int(lost_ap.truths[size, place]), **causes}


def _lost(lost_ap: Errors) -> Json:
    """By size: the points of AP50 that correcting one cause alone would gain, and the number of errors per cause."""
    sizes = {}
    for at, size in enumerate(SIZES):
        ap, lost = lost_ap.mean(size)
        counts = dict(zip(CAUSES, lost_ap.counts[at].sum(0).tolist(), strict=True))
        sizes[size] = {"ap50": ap} | {cause: {"ap": lost.get(cause), "count": counts[cause]} for cause in CAUSES}
    return sizes


def _masked(scores: Scores) -> Json:
    return {f"mask_{name}": value for name, value in scores._asdict().items()}


def _voc(areas: voc.Areas) -> Json:
    return {"voc_ap50_11": areas.eleven, "voc_ap50": areas.all}


def _percents(shares: np.ndarray) -> list[float]:
    """0..1 to percent, rounded to a thousandth."""
    return [round(100 * share, 3) for share in shares.tolist()]
