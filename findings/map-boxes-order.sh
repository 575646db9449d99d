#!/usr/bin/env bash
# Expect:   AP does not depend on the order of the rows in a table of detections, as each row has a score.
# Happens:  the package map-boxes matches the detections of an image with the objects in the order of the rows. If a worse
#           box of an object stands before the best one, it takes the object, and the best one counts as wrong: the same
#           two rows have AP 1 in one order, and 0.5 in the other. Detections sorted by name or place are such a table.
# Versions: map-boxes 1.0.6, numpy 2.4.6
# Seen:     2026-12-01
set -euo pipefail
packages="map-boxes==1.0.6 numpy==2.4.6 pandas==3.1.1"
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
from map_boxes import mean_average_precision_for_boxes

OBJECTS = np.array([["image", "cat", 0.0, 0.5, 0.0, 0.5]], dtype=object)  # image, class, x1, x2, y1, y2
BEST, WORSE = ["image", "cat", 0.9, 0.0, 0.5, 0.0, 0.5], ["image", "cat", 0.3, 0.0, 0.5, 0.0, 0.45]


def ap(*rows):
    return float(mean_average_precision_for_boxes(OBJECTS, np.array(rows, dtype=object), verbose=False)[0])


print("versions:", {name: version(name) for name in ("map-boxes", "numpy")})
orders = ap(BEST, WORSE), ap(WORSE, BEST)
print("AP with the best row first, and last:", orders)
sys.exit(0 if orders == (1.0, 0.5) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
