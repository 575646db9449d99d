"""`paretodet evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretodet.cli import options
from paretodet.cli.output import note, note_all, print_json, show
from paretodet.cli.progress import Bar

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
    out: options.Out = None,
    lost: options.Lost = False,
    plot: options.Plot = None,
    json: options.Json = False,
) -> None:
    """COCO's AP and AR of a detector, or of a COCO results file, on your labels: COCO's, Pascal VOC's or YOLO's."""
    from paretodet.evaluate import document, evaluate_file

    if (name is None) == (results is None):
        raise ValueError("evaluate: give a NAME or --results FILE, one of the two")
    wanted = lost or plot is not None
    if results:
        found = evaluate_file(results, data, lost=wanted)
    else:
        from paretodet.data.labels import read_labels
        from paretodet.evaluate import evaluate_candidate
        from paretodet.open import open_candidate, require_weights
        from paretodet.sweep.scored import images_beside

        assert name
        require_weights(name, weights, insisted=untrained)
        names = read_labels(classes) if classes else None
        asked: dict[str, Any] = {"score": score, "nms": nms, "fit": fit}
        candidate = open_candidate(name, weights=weights, labels=names, device=device, precision=precision, **asked)
        folder = images_beside(data, images) if data.suffix == ".json" else None
        about: dict[str, Any] = {"split": data_split, "names": names, "asked": asked, "out": out, "lost": wanted}
        with Bar() as bar:
            found = evaluate_candidate(candidate, data, folder, **about, on_progress=bar)
    note_all(f"Skipped: {each}" for each in found.labels["skipped"])
    if plot:
        _draw(found, plot)
    if json:
        print_json(document(found))
    else:
        _show(found)
        if out and name and data.suffix == ".json":
            note(f"Next: paretodet evaluate --results {out} --data {data} --lost")


def _show(found: "Evaluation") -> None:
    from paretodet.report.evaluated import captions, lost_table, scores_table

    whole = [("boxes", found.boxes.whole), *([("masks", found.masks.whole)] if found.masks else [])]
    show(scores_table(whole, f"{found.labels['images']} images"))
    each = [(found.names[key], scores) for key, scores in found.boxes.categories.items() if scores.ap is not None]
    show(scores_table(each, "Category"))
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
