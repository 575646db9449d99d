#!/usr/bin/env bash
# Expect:   Datumaro's RotatedBbox.iou is the intersection over union of the two rotated boxes.
# Happens:  it is that of the upright boxes around them. Two bars of 100 by 10 that cross each other have 1, where 0.053 is
#           right; two parallel bars that do not touch have 0.612.
# Versions: datumaro 1.13.12, shapely 2.2.0
# Seen:     2026-12-01
set -euo pipefail
packages="datumaro==1.13.12 shapely==2.2.0"
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

from datumaro.components.annotation import RotatedBbox
from shapely.geometry import Polygon

FIRST = 100, 100, 100, 10, 45  # center, width, height, degrees
OTHERS = {
    "the same": FIRST,
    "crossing it": (100, 100, 100, 10, 135),
    "beside it": (110, 90, 100, 10, 45),
    "upright, around it": (100, 100, 110 / 2**0.5, 110 / 2**0.5, 0),
}


def right(first, second):
    first, second = Polygon(first.as_polygon()), Polygon(second.as_polygon())
    return first.intersection(second).area / first.union(second).area


print("versions:", {name: version(name) for name in ("datumaro", "shapely")})
first = RotatedBbox(*FIRST)
seen = {}
for name, other in OTHERS.items():
    other = RotatedBbox(*other)
    seen[name] = round(first.iou(other), 3), round(right(first, other), 3)
    print(f"100 by 10 at 45 degrees, and {name}: {seen[name][0]}, right is {seen[name][1]}")
crossed = seen["crossing it"] == (1.0, 0.053) and seen["upright, around it"][0] == 1 > seen["upright, around it"][1]
sys.exit(0 if crossed and seen["the same"] == (1.0, 1.0) and seen["beside it"][0] > 0.5 and seen["beside it"][1] == 0 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
