#!/usr/bin/env bash
# Expect:   SAHI's non-maximum merging makes one box of two of the same class that overlap by more than the threshold, also if
#           their scores are equal, as scores of quantized networks often are.
# Happens:  with equal scores both are returned as they are, in whatever order they come. With scores that differ by 0.01,
#           one box is returned, the union of both.
# Versions: sahi 0.12.8
# Seen:     2026-12-01
set -euo pipefail
packages="sahi==0.12.8 numpy==2.4.6"
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

from sahi.postprocess.combine import NMMPostprocess
from sahi.prediction import ObjectPrediction

LEFT, RIGHT = [0, 0, 100, 100], [10, 0, 110, 100]  # IoU 0.82


def merged(first, second, boxes):
    predictions = [
        ObjectPrediction(bbox=box, score=score, category_id=0, category_name="bird")
        for box, score in zip(boxes, (first, second))
    ]
    found = NMMPostprocess(match_threshold=0.5, match_metric="IOU", class_agnostic=False)(predictions)
    return sorted([round(value) for value in each.bbox.to_xyxy()] for each in found)


print("versions:", {name: version(name) for name in ("sahi",)})
seen = {}
for scores in ((0.9, 0.89), (0.89, 0.9), (0.9, 0.9)):
    for name, boxes in (("left first", (LEFT, RIGHT)), ("right first", (RIGHT, LEFT))):
        seen[scores, name] = merged(*scores, boxes)
        print(f"{LEFT} and {RIGHT}, {name}, scores {scores}:", seen[scores, name])
union = [0, 0, 110, 100]
unequal = all(found == [union] for (scores, _), found in seen.items() if scores[0] != scores[1])
sys.exit(0 if unequal and all(seen[(0.9, 0.9), name] == [LEFT, RIGHT] for name in ("left first", "right first")) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
