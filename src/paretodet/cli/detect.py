"""`paretodet detect`."""

from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretodet.cli import options
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar
from paretodet.errors import InputError

if TYPE_CHECKING:
    from paretodet.detection import DetectionResults

OUT = Path("detections")


def detect(
    name: options.Name,
    images: options.Media = None,
    weights: options.RequiredWeights = None,
    untrained: options.Untrained = False,
    score: options.Score = None,
    nms: options.Nms = None,
    fit: options.Fit = None,
    classes: options.Classes = None,
    device: options.Device = None,
    precision: options.Precision = None,
    data: options.DetectData = None,
    data_split: options.DataSplit = None,
    out: options.DrawnOut = None,
    results_out: options.ResultsOut = None,
    json: options.Json = False,
) -> None:
    """Detect objects in images and videos: draw the boxes, print them as JSON, or write COCO results.

    With --data, COCO results have the ids of the labels.
    """
    from paretodet.data.class_names import read_labels
    from paretodet.data.ground_truth import pictured
    from paretodet.detection import coco_ids, detect_files, media_files
    from paretodet.opening import check, open_candidate, require_weights
    from paretodet.writing import check_folder, check_target, write_text

    require_weights(check(name), weights, insisted=untrained)
    _check(images, data, data_split, results_out)
    known = pictured(data, split=data_split) if data else None
    files = media_files(images or (known.files if known else ()))
    if not files:
        raise InputError("IMAGE: give images, videos or folders, or labeled images in --data", "input-missing")
    folder = out or (None if json or results_out else OUT)
    if results_out:
        check_target(results_out, "results-out", read=[*files, data, weights, classes])
    config: dict[str, Any] = {"weights": weights, "score": score, "nms": nms, "fit": fit}
    config |= {"device": device, "precision": precision}
    labels = read_labels(classes) if classes else None
    candidate = open_candidate(name, labels=labels, **config)
    ids = coco_ids(files, candidate, labels, known) if results_out else None
    if folder:
        check_folder(folder, "out")
    with ProgressBar() as bar:
        results = detect_files(candidate, files, labels=labels, ids=ids, out=folder, score=score, on_progress=bar)
    note_all(f"Skipped: {reason}" for reason in (*(known.skipped if known else ()), *results.skipped))
    if results_out and results.documents:
        write_text(results_out, dumps(results.rows))
        note(f"{len(results.rows)} detections written to {results_out}.")
    _show(results, len(files), json=json)
    if data and results_out:
        note_next("evaluate", results=results_out, data=data, data_split=data_split, errors=True)
    else:
        note_next("measure", name, **config, classes=classes, data=data, data_split=data_split)


def _check(images: list[Path] | None, data: Path | None, data_split: str | None, results_out: Path | None) -> None:
    if images and data and not results_out:
        message = "data: with IMAGE it gives the ids of --results-out; give --results-out, or leave one of the two out"
        raise InputError(message, "option-conflict")
    if data_split and not data:
        raise InputError("data-split: needs --data", "option-conflict")


def _show(results: "DetectionResults", files: int, *, json: bool) -> None:
    from paretodet.images import ImageError

    if not results.documents:
        raise ImageError(f"IMAGE: none of {files} files can be read", "images-none")
    if json:
        print_json(results.documents)
    elif results.drawn:
        show("\n".join(map(str, results.drawn)))
    if results.skipped:
        note(f"{len(results.skipped)} of {files} files skipped.")
