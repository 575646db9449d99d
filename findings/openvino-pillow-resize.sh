#!/usr/bin/env bash
# Expect:   OpenVINO's preprocessing RESIZE_BILINEAR_PILLOW gives the gray levels of Pillow for an image of bytes.
# Happens:  up to 5 % of them differ by 1. Those of RESIZE_BICUBIC_PILLOW are nearly all equal.
# Versions: openvino 2026.4.1, Pillow 13.0.0, numpy 2.4.6
# Seen:     2026-12-01
set -euo pipefail
packages="openvino==2026.4.1 pillow==13.0.0 numpy==2.4.6"
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

import numpy as np
import openvino
import openvino.opset13 as op
from openvino.preprocess import PrePostProcessor, ResizeAlgorithm
from PIL import Image

IMAGE = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
KINDS = {"RESIZE_BILINEAR_PILLOW": Image.Resampling.BILINEAR, "RESIZE_BICUBIC_PILLOW": Image.Resampling.BICUBIC}


def resized(kind, height, width):
    pixels = op.parameter([1, height, width, 3], openvino.Type.f32)
    steps = PrePostProcessor(openvino.Model([op.result(op.relu(pixels))], [pixels]))
    steps.input().tensor().set_shape([1, *IMAGE.shape]).set_element_type(openvino.Type.u8)
    steps.input().tensor().set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NHWC"))
    steps.input().preprocess().resize(getattr(ResizeAlgorithm, kind)).convert_element_type(openvino.Type.f32)
    return openvino.Core().compile_model(steps.build(), "CPU")(IMAGE[None])[0][0]


print("versions:", {name: version(name) for name in ("openvino", "pillow", "numpy")})
changed = {}
for kind, filter in KINDS.items():
    off = []
    for height, width in ((30, 30), (100, 90)):
        exact = np.asarray(Image.fromarray(IMAGE).resize((width, height), filter)).astype(np.float32)
        off.append(np.abs(resized(kind, height, width) - exact))
    changed[kind] = [round(100 * float((each > 0).mean()), 2) for each in off]
    print(kind, "to 30x30 and 100x90: percent of gray levels that differ:", changed[kind], "by", float(off[1].max()))
sys.exit(0 if changed["RESIZE_BILINEAR_PILLOW"][1] > 3 and max(changed["RESIZE_BICUBIC_PILLOW"]) < 0.5 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
