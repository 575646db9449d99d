#!/usr/bin/env bash
# Expect:   kwimage's Boxes.warp by a matrix that mirrors gives the bounding box of the mirrored box, as its documentation says
#           and its warp of polygons does: 3 to 7 of 12 becomes 5 to 9.
# Happens:  left and right are exchanged: the box is 9 to 5, its width -4, its area -12, and its overlap with the right box not
#           a number. A turn by 180 degrees exchanges both axes, so that the area is positive again and hides it.
# Versions: kwimage 0.12.0, numpy 2.4.6
# Seen:     2026-12-01
set -euo pipefail
packages="kwimage==0.12.0 numpy==2.4.6"
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

import kwimage
import numpy as np

WIDTH = 12
BOX, RIGHT = np.array([[3.0, 2.0, 7.0, 5.0]]), np.array([[5.0, 2.0, 9.0, 5.0]])
MIRROR = kwimage.Affine(np.array([[-1.0, 0.0, WIDTH], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))

box = kwimage.Boxes(BOX, "ltrb")
warped = box.warp(MIRROR)
polygon = box.to_polygons()[0].warp(MIRROR).to_boxes().to_ltrb().data.tolist()
seen = warped.data.tolist(), warped.width.item(), warped.area.item(), warped.ious(kwimage.Boxes(RIGHT, "ltrb")).item()
turned = box.warp(kwimage.Affine(np.array([[-1.0, 0.0, WIDTH], [0.0, -1.0, WIDTH], [0.0, 0.0, 1.0]])))
print("versions:", {name: version(name) for name in ("kwimage", "numpy")})
print("mirrored: polygon's box", polygon, "box, width, area, IoU with the right box:", seen)
print("turned by 180 degrees:", turned.data.tolist(), "area", turned.area.item())
sys.exit(0 if polygon == RIGHT.tolist() and seen[0] == [[9, 2, 5, 5]] and seen[1:3] == (-4, -12) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
