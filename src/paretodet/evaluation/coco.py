"""COCO's accuracy of finished detections, through a kept evaluator equal to pycocotools."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from hotcoco import COCO, COCOeval

MEASURES = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


class Scores(NamedTuple):
    """Percent, in the order of the official evaluator; None where no ground truth of that size exists."""

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None


def score(truth: dict[str, Any], results: Sequence[dict[str, Any]], *, kind: str = "bbox") -> Scores:
    """Official AP and AR of COCO `results` (image_id, category_id, bbox as x, y, w, h, score) against instances.

    `kind` is "bbox" or "segm". Every image of `truth` counts, with detections or without.
    Raises ValueError where a result names an image that `truth` does not have.
    """
    run = _evaluated(truth, results, kind)
    run.summary_lines()
    found = run.get_results()
    return Scores(*(None if found[name] < 0 else 100 * found[name] for name in MEASURES))


def per_category(
    truth: dict[str, Any], results: Sequence[dict[str, Any]], *, kind: str = "bbox"
) -> dict[int, float | None]:
    """The AP in each category, by id, in percent; None where there is nothing to find. Their mean is `score(...).ap`.

    Raises ValueError as `score` does.
    """
    run = _evaluated(truth, results, kind)
    assert run.eval is not None
    precision = run.eval["precision"][:, :, :, 0, -1]  # [overlaps, recalls, K] of all sizes, 100 detections
    means = [100 * float(each.mean()) if (each >= 0).all() else None for each in np.moveaxis(precision, 2, 0)]
    return dict(zip(run.params.cat_ids, means, strict=True))


def _evaluated(truth: dict[str, Any], results: Sequence[dict[str, Any]], kind: str) -> COCOeval:
    known = {image["id"] for image in truth["images"]}
    strange = {result["image_id"] for result in results} - known
    if strange:
        raise ValueError(f"image_id: {min(strange)} of the results is not among the {len(known)} images of the labels")
    labelled = COCO(truth)
    run = COCOeval(labelled, labelled.load_res(list(results)), kind)
    run.evaluate()
    run.accumulate()
    return run
