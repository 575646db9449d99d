#!/usr/bin/env bash
# Expect:   the mean IoU of detections that are equal to the labels is 1.
# Happens:  torchmetrics' IntersectionOverUnion averages over every pair of a detection and an object, matched or not: for n
#           objects apart from each other and n perfect boxes it is 1 / n. (With iou_threshold it leaves out pairs below.)
# Versions: torchmetrics 1.9.0, torchvision 0.29.1, torch 2.14.1
# Seen:     2026-12-01
set -euo pipefail
packages="torchmetrics==1.9.0 torchvision==0.29.1 torch==2.14.1 numpy==2.4.6"
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
from torchmetrics.detection import IntersectionOverUnion


def perfect(count):
    corners = 20.0 * torch.arange(count)[:, None].expand(count, 2)
    boxes, labels = torch.cat((corners, corners + 10), 1), torch.ones(count, dtype=torch.int64)
    metric = IntersectionOverUnion()
    metric.update([{"boxes": boxes, "scores": torch.ones(count), "labels": labels}], [{"boxes": boxes, "labels": labels}])
    return round(float(metric.compute()["iou"]), 3)


print("versions:", {name: version(name) for name in ("torchmetrics", "torchvision", "torch")})
values = [perfect(count) for count in (1, 2, 4)]
print("IoU of 1, 2 and 4 perfect boxes:", values)
sys.exit(0 if values == [1, 0.5, 0.25] else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
