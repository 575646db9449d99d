#!/usr/bin/env bash
# Expect:   torchmetrics' MeanAveragePrecision gives AP with other limits of detections, such as 1, 10 and 200, as it does with
#           1, 10 and 100: a perfect detector has "map" 1.
# Happens:  with its default backend, "map" is -1, which stands for "no objects", while "map_50" and "map_75" are 1. Its other
#           backend, faster_coco_eval, gives 1.
# Versions: torchmetrics 1.9.0, pycocotools 2.0.11, faster-coco-eval 1.8.0, torch 2.14.1
# Seen:     2026-12-01
set -euo pipefail
packages="torchmetrics==1.9.0 pycocotools==2.0.11 faster-coco-eval==1.8.0 torchvision==0.29.1 torch==2.14.1 numpy==2.4.6"
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
from torchmetrics.detection import MeanAveragePrecision

BOX, LABEL = torch.tensor([[0.0, 0.0, 100.0, 100.0]]), torch.tensor([1])


def perfect(backend, most):
    metric = MeanAveragePrecision(max_detection_thresholds=[1, 10, most], backend=backend)
    metric.update([{"boxes": BOX, "scores": torch.tensor([0.9]), "labels": LABEL}], [{"boxes": BOX, "labels": LABEL}])
    found = metric.compute()
    return tuple(round(float(found[key]), 3) for key in ("map", "map_50"))


print("versions:", {name: version(name) for name in ("torchmetrics", "pycocotools", "faster-coco-eval", "torch")})
seen = {backend: [perfect(backend, most) for most in (100, 200)] for backend in ("pycocotools", "faster_coco_eval")}
print("map and map_50 with a limit of 100, and of 200:", seen)
sys.exit(0 if seen == {"pycocotools": [(1, 1), (-1, 1)], "faster_coco_eval": [(1, 1), (1, 1)]} else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
