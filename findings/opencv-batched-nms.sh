#!/usr/bin/env bash
# Expect:   a suppression "per class" never lets a box of one class suppress one of another class, wherever they lie.
# Happens:  OpenCV's NMSBoxesBatched shifts the boxes of class k by k times the largest coordinate, and suppresses them all
#           at once. Boxes that reach far to negative coordinates, as those of objects at the upper left border do before
#           they are clipped, still overlap after such a shift: of two equal boxes of two classes one is lost.
# Versions: opencv-python-headless 4.14.0.94, numpy 2.4.6
# Seen:     2026-12-01
set -euo pipefail
packages="opencv-python-headless==4.14.0.94 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import sys
from importlib.metadata import version

import cv2


def kept(box):
    return len(cv2.dnn.NMSBoxesBatched([box, box], [0.9, 0.8], [0, 1], 0.1, 0.5))  # x, y, width, height


print("versions:", {name: version(name) for name in ("opencv-python-headless", "numpy")})
inside, border = kept([0.0, 0.0, 70.0, 70.0]), kept([-60.0, -60.0, 70.0, 70.0])
print("boxes kept of two equal ones of two classes, inside of the image:", inside, "over its border:", border)
sys.exit(0 if (inside, border) == (2, 1) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
