#!/usr/bin/env bash
# Expect:   powerboxes' diou_distance is that of the paper it names: one minus the IoU, plus the squared distance of the
#           centers over that of the corners of the box around both. It is at most 2, and grows with the distance.
# Happens:  it divides by the diagonal of the intersection instead, and returns 1 for boxes that do not overlap. The smaller
#           the overlap, the larger the distance, without limit: a box that overlaps by a tenth of a pixel has 9802,
#           one at the other end of the image 1. Its ciou_distance divides by the right diagonal.
# Versions: powerboxes 0.3.1
# Seen:     2026-12-01
set -euo pipefail
packages="powerboxes==0.3.1 numpy==2.4.6"
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
import powerboxes

FIRST = [0.0, 0.0, 10.0, 10.0]
OTHERS = {
    "same": FIRST,
    "shifted by 2": [2.0, 2.0, 12.0, 12.0],
    "shifted by 5": [5.0, 5.0, 15.0, 15.0],
    "shifted by 9": [9.0, 9.0, 19.0, 19.0],
    "shifted by 9.9": [9.9, 9.9, 19.9, 19.9],
    "shifted by 900": [900.0, 900.0, 910.0, 910.0],
}


def of_paper(a, b):
    inside = np.prod(np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inside
    around = np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])
    centers = (a[:2] + a[2:] - b[:2] - b[2:]) / 2
    return 1 - inside / union + np.sum(centers**2) / np.sum(around**2)


print("versions:", {name: version(name) for name in ("powerboxes", "numpy")})
first, others = np.array([FIRST]), np.array(list(OTHERS.values()))
found = powerboxes.diou_distance(first, others)[0]
complete = powerboxes.ciou_distance(first, others)[0]  # all are squares: their shapes add nothing
right = [of_paper(first[0], other) for other in others]
for name, *values in zip(OTHERS, found, complete, right):
    print(f"{name}: diou {values[0]:.3f}, ciou {values[1]:.3f}, of the paper {values[2]:.3f}")
overlapping = slice(0, 5)
same = np.allclose(complete[overlapping], right[overlapping], atol=1e-3) and found[0] == 0 and max(right) < 2
sys.exit(0 if same and 1 == found[5] < found[2] < found[3] < 100 < found[4] and found[2] > right[2] + 0.5 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
