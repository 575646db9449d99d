#!/usr/bin/env bash
# Expect:   ONNX Script's optimizer keeps what a quantized network computes. A ConvInteger subtracts the zero point from what
#           it reads, also from the zeros of a Pad before it, but not from its own padding, which counts as 0.
# Happens:  it moves the Pad into the convolution whatever the zero point is. With a zero point of 10, a border of -10 per
#           weight becomes one of 0. With a zero point of 0 the result is the same.
# Versions: onnx 1.23.2, onnxscript 0.7.2, onnxruntime 1.32.0
# Seen:     2026-12-01
set -euo pipefail
packages="onnx==1.23.2 onnxscript==0.7.2 onnxruntime==1.32.0 numpy==2.4.6"
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
from onnx import TensorProto, helper
from onnxscript import optimizer

IMAGE = np.full((1, 1, 1, 1), 12, np.uint8)


def made(zero_point):
    graph = helper.make_graph(
        [
            helper.make_node("Pad", ["image", "pads"], ["padded"]),
            helper.make_node("ConvInteger", ["padded", "weight", "zero"], ["out"]),
        ],
        "quantized",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, list(IMAGE.shape))],
        [helper.make_tensor_value_info("out", TensorProto.INT32, [1, 1, 3, 3])],
        [
            helper.make_tensor("pads", TensorProto.INT64, [8], [0, 0, 1, 1, 0, 0, 1, 1]),
            helper.make_tensor("weight", TensorProto.UINT8, [1, 1, 1, 1], [1]),
            helper.make_tensor("zero", TensorProto.UINT8, [], [zero_point]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"image": IMAGE})[0][0, 0].tolist()


print("versions:", {name: version(name) for name in ("onnx", "onnxscript", "onnxruntime")})
seen = {}
for zero_point in (0, 10):
    model = made(zero_point)
    optimized = optimizer.optimize(model)
    seen[zero_point] = run(model), run(optimized)
    print(f"zero point {zero_point}: {seen[zero_point][0]}, optimized to {[node.op_type for node in optimized.graph.node]}:")
    print("   ", seen[zero_point][1])
border = [[-10, -10, -10], [-10, 2, -10], [-10, -10, -10]], [[0, 0, 0], [0, 2, 0], [0, 0, 0]]
sys.exit(0 if seen[10] == border and seen[0][0] == seen[0][1] else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
