#!/usr/bin/env bash
# Expect:   Keras's MixUp gives each image the boxes of both images that were mixed, and as many labels.
# Happens:  it joins boxes along the axis of boxes, and labels along that of images: two images with one box each become two
#           images with two boxes each, and four with one label. Label i no longer belongs to box i, and nothing is raised.
# Versions: keras 3.15.1, jax 0.10.2
# Seen:     2026-12-01
set -euo pipefail
packages="keras==3.15.1 jax==0.10.2 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
KERAS_BACKEND=jax venv/bin/python -W ignore - <<'PY' || status=$?
import sys
from importlib.metadata import version

import keras
import numpy as np

BOXES = {"boxes": np.array([[[1, 1, 2, 2]], [[3, 3, 4, 4]]], np.float32), "labels": np.array([[1], [2]], np.float32)}

layer = keras.layers.MixUp(data_format="channels_last", seed=1, bounding_box_format="xyxy")
found = layer({"images": np.zeros((2, 8, 8, 3), np.float32), "bounding_boxes": BOXES}, training=True)["bounding_boxes"]
boxes, labels = np.asarray(found["boxes"]), np.asarray(found["labels"])
print("versions:", {name: version(name) for name in ("keras", "jax")})
print("given: boxes", BOXES["boxes"].shape, "labels", BOXES["labels"].shape)
print("mixed: boxes", boxes.shape, boxes.tolist(), "labels", labels.shape, labels.tolist())
sys.exit(0 if (boxes.shape, labels.shape) == ((2, 2, 4), (4, 1)) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
