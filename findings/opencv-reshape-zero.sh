#!/usr/bin/env bash
# Expect:   a zero in the shape of ONNX's Reshape keeps that side of its input, also if the input comes from another Reshape.
# Happens:  OpenCV 5 drops a Reshape in front of another, so that the zeros keep sides of the first one's input: 1x4x8x8, made
#           1x32x8 and then [0, 0, -1], is 1x4x64. The maximum over the last side then has 4 numbers in place of 32.
#           With another layer between both, the shapes are right, as they are in OpenCV 4.11.
# Versions: onnx 1.23.2, onnxruntime 1.32.0, opencv-python-headless 5.0.0.93
# Seen:     2026-12-01
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.32.0 opencv-python-headless==5.0.0.93 numpy==2.4.6"
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

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

MAP = np.arange(256, dtype=np.float32).reshape(1, 4, 8, 8)
FIRST = helper.make_node("Reshape", ["map", "first"], ["a"])
BETWEEN = {"nothing": [], "Relu": [helper.make_node("Relu", ["a"], ["b"])]}
MAXIMUM = helper.make_node("ReduceMax", ["c"], ["out"], axes=[2], keepdims=0)


def shapes(between):
    """The shape under ONNX Runtime, and under OpenCV."""
    second = helper.make_node("Reshape", ["b" if between else "a", "second"], ["c"])
    graph = helper.make_graph(
        [FIRST, *between, second, MAXIMUM],
        "head",
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, list(MAP.shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 32])],
        [
            helper.make_tensor("first", TensorProto.INT64, [3], [0, -1, 8]),
            helper.make_tensor("second", TensorProto.INT64, [3], [0, 0, -1]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    net.setInput(MAP)
    return list(session.run(None, {"map": MAP})[0].shape), list(net.forward().shape)


print("versions:", {name: version(name) for name in ("onnx", "onnxruntime", "opencv-python-headless")})
seen = {name: shapes(between) for name, between in BETWEEN.items()}
for name, (right, found) in seen.items():
    print(f"shape with {name} between, ONNX Runtime: {right}, OpenCV: {found}")
sys.exit(0 if seen == {"nothing": ([1, 32], [1, 4]), "Relu": ([1, 32], [1, 32])} else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
