#!/usr/bin/env bash
# Expect:   albumentations returns what stands in a label field with each box, such as the ids of COCO's annotations, as it
#           was given.
# Happens:  it keeps numbers as float32 on the way: 900100002299, an id of COCO's crowds, comes back as 900099997696, and
#           16777217 as 16777216, which may be that of another object. Arrays of int64 come back as int64, so the type
#           tells nothing. A label field of strings is exact.
# Versions: albumentations 2.0.8, numpy 2.4.6
# Seen:     2026-12-01
set -euo pipefail
packages="albumentations==2.0.8 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python -W ignore - <<'PY' || status=$?
import sys
from importlib.metadata import version

import albumentations
import numpy as np

IDS = [16777217, 900100002299, 42]
FLOATS = [16777216, 900099997696, 42]
IMAGE, BOXES = np.zeros((100, 100, 3), np.uint8), np.array([[0, 0, 9, 9], [20, 20, 9, 9], [50, 50, 9, 9]], float)


def kept(ids):
    params = albumentations.BboxParams(format="coco", label_fields=["ids"])
    mirror = albumentations.Compose([albumentations.HorizontalFlip(p=1)], bbox_params=params)
    return [int(each) for each in mirror(image=IMAGE, bboxes=BOXES, ids=ids)["ids"]]


print("versions:", {name: version(name) for name in ("albumentations", "numpy")})
seen = {"list": kept(IDS), "int64": kept(np.array(IDS)), "strings": kept([str(each) for each in IDS])}
print("ids given:", IDS, "returned:", seen)
sys.exit(0 if seen == {"list": FLOATS, "int64": FLOATS, "strings": IDS} else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
