#!/usr/bin/env bash
# Expect:   torchvision's MultiScaleRoIAlign takes the ratio of feature map and image for its scale, whatever the stride, and
#           so pools what lies under a box. Vision transformers with patches of 14 pixels are usual.
# Happens:  it rounds the ratio to a power of two: a map of stride 14 is taken for one of stride 16, and one of stride 12
#           too. What it returns for a box lies an eighth or a quarter of the way closer to the upper left corner of the
#           image. It keeps the scale of its first call, also for later maps of another stride.
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
from torchvision.ops import MultiScaleRoIAlign, roi_align

CELLS, BOX = 60, [300.0, 200.0, 400.0, 300.0]  # the center is at 350


def columns(stride):
    """A feature map whose cells hold the x of their left edges in the image, and the image's height and width."""
    return (torch.arange(CELLS) * float(stride)).expand(1, 1, CELLS, CELLS).contiguous(), (CELLS * stride,) * 2


def pooled(stride, pool):
    features, size = columns(stride)
    return round(float(pool({"map": features}, [torch.tensor([BOX])], [size]).mean()), 1)


def direct(stride):
    return round(float(roi_align(columns(stride)[0], [torch.tensor([BOX])], (1, 1), 1 / stride, 2).mean()), 1)


def new():
    return MultiScaleRoIAlign(["map"], (1, 1), 2)


print("versions:", {name: version(name) for name in ("torchvision", "torch")})
seen = {stride: (pooled(stride, new()), direct(stride)) for stride in (8, 12, 14, 16)}
for stride, (found, right) in seen.items():
    print(f"stride {stride}: center of the box at 350, pooled at {found}, with roi_align at {right}")
once = new()
print("one module, stride 16 and then 8:", kept := [pooled(stride, once) for stride in (16, 8)])
right = all(direct == 350 for _, direct in seen.values())
moved = {stride: 350 * stride / 16 for stride in (12, 14)}
same = all(abs(found - moved.get(stride, 350)) < 1 for stride, (found, _) in seen.items())
sys.exit(0 if right and same and kept[0] == 350 and abs(kept[1] - 175) < 1 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
