#!/usr/bin/env bash
# Expect:   the area of a box given by its corners, as in the form "xyxy", is its width times its height.
# Happens:  kornia's Boxes.compute_area takes a pixel off both sides, although get_boxes_shape of the same boxes does not: 10
#           by 10 has the area 81, and a box that is one pixel wide has the area 0, so that filter_boxes_by_area drops it.
# Versions: kornia 0.9.0, torch 2.14.1
# Seen:     2026-12-01
set -euo pipefail
packages="kornia==0.9.0 torch==2.14.1 numpy==2.4.6"
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

import torch
from kornia.geometry.boxes import Boxes

boxes = Boxes.from_tensor(torch.tensor([[[0.0, 0.0, 10.0, 10.0], [5.0, 5.0, 6.0, 305.0]]]), mode="xyxy")
heights, widths = boxes.get_boxes_shape()
sides, areas = (heights * widths).flatten().tolist(), boxes.compute_area().flatten().tolist()
print("versions:", {name: version(name) for name in ("kornia", "torch")})
print("width times height:", sides, "compute_area:", areas)
sys.exit(0 if (sides, areas) == ([100, 300], [81, 0]) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
