#!/usr/bin/env bash
# Expect:   an annotation with "ignore": 1, as converters of crowd and drone data sets write it, does not count as missed:
#           the evaluator's source reads the field.
# Happens:  the field is overwritten by "iscrowd" before it is used, so the object counts as missed. AP is 0.505 in place
#           of 1. Only "iscrowd": 1 has the effect, and it changes how overlaps with the object are computed.
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

RESULTS = [{"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.9}]
EVALUATORS = {
    "pycocotools": (pycocotools.coco.COCO, "loadRes", pycocotools.cocoeval.COCOeval),
    "faster-coco-eval": (faster_coco_eval.COCO, "loadRes", faster_coco_eval.COCOeval_faster),
    "hotcoco": (hotcoco.COCO, "load_res", hotcoco.COCOeval),
}


def write(**fields):
    found = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "area": 1600, "iscrowd": 0}
    missed = {"id": 2, "image_id": 1, "category_id": 1, "bbox": [100, 100, 40, 40], "area": 1600, "iscrowd": 0}
    labels = {
        "images": [{"id": 1, "width": 200, "height": 200}],
        "categories": [{"id": 1, "name": "object"}],
        "annotations": [found, {**missed, **fields}],
    }
    json.dump(labels, open("labels.json", "w"))
    json.dump(RESULTS, open("results.json", "w"))


def ap(read, load, evaluate):
    with contextlib.redirect_stdout(io.StringIO()):
        labels = read("labels.json")
        run = evaluate(labels, getattr(labels, load)("results.json"), "bbox")
        run.evaluate(), run.accumulate(), run.summarize()
    return round(float(run.stats[0]), 3)


cases = {"neither": {}, "ignore": {"ignore": 1}, "iscrowd": {"iscrowd": 1}}
found = {}
for name, fields in cases.items():
    write(**fields)
    found[name] = {library: ap(*evaluator) for library, evaluator in EVALUATORS.items()}
print("versions:", {library: version(library) for library in EVALUATORS})
print("two objects, one of them detected exactly, the other missed")
for name, values in found.items():
    print(f"AP, the missed one has {name}:", values)
expected = {"neither": {0.505}, "ignore": {0.505}, "iscrowd": {1.0}}
sys.exit(0 if {name: set(values.values()) for name, values in found.items()} == expected else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
