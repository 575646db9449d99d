#!/usr/bin/env bash
# Expect:   comparing integers is exact, even if float32 is requested, since no number is a float.
# Happens:  OpenVINO's CPU plugin computes Equal, Less, Mod and Divide of int32 through float32: from 16,777,217 on,
#           neighbors count as equal and every number is even. Adding, subtracting and multiplying are exact. A flat index
#           over boxes and classes gets there: a RetinaNet of 800x1344 px has 201,600 anchors, times 91 classes 18.3 million.
# Versions: openvino 2026.4.1
# Seen:     2026-11-29
set -euo pipefail
packages="openvino==2026.4.1 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import sys

import numpy as np
import openvino
from openvino import opset13 as ops

LEFT = np.array([16_777_217, 16_777_219], np.int32)  # 2^24 + 1, 2^24 + 3
RIGHT = np.array([16_777_216, 16_777_220], np.int32)
TWO = np.array([2, 2], np.int32)
OPERATIONS = {
    "equal": (ops.equal, LEFT, RIGHT, LEFT == RIGHT),
    "less": (ops.less, RIGHT, LEFT, RIGHT < LEFT),
    "mod": (ops.mod, LEFT, TWO, LEFT % TWO),
    "divide": (ops.divide, LEFT, np.ones(2, np.int32), LEFT),
    "add": (ops.add, LEFT, TWO, LEFT + TWO),
    "subtract": (ops.subtract, LEFT, RIGHT, LEFT - RIGHT),
    "multiply": (ops.multiply, LEFT, TWO, LEFT * TWO),
}
INEXACT = {"equal", "less", "mod", "divide"}


def run(operation, left, right):
    inputs = [ops.parameter([2], np.int32, name=name) for name in ("left", "right")]
    model = openvino.Model([operation(*inputs)], inputs)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([left, right])[0]


print("versions:", {"openvino": openvino.__version__})
wrong = set()
for name, (operation, left, right, exact) in OPERATIONS.items():
    result = run(operation, left, right)
    wrong |= set() if (result == exact).all() else {name}
    print(f"{name} of {left.tolist()} and {right.tolist()}: {result.tolist()}, exact: {exact.tolist()}")
sys.exit(0 if wrong == INEXACT else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
