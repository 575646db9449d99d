#!/usr/bin/env bash
# Expect:   AveragePool averages as its attribute count_include_pad says, in every runtime; the name of the program that
#           wrote an ONNX file decides nothing.
# Happens:  OpenCV ignores the attribute. It counts padding where the file's producer_name is "pytorch", and only there.
#           So of a file that PyTorch exported, the borders of every average without padding (count_include_pad=False)
#           are too small, and of any other file, those with padding are too large. OpenCV 5.0.0 does as the attribute
#           says.
# Versions: onnx 1.23.2, onnxruntime 1.32.0, opencv-python-headless 4.14.0.94
# Seen:     2026-11-29
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.32.0 opencv-python-headless==4.14.0.94 numpy==2.4.6"
[ -z "${FINDINGS_NEWEST-}" ] || packages=$(sed 's/==[^ ]*//g' <<<"$packages")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
# shellcheck disable=SC2086 # a list of packages
{ python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check $packages; } || exit 2
status=0
venv/bin/python - <<'PY' || status=$?
import sys

import cv2
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

ONES = np.ones((1, 1, 4, 4), np.float32)


def model(producer, counted):
    node = helper.make_node(
        "AveragePool", ["map"], ["pooled"], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=counted
    )
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ONES.shape) for name in ("map", "pooled")]
    graph = helper.make_graph([node], "pooling", tensors[:1], tensors[1:])
    opset = helper.make_opsetid("", 18)
    made = helper.make_model(graph, producer_name=producer, opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made.SerializeToString()


def corners(producer, counted):
    """The average at the corner of a map of ones, of 4 cells and 5 of padding."""
    data = model(producer, counted)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    net = cv2.dnn.readNetFromONNX(np.frombuffer(data, np.uint8))
    net.setInput(ONES)
    pooled = {"onnxruntime": session.run(None, {"map": ONES})[0], "opencv": net.forward()}
    return {name: round(float(values[0, 0, 0, 0]), 3) for name, values in pooled.items()}


print("versions:", {each.__name__: each.__version__ for each in (cv2, onnx, onnxruntime)})
cases = [(producer, counted) for producer in ("pytorch", "another") for counted in (0, 1)]
found = [corners(*case) for case in cases]
for (producer, counted), values in zip(cases, found):
    print(f"producer {producer!r}, count_include_pad={counted}:", values)
expected = [(1, 0.444), (0.444, 0.444), (1, 1), (0.444, 1)]
sys.exit(0 if [tuple(values.values()) for values in found] == expected else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
