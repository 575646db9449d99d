#!/usr/bin/env bash
# Expect:   an augmentation that mirrors an image moves the boxes of its objects with them: the pixels 4 to 9 of 40 become
#           the pixels 30 to 35, and the box 4 to 10 becomes 30 to 36.
# Happens:  kornia mirrors boxes as it mirrors the centers of pixels, at width - 1: the box becomes 29 to 35, and leaves out
#           the last column of the object. A box of 6 by 6 pixels overlaps the mirrored object by 0.71.
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
from kornia.augmentation import AugmentationSequential, RandomHorizontalFlip

image = torch.zeros(1, 3, 20, 40)
image[..., 2:8, 4:10] = 1  # an object of 6 by 6 pixels
flip = AugmentationSequential(RandomHorizontalFlip(p=1.0), data_keys=["input", "bbox_xyxy"])
flipped, boxes = flip(image, torch.tensor([[[4.0, 2.0, 10.0, 8.0]]]))
columns = torch.where(flipped[0, 0].amax(0) > 0.5)[0]
seen, box = [int(columns[0]), int(columns[-1]) + 1], boxes[0, 0, ::2].tolist()
print("versions:", {name: version(name) for name in ("kornia", "torch")})
print("the mirrored object, from and to:", seen, "its box:", box)
sys.exit(0 if seen == [30, 36] and box == [29, 35] else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
