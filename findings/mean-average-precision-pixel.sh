#!/usr/bin/env bash
# Expect:   the package mean-average-precision gives COCO's AP, as its documentation says, in any unit of the boxes.
# Happens:  its overlap adds a pixel to every side, as Pascal VOC's tool of 2007 did. A box of 8 px that is 1 px off
#           has AP 0.4 instead of 0.3. Of boxes as fractions of the image, those overlap that are beside each other: such
#           a detection has AP 0.5 instead of 0.
# Versions: mean-average-precision 2024.1.5.0, pycocotools 2.0.11
# Seen:     2026-11-30
set -euo pipefail
packages="mean-average-precision==2024.1.5.0 pycocotools==2.0.11 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import contextlib
import io
import json
import sys
from importlib.metadata import version

import numpy as np
from mean_average_precision import MetricBuilder
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

SIDE = 100  # of the image, px
OVERLAPS, RECALLS = np.linspace(0.5, 0.95, 10), np.linspace(0, 1, 101)


def official(truth, found):
    """COCO's AP of one box and one detection, xyxy px."""

    def form(box):
        return [box[0], box[1], box[2] - box[0], box[3] - box[1]]

    row = {"image_id": 1, "category_id": 1}
    area = form(truth)[2] * form(truth)[3]
    labels = {
        "images": [{"id": 1, "width": SIDE, "height": SIDE}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [{**row, "id": 1, "bbox": form(truth), "area": area, "iscrowd": 0}],
    }
    with open("labels.json", "w") as file:
        json.dump(labels, file)
    with contextlib.redirect_stdout(io.StringIO()):
        read = COCO("labels.json")
        run = COCOeval(read, read.loadRes([{**row, "bbox": form(found), "score": 0.9}]), "bbox")
        run.evaluate(), run.accumulate(), run.summarize()
    return round(float(run.stats[0]), 3)


def package(truth, found, unit):
    """The package's AP of the same, as its documentation computes COCO's, of boxes divided by `unit`."""
    metric = MetricBuilder.build_evaluation_metric("map_2d", async_mode=False, num_classes=1)
    boxes = [np.array(box, float) / unit for box in (found, truth)]
    metric.add(np.array([[*boxes[0], 0, 0.9]]), np.array([[*boxes[1], 0, 0, 0]]))
    value = metric.value(iou_thresholds=OVERLAPS, recall_thresholds=RECALLS, mpolicy="soft")
    return round(float(value["mAP"]), 3)


print("versions:", {name: version(name) for name in ("mean-average-precision", "pycocotools")})
near, far = ([10, 10, 18, 18], [11, 11, 19, 19]), ([10, 10, 18, 18], [19, 19, 27, 27])
found = {"off by a pixel": (official(*near), package(*near, 1)), "beside it": (official(*far), package(*far, 1))}
found["beside it, as fractions"] = (official(*far), package(*far, SIDE))
for name, (right, given) in found.items():
    print(f"{name}: AP of pycocotools {right}, of the package {given}")
pixel, wrong, fractions = found.values()
sys.exit(0 if pixel[1] > pixel[0] and wrong == (0, 0) and fractions[0] == 0 and fractions[1] > 0 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
