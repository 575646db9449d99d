#!/usr/bin/env bash
# Expect:   the box of a mask of 4 by 3 pixels is 4 by 3, as COCO's own tool says.
# Happens:  supervision's mask_to_xyxy takes the last column and row for the right and lower side, so that the box is 3 by 2.
#           Its area is half of the mask's, its IoU with COCO's box is 0.5, and a mask that is one pixel wide has a box
#           without area.
# Versions: supervision 0.31.2, pycocotools 2.0.11, numpy 2.4.6
# Seen:     2026-12-01
set -euo pipefail
packages="supervision==0.31.2 pycocotools==2.0.11 numpy==2.4.6"
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

import numpy as np
import supervision
from pycocotools import mask

OBJECT = np.zeros((10, 12), bool)
OBJECT[2:5, 3:7] = True

x, y, width, height = (float(side) for side in mask.toBbox(mask.encode(np.asfortranarray(OBJECT.astype(np.uint8)))))
coco = [x, y, x + width, y + height]
boxes = supervision.mask_to_xyxy(OBJECT[None])
found = supervision.Detections(xyxy=boxes, mask=OBJECT[None])
print("versions:", {name: version(name) for name in ("supervision", "pycocotools", "numpy")})
print("x1, y1, x2, y2 of pycocotools:", coco, "of supervision:", boxes[0].tolist())
print("area of supervision's mask:", float(found.area[0]), "of its box:", float(found.box_area[0]))
sys.exit(0 if (coco, boxes[0].tolist()) == ([3, 2, 7, 5], [3, 2, 6, 4]) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
