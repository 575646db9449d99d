#!/usr/bin/env bash
# Expect:   supervision writes a COCO data set that it read with the category ids that it had; COCO's own ids, 1 to 90 with
#           ten gaps, are what results of other programs refer to.
# Happens:  it numbers the categories anew from 1, in the order of their ids. Results of before, scored against the file
#           that was read and written, lose every class behind a gap: AP 0.5 instead of 1 with the ids 1 and 3.
# Versions: supervision 0.31.2, pycocotools 2.0.11
# Seen:     2026-12-01
set -euo pipefail
packages="supervision==0.31.2 pycocotools==2.0.11 numpy==2.4.6 pillow==13.0.0"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python -W ignore - <<'PY' || status=$?
import contextlib
import io
import json
import os
import sys
from importlib.metadata import version

import supervision
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

BOXES = {1: [10, 10, 40, 40], 3: [60, 60, 30, 30]}  # by category: person and car of COCO
LABELS = {
    "images": [{"id": 1, "width": 100, "height": 100, "file_name": "a.png"}],
    "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
    "annotations": [
        {"id": key, "image_id": 1, "category_id": key, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for key, box in BOXES.items()
    ],
}
RESULTS = [{"image_id": 1, "category_id": key, "bbox": box, "score": 0.9} for key, box in BOXES.items()]


def ap(labels):
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(labels)
        run = COCOeval(truth, truth.loadRes(RESULTS), "bbox")
        run.evaluate(), run.accumulate(), run.summarize()
    return round(float(run.stats[0]), 3)


os.mkdir("images")
Image.new("RGB", (100, 100)).save("images/a.png")
with open("read.json", "w") as file:
    json.dump(LABELS, file)
supervision.DetectionDataset.from_coco("images", "read.json").as_coco(annotations_path="written.json")
with open("written.json") as file:
    written = [(entry["id"], entry["name"]) for entry in json.load(file)["categories"]]
scores = ap("read.json"), ap("written.json")
print("versions:", {name: version(name) for name in ("supervision", "pycocotools")})
print("categories read: [(1, 'person'), (3, 'car')] written:", written)
print("AP of the same results against the file that was read, and written:", scores)
sys.exit(0 if written == [(1, "person"), (2, "car")] and scores[0] == 1 and scores[1] < 0.6 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
