#!/usr/bin/env bash
# Expect:   torchvision's SanitizeBoundingBoxes keeps a rotated box in the image that is larger than min_size, whatever its
#           angle, and removes one that is thinner, as it does with boxes that are not rotated.
# Happens:  it mixes x and y of the corners when it measures the second side: a box of 60 by 20 is removed at 90 and 270
#           degrees, and one of 60 by 0.01 stays at the other angles. A box that stood at 0 degrees before a rotation of
#           the image by 90 is lost. All three rotated formats agree.
# Versions: torchvision 0.29.1, torch 2.14.1
# Seen:     2026-12-01
set -euo pipefail
packages="torchvision==0.29.1 torch==2.14.1 numpy==2.4.6"
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
from torchvision import tv_tensors
from torchvision.transforms import v2

ANGLES = (0, 45, 90, 180, 270)
KEPT = {"60 by 20": [0, 45, 180], "60 by 0.01": [0, 45, 180]}
FORMATS = ("CXCYWHR", "XYWHR", "XYXYXYXY")


def box(height, angle):
    values = torch.tensor([[100.0, 80.0, 60.0, height, angle]])
    return tv_tensors.BoundingBoxes(values, format="CXCYWHR", canvas_size=(200, 300))


def kept(height, format):
    sanitize = v2.SanitizeBoundingBoxes(min_size=1, labels_getter=None)
    return [angle for angle in ANGLES if len(sanitize(v2.ConvertBoundingBoxFormat(format)(box(height, angle))))]


print("versions:", {name: version(name) for name in ("torchvision", "torch")})
seen = {format: {"60 by 20": kept(20.0, format), "60 by 0.01": kept(0.01, format)} for format in FORMATS}
for format, found in seen.items():
    print(f"angles of {ANGLES} at which a box in an image of 300 by 200 is kept, {format}:", found)
thin = torch.tensor([[70.0, 80.0, 130.0, 80.01]])
plain = v2.SanitizeBoundingBoxes(min_size=1, labels_getter=None)(
    tv_tensors.BoundingBoxes(thin, format="XYXY", canvas_size=(200, 300))
)
turned = v2.functional.rotate(box(20.0, 0), 90, expand=True)
left = v2.SanitizeBoundingBoxes(labels_getter=None)(turned)
print("without rotation, 60 by 0.01 kept:", len(plain), "turned with the image:", turned.tolist(), "kept:", len(left))
sys.exit(0 if all(found == KEPT for found in seen.values()) and len(plain) == len(left) == 0 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
