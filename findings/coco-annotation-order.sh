#!/usr/bin/env bash
# Expect:   the order of the annotations in a COCO file has no influence on AP.
# Happens:  of two objects that a detection overlaps equally, the later one in the file is matched. If another detection
#           fits only that one, it stays unmatched: exchanging two annotations changes AP50 from 0.505 to 1.
# Versions: pycocotools 2.0.11, faster-coco-eval 1.8.0, hotcoco 1.3.0; all three agree.
# Seen:     2026-11-29
set -euo pipefail
packages="pycocotools==2.0.11 faster-coco-eval==1.8.0 hotcoco==1.3.0 numpy==2.4.6"
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

import faster_coco_eval
import hotcoco
import pycocotools.coco
import pycocotools.cocoeval

LEFT, RIGHT = [0, 0, 40, 40], [20, 0, 40, 40]
RESULTS = [  # x, y, width, height
    {"image_id": 1, "category_id": 1, "bbox": [10, 0, 40, 40], "score": 0.9},  # IoU 0.6 with either object
    {"image_id": 1, "category_id": 1, "bbox": [22, 0, 40, 40], "score": 0.8},  # IoU 0.9 with the right one
]
EVALUATORS = {
    "pycocotools": (pycocotools.coco.COCO, "loadRes", pycocotools.cocoeval.COCOeval),
    "faster-coco-eval": (faster_coco_eval.COCO, "loadRes", faster_coco_eval.COCOeval_faster),
    "hotcoco": (hotcoco.COCO, "load_res", hotcoco.COCOeval),
}


def write(boxes):
    labels = {
        "images": [{"id": 1, "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [
            {"id": number, "image_id": 1, "category_id": 1, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for number, box in enumerate(boxes, 1)
        ],
    }
    json.dump(labels, open("labels.json", "w"))
    json.dump(RESULTS, open("results.json", "w"))


def ap50(read, load, evaluate):
    with contextlib.redirect_stdout(io.StringIO()):
        labels = read("labels.json")
        run = evaluate(labels, getattr(labels, load)("results.json"), "bbox")
        run.evaluate(), run.accumulate(), run.summarize()
    return round(float(run.stats[1]), 3)


found = {}
for name, order in (("left first", [LEFT, RIGHT]), ("right first", [RIGHT, LEFT])):
    write(order)
    found[name] = {library: ap50(*evaluator) for library, evaluator in EVALUATORS.items()}
print("versions:", {library: version(library) for library in EVALUATORS})
print("objects:", LEFT, RIGHT, "detections:", [(each["bbox"], each["score"]) for each in RESULTS])
for name, values in found.items():
    print(f"AP50, {name}:", values)
holds = set(found["left first"].values()) == {0.505} and set(found["right first"].values()) == {1.0}
sys.exit(0 if holds else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
