"""`paretodet detect`."""

from json import dumps
from pathlib import Path

from paretodet.cli import options
from paretodet.cli.candidate import Given, config, with_candidate_options
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar


@with_candidate_options
def detect(
    name: options.Name,
    given: Given,
    images: options.Pictures = None,
    untrained: options.Untrained = False,
    data: options.KnownData = None,
    data_split: options.DataSplit = None,
    out: options.Out = None,
    results_out: options.ResultsOut = None,
    json: options.Json = False,
) -> None:
    """Draw boxes on photographs and videos, print them, or write them as COCO results."""
    from paretodet.data.ground_truth import pictured
    from paretodet.detect import detect_files, ids_of, listed
    from paretodet.images import ImageError
    from paretodet.open import open_config, require_weights
    from paretodet.writing import check_folder, check_target, write_text

    require_weights(name, given["weights"], insisted=untrained)
    _check(images, data, data_split, results_out)
    known = pictured(data, split=data_split) if data else None
    files = listed(images or (known.files if known else ()))
    if not files:
        raise ValueError("detect: give images, folders or videos, or labels in --data")
    drawn = out or (None if json or results_out else Path("detections"))
    if results_out:
        check_target(results_out, "results-out", read=[*files, data, given["weights"], given["classes"]])
    wanted = config(name, given)
    labels, candidate = wanted.labels, open_config(wanted)
    ids = ids_of(files, candidate, labels, known) if results_out else None
    if drawn:
        check_folder(drawn, "out")
    with ProgressBar() as bar:
        found = detect_files(candidate, files, labels=labels, ids=ids, out=drawn, score=wanted.score, on_progress=bar)
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
        note_next("measure", name, **given, labels=data, data_split=data_split)


def _check(images: list[Path] | None, data: Path | None, data_split: str | None, results_out: Path | None) -> None:
    if images and data and not results_out:
        raise ValueError("data: means something beside --results-out, or in place of IMAGE")
    if data_split and not data:
        raise ValueError("data-split: means nothing without --data")
