#!/usr/bin/env bash
# Expect:   fusing boxes reads its arguments: a second call with the same boxes, scores and labels gives the same result.
# Happens:  nms and soft_nms of the package ensemble-boxes write weighted scores into the caller's list if they are given
#           weights: after two calls with the weights 1 and 1, a score of 0.8 is 0.2 in the list of the caller, and what
#           is fused next (weighted boxes fusion does not do this) starts from 0.2.
# Versions: ensemble-boxes 1.0.9, numba 0.68.1, numpy 2.4.6
# Seen:     2026-12-01
set -euo pipefail
packages="ensemble-boxes==1.0.9 numba==0.68.1 numpy==2.4.6 pandas==3.1.1"
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

from ensemble_boxes import nms, weighted_boxes_fusion

boxes, scores, labels = [[[0.1, 0.1, 0.5, 0.5]], [[0.6, 0.6, 0.9, 0.9]]], [[0.8], [0.8]], [[0], [0]]


def best(fuse):
    return round(float(fuse(boxes, scores, labels, weights=[1, 1])[1].max()), 3)


fused = [best(weighted_boxes_fusion) for _ in range(2)]
suppressed = [best(nms) for _ in range(2)]
after = best(weighted_boxes_fusion)
print("versions:", {name: version(name) for name in ("ensemble-boxes", "numba", "numpy")})
print("best score of weighted boxes fusion, twice:", fused, "of nms, twice:", suppressed, "of the fusion after it:", after)
print("the caller's scores:", [[float(score) for score in model] for model in scores])
sys.exit(0 if fused == [0.4, 0.4] and suppressed == [0.4, 0.2] and after == 0.1 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
