"""`paretodet evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretodet.cli import options
from paretodet.cli.output import note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar

if TYPE_CHECKING:
    from paretodet.evaluate import Evaluation


def evaluate(
    data: options.Data,
    name: options.Evaluated = None,
    results: options.Results = None,
    weights: options.Weights = None,
    untrained: options.Untrained = False,
    images: options.Images = None,
    data_split: options.DataSplit = None,
    score: options.Score = None,
    nms: options.Nms = None,
    fit: options.Fit = None,
    classes: options.Classes = None,
    device: options.Device = None,
    precision: options.Precision = None,
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
    opened: dict[str, Any] = {"weights": weights, "device": device, "precision": precision, "classes": classes}
    asked: dict[str, Any] = {"score": score, "nms": nms, "fit": fit}
    wanted: dict[str, Any] = {"split": data_split, "with_errors": errors or plot is not None, "voc_ap": voc}
    if results:
        _refuse({"untrained": untrained, "images": images, "results-out": results_out} | opened | asked)
        found = evaluate_file(results, data, **wanted)
    else:
        assert name
        if results_out:
            check_target(results_out, "results-out", read=[data, weights, classes])
        found = _run(name, data, images, opened, asked, wanted | {"out": results_out}, untrained)
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
    made = {"images": images, "untrained": untrained} | opened | asked
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
    opened: dict[str, Any],
    asked: dict[str, Any],
    wanted: dict[str, Any],
    untrained: bool,
) -> "Evaluation":
    from paretodet.evaluate import evaluate_candidate
    from paretodet.labels.class_names import read_class_names
    from paretodet.open import open_candidate, require_weights

    require_weights(name, opened["weights"], insisted=untrained)
    names = read_class_names(opened["classes"]) if opened["classes"] else None
    setting = {key: value for key, value in opened.items() if key != "classes"}
    candidate = open_candidate(name, labels=names, **setting, **asked)
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
    from paretodet.report.evaluated import captions, federated_table, lost_table, scores_table, voc_table

    whole = [("boxes", found.boxes.whole), *([("masks", found.masks.whole)] if found.masks else [])]
    show(scores_table(whole, f"{found.labels['images']} images"))
    each = [(found.names[key], scores) for key, scores in found.boxes.categories.items() if scores.ap is not None]
    show(scores_table(each, "Category"))
    if found.boxes.federated:
        show(federated_table(found.boxes.federated))
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
