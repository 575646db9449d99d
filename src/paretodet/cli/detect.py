"""`paretodet detect`."""

from json import dumps
from pathlib import Path
from typing import Any

from paretodet.cli import options
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar


def detect(
    name: options.Name,
    images: options.Pictures = None,
    weights: options.Weights = None,
    untrained: options.Untrained = False,
    score: options.Score = None,
    nms: options.Nms = None,
    fit: options.Fit = None,
    classes: options.Classes = None,
    device: options.Device = None,
    precision: options.Precision = None,
    data: options.KnownData = None,
    data_split: options.DataSplit = None,
    out: options.Out = None,
    results_out: options.ResultsOut = None,
    json: options.Json = False,
) -> None:
    """Draw boxes on photographs and videos, print them, or write them as COCO results."""
    from paretodet.detect import detect_files, ids_of, listed
    from paretodet.evaluation.ground_truth import read_ground_truth
    from paretodet.images import ImageError
    from paretodet.labels.class_names import read_class_names
    from paretodet.open import open_candidate, require_weights
    from paretodet.writing import check_folder, check_target, write_text

    require_weights(name, weights, insisted=untrained)
    _check(images, data, data_split, results_out)
    known = read_ground_truth(data, split=data_split) if data else None
    files = listed(images or (known.files if known else ()))
    if not files:
        raise ValueError("detect: give images, folders or videos, or labels in --data")
    drawn = out or (None if json or results_out else Path("detections"))
    if results_out:
        check_target(results_out, "results-out", read=[*files, data, weights, classes])
    made: dict[str, Any] = {"weights": weights, "score": score, "nms": nms, "fit": fit}
    made |= {"device": device, "precision": precision}
    labels = read_class_names(classes) if classes else None
    candidate = open_candidate(name, labels=labels, **made)
    ids = ids_of(files, candidate, labels, known) if results_out else None
    if drawn:
        check_folder(drawn, "out")
    with ProgressBar() as bar:
        found = detect_files(candidate, files, labels=labels, ids=ids, out=drawn, score=score, on_progress=bar)
    note_all(f"Skipped: {reason}" for reason in (*(known.skipped if known else ()), *found.skipped))
    if not found.documents:
        raise ImageError(f"none of {len(files)} images can be read")
    if results_out:
        write_text(results_out, dumps(found.rows))
        note(f"{len(found.rows)} detections: {results_out}")
    if json:
        print_json(found.documents)
    elif found.drawn:
        show("\n".join(map(str, found.drawn)))
    if found.skipped:
        note(f"{len(found.skipped)} of {len(files)} images skipped.")
    if data and results_out:
        note_next("evaluate", results=results_out, data=data, data_split=data_split, errors=True)
    else:
        note_next("measure", name, **made, classes=classes, labels=data, data_split=data_split)


def _check(images: list[Path] | None, data: Path | None, data_split: str | None, results_out: Path | None) -> None:
    if images and data and not results_out:
        raise ValueError("data: means something beside --results-out, or in place of IMAGE")
    if data_split and not data:
        raise ValueError("data-split: means nothing without --data")
