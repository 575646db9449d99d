#!/usr/bin/env bash
# Expect:   similari's nms removes a box if its overlap with a better one, as IoU, is above the threshold, as others do. Its
#           documentation does not name another measure.
# Happens:  it divides the intersection by the area of the weaker box alone. A box of 20 by 20 in the middle of a better one
#           of 100 by 100 has an IoU of 0.04, and is removed at a threshold of 0.9; exchange the scores, and both stay at
#           0.1.
# Versions: similari-trackers-rs 0.26.12
# Seen:     2026-12-01
set -euo pipefail
packages="similari-trackers-rs==0.26.12"
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

from similari import BoundingBox, nms

LARGE, SMALL = (0.0, 0.0, 100.0, 100.0), (40.0, 40.0, 20.0, 20.0)


def kept(large, small, threshold):
    boxes = [(BoundingBox(*box).as_xyaah(), score) for box, score in ((LARGE, large), (SMALL, small))]
    return sorted(round(each.height) for each in nms(boxes, nms_threshold=threshold, score_threshold=0.0))


print("versions:", {name: version(name) for name in ("similari-trackers-rs",)})
print("100 by 100 around 20 by 20, IoU 0.04")
seen = {}
for large, small in ((0.9, 0.8), (0.8, 0.9)):
    seen[large] = {threshold: kept(large, small, threshold) for threshold in (0.03, 0.1, 0.5, 0.9)}
    print(f"scores {large} and {small}, heights kept by threshold:", seen[large])
better = all(heights == [100] for heights in seen[0.9].values())
sys.exit(0 if better and all(seen[0.8][threshold] == [20, 100] for threshold in (0.1, 0.5, 0.9)) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
