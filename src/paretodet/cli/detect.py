"""`paretodet detect`."""

from pathlib import Path
from typing import Any

from paretodet.cli import options
from paretodet.cli.output import note, note_all, print_json, show


def detect(
    name: options.Name,
    images: options.Pictures,
    weights: options.Weights = None,
    untrained: options.Untrained = False,
    score: options.Score = None,
    nms: options.Nms = None,
    fit: options.Fit = None,
    classes: options.Classes = None,
    device: options.Device = None,
    precision: options.Precision = None,
    out: options.Out = None,
    json: options.Json = False,
) -> None:
    """Draw boxes on photographs, or print them."""
    from paretodet.data.images import read_images
    from paretodet.data.labels import read_labels
    from paretodet.detect import detect as found_in
    from paretodet.detect import document, draw_all
    from paretodet.images import ImageError
    from paretodet.open import open_candidate, require_weights

    require_weights(name, weights, insisted=untrained)
    pictures = read_images(images)
    note_all(f"Skipped: {reason}" for reason in pictures.skipped)
    if not pictures.images:
        raise ImageError(f"none of {len(images)} images can be read")
    asked: dict[str, Any] = {"weights": weights, "score": score, "nms": nms, "fit": fit, "precision": precision}
    labels = read_labels(classes) if classes else None
    candidate = open_candidate(name, device=device, labels=labels, **asked)
    found = list(found_in(candidate, pictures.images, labels=labels))
    if out or not json:
        paths = draw_all(pictures, found, out or Path("detections"), score=score)
        if not json:
            show("\n".join(map(str, paths)))
    if json:
        print_json(document(pictures, found))
    if pictures.skipped:
        note(f"{len(pictures.skipped)} of {len(images)} images skipped.")
