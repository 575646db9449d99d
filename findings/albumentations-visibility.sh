#!/usr/bin/env bash
# Expect:   min_visibility=0.5 removes a box of which less than half is left behind all transforms.
# Happens:  albumentations compares each transform's box with that of the transform before. A crop to 36 % of a box removes it;
#           two crops that leave 60 % each keep the same 36 %, and four keep 13 %. With check_each_transform=False the
#           original counts, and all are removed.
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

IMAGE, BOX = np.zeros((100, 100, 3), np.uint8), np.array([[0, 0, 100, 100]], float)
CROPS = {1: [(60, 60)], 2: [(60, 100), (60, 60)], 4: [(60, 100), (60, 60), (36, 60), (36, 36)]}


def left(sizes, **settings):
    params = albumentations.BboxParams(format="pascal_voc", label_fields=["labels"], min_visibility=0.5, **settings)
    crops = [albumentations.Crop(0, 0, *size) for size in sizes]
    found = albumentations.Compose(crops, bbox_params=params)(image=IMAGE, bboxes=BOX, labels=[1])["bboxes"]
    return [round(float((x2 - x1) * (y2 - y1) / 10000), 2) for x1, y1, x2, y2 in found]


print("versions:", {name: version(name) for name in ("albumentations", "numpy")})
seen = {count: left(sizes) for count, sizes in CROPS.items()}
whole = {count: left(sizes, check_each_transform=False) for count, sizes in CROPS.items()}
print("share of the box that is left, by the number of crops:", seen, "with check_each_transform=False:", whole)
sys.exit(0 if (seen, whole) == ({1: [], 2: [0.36], 4: [0.13]}, {1: [], 2: [], 4: []}) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
