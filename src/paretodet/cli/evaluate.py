"""`paretodet evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretodet.cli import options
from paretodet.cli.candidate import Given, config, with_candidate_options
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar

if TYPE_CHECKING:
    from paretodet.evaluate import Evaluation


@with_candidate_options
def evaluate(
    data: options.Data,
    given: Given,
    name: options.Evaluated = None,
    results: options.Results = None,
    untrained: options.Untrained = False,
    images: options.Images = None,
    data_split: options.DataSplit = None,
    results_out: options.EvaluatedOut = None,
    errors: options.Errors = False,
    voc: options.VocAp = False,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """COCO's AP and AR of a detector, or of a COCO results file, on your labels: COCO's, Pascal VOC's or YOLO's."""
    from paretodet.evaluate import document, evaluate_file
    from paretodet.report.evaluated import check_picture
    from paretodet.writing import check_target

    if (name is None) == (results is None):
        raise ValueError("evaluate: give a NAME or --results FILE, one of the two")
    if plot:
        check_picture(plot)
    wanted: dict[str, Any] = {"split": data_split, "with_errors": errors or plot is not None, "voc_ap": voc}
    if results:
        _refuse({"untrained": untrained, "images": images, "results-out": results_out} | given)
        found = evaluate_file(results, data, **wanted)
    else:
        assert name
        if results_out:
            check_target(results_out, "results-out", read=[data, given["weights"], given["classes"]])
        found = _run(name, data, images, given, wanted | {"out": results_out}, untrained)
    note_all(f"Skipped: {each}" for each in found.labels["skipped"])
    if results_out and (count := found.labels["left_out"]):
        objects = "the image left out" if count == 1 else f"the {count} images left out"
        note(f"Who scores {results_out} later finds a lower AP: the objects of {objects} count as missed there.")
    if json:
        print_json(document(found))
    else:
        _show(found)
    if plot:
        _draw(found, plot)
    where = {"data": data, "data_split": data_split}
    made = {"images": images, "untrained": untrained} | given
    if name or not plot:
        _next(name, results_out or results, where, made, errors=wanted["with_errors"])


def _refuse(options_given: dict[str, Any]) -> None:
    given = [f"--{option}" for option, value in options_given.items() if value is not None and value is not False]
    if given:
        means = "means" if len(given) == 1 else "mean"
        raise ValueError(f"results: a finished file is scored, where {', '.join(given)} {means} nothing")


def _run(
    name: str,
    data: Path,
    images: Path | None,
    given: Given,
    wanted: dict[str, Any],
    untrained: bool,
) -> "Evaluation":
    from paretodet.evaluate import evaluate_candidate
    from paretodet.open import open_config, require_weights

    require_weights(name, given["weights"], insisted=untrained)
    opened = config(name, given)
    candidate, names = open_config(opened), opened.labels
    asked = {"score": opened.score, "nms": opened.nms, "fit": opened.fit}
    with ProgressBar() as bar:
        return evaluate_candidate(candidate, data, images, names=names, asked=asked, **wanted, on_progress=bar)


def _next(name: str | None, results: Path | None, where: dict[str, Any], made: dict[str, Any], *, errors: bool) -> None:
    """Where the AP is lost, of what was just scored; then a look at it. A finished file's end is its picture."""
    if results and not (name and errors):
        note_next("evaluate", results=results, **where, errors=not errors, plot="errors.png" if errors else None)
    elif errors:
        looked_at = {} if made["images"] else where  # detect finds a COCO file's images near it alone
        words = [name, made["images"]] if made["images"] else [name]
        note_next("detect", *words, **{key: value for key, value in made.items() if key != "images"}, **looked_at)
    else:
        note_next("evaluate", name, **made, **where, errors=True)


def _show(found: "Evaluation") -> None:
    from paretodet.report.evaluated import captions, lost_table, scores_table, voc_table

    whole = [("boxes", found.boxes.whole), *([("masks", found.masks.whole)] if found.masks else [])]
    show(scores_table(whole, f"{found.labels['images']} images"))
    each = [(found.names[key], scores) for key, scores in found.boxes.categories.items() if scores.ap is not None]
    show(scores_table(each, "Category"))
    if found.voc:
        show(voc_table(found.voc, found.names))
    if found.errors:
        show(lost_table(found.errors, found.names))
        note_all(captions(found.errors))


def _draw(found: "Evaluation", plot: Path) -> None:
    from paretodet.report.evaluated import captions, picture

    assert found.errors
    subject, labels = found.subject.get("name") or found.subject["file"], found.labels
    about = [f"{subject} on {labels['images']} images of {labels['file']}", *captions(found.errors)]
    picture(found.errors, found.names, plot, title="Where the AP is lost", subtitle=about)
    note(f"Drawn: {plot}")
