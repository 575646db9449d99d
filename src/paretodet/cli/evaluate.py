"""`paretodet evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretodet.cli import candidate_options, options
from paretodet.cli.candidate import Given, config, opened, with_candidate_options
from paretodet.cli.output import flag, note, note_all, note_next, print_json, show
from paretodet.cli.progress import ProgressBar
from paretodet.cli.signals import terminable
from paretodet.errors import InputError

if TYPE_CHECKING:
    from paretodet.scoring import Evaluation

# Options that are not recorded with a result: what the detector states itself, and how it is executed.
STATED = (
    "weights", "classes", "trust", "runtime", "device", "precision", "calibration", "allow_fallback",
)  # fmt: skip


@with_candidate_options(weights=candidate_options.RequiredWeights)
def evaluate(
    data: options.Data,
    given: Given,
    name: options.EvaluatedName = None,
    results: options.Results = None,
    untrained: candidate_options.Untrained = False,
    image_root: options.ImageRoot = None,
    data_split: options.DataSplit = None,
    results_out: options.ResultsOut = None,
    errors: options.Errors = False,
    voc: options.VocAp = False,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """Compute COCO's AP and AR of a detector, or of a file of COCO results, on your labels."""
    from paretodet.report.evaluated import check_plot
    from paretodet.scoring import evaluate_file, evaluation_json
    from paretodet.writing import check_target

    if (name is None) == (results is None):
        raise InputError("NAME: give either a NAME or --results FILE", "option-conflict")
    if plot:
        check_plot(plot)
    scoring: dict[str, Any] = {"split": data_split, "with_errors": errors or plot is not None, "voc_ap": voc}
    if results:
        _refuse({"untrained": untrained, "results-out": results_out} | given)
        evaluation = evaluate_file(results, data, image_root, **scoring)
    else:
        assert name
        if results_out:
            check_target(results_out, "results-out", read=[data, given["weights"], given["classes"]])
        evaluation = _run(name, data, image_root, given, scoring | {"out": results_out}, untrained)
    note_all(f"Skipped: {each}" for each in evaluation.labels["skipped"])
    note_all(f"Note: {each}." for each in evaluation.subject.get("paired", ()))
    if results_out and (count := evaluation.labels["left_out"]):
        images = "1 image is" if count == 1 else f"{count} images are"
        note(f"A later evaluation of {results_out} gives a lower AP: {images} left out, whose objects count as missed.")
    if json:
        print_json(evaluation_json(evaluation))
    else:
        _show(evaluation)
    if plot:
        _draw(evaluation, plot)
    where = {"data": data, "data_split": data_split, "image_root": image_root}
    more = {"untrained": untrained} | given
    if name or not plot:
        _next(name, results_out or results, where, more, errors=scoring["with_errors"])


def _refuse(options_given: dict[str, Any]) -> None:
    given = [flag(option) for option, value in options_given.items() if value is not None and value is not False]
    if given:
        message = (
            f"results: a file of results takes no {', '.join(given)}; leave {'it' if len(given) == 1 else 'them'} out"
        )
        raise InputError(message, "option-conflict")


def _run(
    name: str,
    data: Path,
    image_root: Path | None,
    given: Given,
    scoring: dict[str, Any],
    untrained: bool,
) -> "Evaluation":
    from paretodet.layouts.files import to_data
    from paretodet.opening import require_weights
    from paretodet.scoring import evaluate_candidate
    from paretodet.sources.table import check

    require_weights(check(name), given["weights"], insisted=untrained)
    chosen = config(name, given)
    candidate, names = opened(chosen), chosen.labels
    recorded: dict[str, Any] = {option: getattr(chosen, option) for option in given if option not in STATED}
    recorded |= {"layout": to_data(chosen.layout) if chosen.layout else None}
    with terminable(), ProgressBar() as bar:
        return evaluate_candidate(
            candidate, data, image_root, names=names, options=recorded, **scoring, on_progress=bar, notify=note
        )


def _next(name: str | None, results: Path | None, where: dict[str, Any], more: dict[str, Any], *, errors: bool) -> None:
    """Prints the next command: --errors, then `detect` for a detector or --plot for a file of results."""
    if results and not (name and errors):
        note_next("evaluate", results=results, **where, errors=not errors, plot="errors.png" if errors else None)
    elif errors:
        images = where["image_root"]  # `detect` has no --image-root: it takes the folder as IMAGE
        words, labels = ([name, images], {}) if images else ([name], where)
        note_next("detect", *words, **more, **labels)
    else:
        note_next("evaluate", name, **more, **where, errors=True)


def _show(evaluation: "Evaluation") -> None:
    from paretodet.report.evaluated import captions, federated_table, lost_table, scores_table, voc_table

    whole = [("boxes", evaluation.boxes.whole), *([("masks", evaluation.masks.whole)] if evaluation.masks else [])]
    show(scores_table(whole, f"{evaluation.labels['images']} images"))
    each = [
        (evaluation.names[key], scores) for key, scores in evaluation.boxes.categories.items() if scores.ap is not None
    ]
    show(scores_table(each, "Category"))
    if evaluation.boxes.federated:
        show(federated_table(evaluation.boxes.federated))
    if evaluation.voc:
        show(voc_table(evaluation.voc, evaluation.names))
    if evaluation.errors:
        show(lost_table(evaluation.errors, evaluation.names))
        note_all(captions(evaluation.errors))


def _draw(evaluation: "Evaluation", plot: Path) -> None:
    from paretodet.report.evaluated import captions, plot_errors

    assert evaluation.errors
    subject, labels = evaluation.subject.get("name") or evaluation.subject["file"], evaluation.labels
    subtitle = [f"{subject} on {labels['images']} images of {labels['file']}", *captions(evaluation.errors)]
    plot_errors(evaluation.errors, evaluation.names, plot, title="Causes of lost AP", subtitle=subtitle)
    note(f"The plot is {plot}.")
