"""`paretodet detect`."""

from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING

from paretodet.cli import candidate_options, options
from paretodet.cli.candidate import Given, config, opened, with_candidate_options
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar
from paretodet.cli.signals import terminable
from paretodet.errors import InputError

if TYPE_CHECKING:
    from paretodet.detection import DetectionResults

OUT = Path("detections")


@with_candidate_options(weights=candidate_options.RequiredWeights)
def detect(
    name: options.Name,
    given: Given,
    images: options.Media = None,
    untrained: candidate_options.Untrained = False,
    data: options.DetectData = None,
    data_split: options.DataSplit = None,
    out: options.DrawnOut = None,
    results_out: options.ResultsOut = None,
    json: options.Json = False,
) -> None:
    """Detect objects in images and videos: draw the boxes, print them as JSON, or write COCO results.

    With --data, COCO results have the ids of the labels.
    """
    from paretodet.detection import DetectionResults, coco_ids, detect_files, media_files, unread_media
    from paretodet.evaluation.ground_truth import read_ground_truth
    from paretodet.opening import require_weights
    from paretodet.sources.table import check
    from paretodet.writing import check_target

    require_weights(check(name), given["weights"], insisted=untrained)
    _check(images, data, data_split, results_out)
    known = read_ground_truth(data, split=data_split) if data else None
    files = media_files(images or (known.files if known else ()))
    if not files:
        raise InputError("IMAGE: give images, videos or folders, or labeled images in --data", "input-missing")
    folder = out or (None if json or results_out else OUT)
    if results_out:
        check_target(results_out, "results-out", read=[*files, data, given["weights"], given["classes"]])
    chosen = config(name, given)
    labels, candidate = chosen.labels, opened(chosen)
    ids = coco_ids(files, candidate, labels, known) if results_out else None
    results = DetectionResults()
    with terminable(), _kept(results, len(files), results_out, json=json):
        with ProgressBar() as bar:
            detect_files(
                candidate,
                files,
                labels=labels,
                ids=ids,
                out=folder,
                score=chosen.score,
                on_progress=bar,
                results=results,
            )
        left_out = (*unread_media(images or ()), *(known.skipped if known else ()), *results.skipped)
        note_all(f"Skipped: {reason}" for reason in left_out)
        _write(results, results_out)
    _show(results, len(files), json=json)
    if data and results_out:
        note_next("evaluate", results=results_out, data=data, data_split=data_split, errors=True)
    else:
        note_next("measure", name, **given, data=data, data_split=data_split)


def _check(images: list[Path] | None, data: Path | None, data_split: str | None, results_out: Path | None) -> None:
    if images and data and not results_out:
        message = "data: with IMAGE it gives the ids of --results-out; give --results-out, or leave one of the two out"
        raise InputError(message, "option-conflict")
    if data_split and not data:
        raise InputError("data-split: needs --data", "option-conflict")


@contextmanager
def _kept(results: "DetectionResults", files: int, results_out: Path | None, *, json: bool) -> Iterator[None]:
    """A context whose results are written and printed as far as they go if it raises or is interrupted."""
    try:
        yield
    except BaseException:
        if results.documents or results.rows:
            note(f"Stopped early, with results of {results.done} of {files} files.")
            _keep(results, results_out, json=json)
        raise


def _keep(results: "DetectionResults", results_out: Path | None, *, json: bool) -> None:
    """An error of the disk is reported and not raised: it must not hide the one that ended the command."""
    try:
        _write(results, results_out)
    except OSError as error:
        note(f"{results_out} cannot be written ({error.strerror or error}).")
    if json:
        print_json(results.documents)


def _write(results: "DetectionResults", results_out: Path | None) -> None:
    from paretodet.writing import write_text

    if results_out and (results.documents or results.rows):
        write_text(results_out, dumps(results.rows))
        note(f"{len(results.rows)} detections written to {results_out}.")


def _show(results: "DetectionResults", files: int, *, json: bool) -> None:
    from paretodet.images import ImageError
    from paretodet.media.fonts import explained

    if not results.documents:
        raise ImageError(f"IMAGE: none of {files} files can be read", "images-none")
    note_all(explained(results.numbered))
    if json:
        print_json(results.documents)
    elif results.drawn:
        show("\n".join(map(str, results.drawn)))
    if results.skipped:
        note(f"{len(results.skipped)} of {files} files skipped.")
