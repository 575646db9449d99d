#!/usr/bin/env bash
# Expect:   globox's COCO evaluator gives the AP of pycocotools for the same files.
# Happens:  it reads no `iscrowd`: crowds are objects that must be found, and detections inside of them are wrong. A
#           detector that finds every object, and four in a crowd, has AP 0.505 instead of 1.
# Versions: globox 2.9.0, pycocotools 2.0.11
# Seen:     2026-11-30
set -euo pipefail
packages="globox==2.9.0 pycocotools==2.0.11 numpy==2.4.6"
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

from globox import AnnotationSet, COCOEvaluator
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

PERSON, CROWD = [10, 10, 40, 40], [100, 100, 90, 90]
INSIDE = [[100 + 45 * column, 100 + 45 * row, 40, 40] for row in (0, 1) for column in (0, 1)]


def annotation(key, box, crowd):
    area = box[2] * box[3]
    return {"id": key, "image_id": 1, "category_id": 1, "bbox": box, "area": area, "iscrowd": crowd}


def write(name, content):
    with open(name, "w") as file:
        json.dump(content, file)


def official():
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO("labels.json")
        run = COCOeval(labels, labels.loadRes("results.json"), "bbox")
        run.evaluate(), run.accumulate(), run.summarize()
    return round(float(run.stats[0]), 3)


def globox():
    labels = AnnotationSet.from_coco("labels.json")
    evaluator = COCOEvaluator(ground_truths=labels, predictions=labels.from_results("results.json"))
    with contextlib.redirect_stdout(io.StringIO()):
        return round(float(evaluator.ap()), 3)


def both(crowd):
    write(
        "labels.json",
        {
            "images": [{"id": 1, "width": 200, "height": 200, "file_name": "a.png"}],
            "categories": [{"id": 1, "name": "person"}],
            "annotations": [annotation(1, PERSON, 0), *([annotation(2, CROWD, 1)] if crowd else [])],
        },
    )
    scored = [(PERSON, 0.9), *((box, 0.8) for box in INSIDE if crowd)]
    write("results.json", [{"image_id": 1, "category_id": 1, "bbox": box, "score": score} for box, score in scored])
    return official(), globox()


print("versions:", {name: version(name) for name in ("globox", "pycocotools")})
plain, crowded = both(False), both(True)
print("AP of pycocotools and globox without a crowd:", plain)
print("with a crowd:", crowded)
sys.exit(0 if plain == (1, 1) and crowded[0] == 1 and crowded[1] < 0.6 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
