"""Times the scoring of 5,000 images x 100 detections x 80 categories: `python benchmarks/evaluation.py`.

Target: `paretodet evaluate --results` under 3 s, including reading and checking of files. `--official` also runs
pycocotools (a minute) and prints the largest difference of any number.
"""

import argparse
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rows import add_out, append

from paretodet.evaluation.coco import score
from paretodet.evaluation.errors import errors
from paretodet.labels.formats.coco import from_json

IMAGES, DETECTIONS, CATEGORIES, OBJECTS, NEAR = 5000, 100, 80, 7, 4
AIM = 3.0  # s


def random_data(seed: int = 0) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Labels and results: four detections near every object, the others anywhere; sparse ids, some equal scores."""
    random = np.random.default_rng(seed)
    truth: dict[str, Any] = {
        "images": [{"id": 3 * i + 1, "width": 640, "height": 480} for i in range(IMAGES)],
        "categories": [{"id": k + 1, "name": f"category {k}"} for k in range(CATEGORIES)],
        "annotations": [],
    }
    results: list[dict[str, Any]] = []
    for image in truth["images"]:
        objects, kinds = anywhere(random, OBJECTS), random.integers(CATEGORIES, size=OBJECTS)
        near = objects.repeat(NEAR, 0) + random.normal(0, 6, (NEAR * OBJECTS, 4))
        boxes = np.r_[near, anywhere(random, DETECTIONS - NEAR * OBJECTS)]
        boxes[:, 2:] = np.maximum(boxes[:, 2:], 2)
        claimed = np.r_[kinds.repeat(NEAR), random.integers(CATEGORIES, size=DETECTIONS - NEAR * OBJECTS)]
        scores = np.r_[random.random(NEAR * OBJECTS) ** 0.5, random.random(DETECTIONS - NEAR * OBJECTS) ** 3]
        for box, kind in zip(objects.tolist(), kinds.tolist(), strict=True):
            row = {"image_id": image["id"], "category_id": kind + 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, **row})
        for box, kind, points in zip(boxes.round(2).tolist(), claimed.tolist(), scores.round(4).tolist(), strict=True):
            results.append({"image_id": image["id"], "category_id": kind + 1, "bbox": box, "score": points})
    return truth, results


def anywhere(random: np.random.Generator, count: int) -> np.ndarray:
    """Boxes [count, 4], x, y, w, h px."""
    return np.c_[random.uniform(0, 500, count), random.uniform(0, 380, count), random.uniform(8, 140, (count, 2))]


def command(truth: dict[str, Any], results: list[dict[str, Any]]) -> tuple[float, float]:
    """The command in a fresh process: wall-clock seconds and CPU seconds."""
    with tempfile.TemporaryDirectory() as folder:
        labels, detections = Path(folder, "labels.json"), Path(folder, "results.json")
        labels.write_text(json.dumps(truth))
        detections.write_text(json.dumps(results))
        before, began = os.times(), time.perf_counter()
        line = [
            sys.executable,
            "-m",
            "paretodet",
            "evaluate",
            "--results",
            str(detections),
            "--data",
            str(labels),
            "--json",
        ]
        subprocess.run(line, check=True, capture_output=True)
        after, wall = os.times(), time.perf_counter() - began
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def official(truth: dict[str, Any], results: list[dict[str, Any]]) -> np.ndarray:
    """The twelve numbers of pycocotools, in percent."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        labeled = COCO()
        labeled.dataset = truth
        labeled.createIndex()
        run = COCOeval(labeled, labeled.loadRes(results), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return 100 * np.array(run.stats)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """The CPU time in s, and the result of `work`."""
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--official", action="store_true")
    add_out(parser)
    options = parser.parse_args()
    truth, results = random_data()
    row: dict[str, Any] = {"images": IMAGES, "detections": len(results), "categories": CATEGORIES}
    row["command_s"], row["command_processor_s"] = command(truth, results)
    print(
        f"command       {row['command_s']:6.2f} s, {row['command_processor_s']:.2f} s of CPU time; target {AIM:.0f} s"
    )
    labels = from_json(truth)
    row["score_s"], scores = timed(lambda: score(labels, results))
    row["errors_s"], _ = timed(lambda: errors(labels, results))
    print(f"score         {row['score_s']:6.2f} s\nerrors        {row['errors_s']:6.2f} s")
    if options.official:
        row["pycocotools_s"], stats = timed(lambda: official(truth, results))
        row["largest_difference"] = float(np.abs(np.array(scores) - stats).max())
        print(f"pycocotools   {row['pycocotools_s']:6.2f} s, largest difference {row['largest_difference']:.1e} points")
    append(row, options.out)


if __name__ == "__main__":
    main()
