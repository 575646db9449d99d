#!/usr/bin/env bash
# Expect:   onnx.version_converter keeps what a model computes, or refuses. The Softmax of opset 13 is over one axis, that of
#           12 over this axis and all behind it.
# Happens:  from 13 to 12 it keeps the axis. A softmax over 3 classes of 4 boxes becomes one over all 12 numbers, so that
#           the probabilities of a box sum up to 0.25 if all scores are equal. The way from 12 to 13 is right.
# Versions: onnx 1.23.2, onnxruntime 1.32.0
# Seen:     2026-12-01
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6"
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
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter

SCORES = np.zeros((1, 3, 4), np.float32)  # 3 classes, 4 boxes


def made(opset):
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["scores"], ["out"], axis=1)],
        "softmax",
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, list(SCORES.shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, list(SCORES.shape))],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=7)
    onnx.checker.check_model(model, full_check=True)
    return model


def sums(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return sorted(set(session.run(None, {"scores": SCORES})[0].sum(1).round(3).ravel().tolist()))


print("versions:", {name: version(name) for name in ("onnx", "onnxruntime")})
seen = {}
for before, after in ((13, 12), (12, 13)):
    model = made(before)
    seen[before] = sums(model), sums(version_converter.convert_version(model, after))
    print(f"sums of a box's probabilities at opset {before}: {seen[before][0]}, converted to {after}: {seen[before][1]}")
sys.exit(0 if seen[13] == ([1.0], [0.25]) and seen[12] == ([0.25], [0.25]) else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
