#!/usr/bin/env bash
# Expect:   soft NMS lowers the score of a box that overlaps a better one; that is all it does in place of removing boxes.
# Happens:  the package ensemble-boxes lowers scores only to decide which boxes stay, and returns the scores of before: of
#           two equal boxes with 0.9 and 0.8, the second keeps 0.8 where 0.8 exp(-1 / sigma) = 0.108 is right.
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
import math
import sys
from importlib.metadata import version

from ensemble_boxes import soft_nms

BOX, SIGMA = [0.1, 0.1, 0.5, 0.5], 0.5

_, scores, _ = soft_nms([[BOX, BOX]], [[0.9, 0.8]], [[0, 0]], method=2, sigma=SIGMA)
lowered = 0.8 * math.exp(-1 / SIGMA)
print("versions:", {name: version(name) for name in ("ensemble-boxes", "numba", "numpy")})
print("scores of two equal boxes, 0.9 and 0.8, after Gaussian soft NMS:", scores.tolist(), "expected:", [0.9, lowered])
sys.exit(0 if scores.tolist() == [0.9, 0.8] else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
