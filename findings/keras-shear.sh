#!/usr/bin/env bash
# Expect:   Keras's RandomShear moves the boxes of objects as it moves their pixels, in images of any shape.
# Happens:  it shears boxes as fractions of the image, and pixels as pixels. In an image of 200 by 100 a box moves twice as far
#           to the side as its object, and half as far up or down: the overlap with the object is 0.44 and 0.64. In a square
#           image both agree.
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

BOX = [40, 40, 60, 60]
SIZES = [(100, 100), (200, 100), (100, 200)]


def sheared(size, x_factor, y_factor):
    """The box of the pixels of a square, and the square's box, after both were sheared."""
    image = np.zeros((1, size[1], size[0], 1), np.float32)
    image[0, BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    boxes = {"boxes": np.array([[BOX]], np.float32), "labels": np.array([[1]], np.float32)}
    layer = keras.layers.RandomShear(
        x_factor, y_factor, fill_mode="constant", data_format="channels_last", bounding_box_format="xyxy"
    )
    found = layer({"images": image, "bounding_boxes": boxes}, training=True)
    rows, columns = np.nonzero(np.asarray(found["images"])[0, :, :, 0] > 127)
    pixels = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    return [round(float(side)) for side in pixels], np.asarray(found["bounding_boxes"]["boxes"])[0, 0].round(1).tolist()


print("versions:", {name: version(name) for name in ("keras", "jax")})
seen = {}
for axis, factors in enumerate([((0.2, 0.2), 0.0), (0.0, (0.2, 0.2))]):
    for size in SIZES:
        pixels, box = sheared(size, *factors)
        seen[axis, size] = (box[axis] - BOX[axis]) / (pixels[axis] - BOX[axis])
        print(f"{('to the side', 'up or down')[axis]}, image of {size[0]} by {size[1]}: pixels {pixels}, box {box}")
print("way of the box, as a multiple of that of the pixels:", [round(each, 2) for each in seen.values()])
sys.exit(0 if np.allclose([*seen.values()], [1, 2, 0.5, 1, 0.5, 2], atol=0.15) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
