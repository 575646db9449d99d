#!/usr/bin/env bash
# Expect:   a transposed convolution with ONNX's attribute output_shape has an output of that size in every runtime, or is
#           refused, as by OpenCV 4.11.
# Happens:  OpenCV 5 reads the file and ignores the attribute: 8 by 8 with a stride of 2, declared as 15, 16 or 17, becomes
#           18 by 18, and what is added to it or joined with it no longer fits.
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
from onnx import TensorProto, helper, numpy_helper

MAP = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)


def sizes(size):
    """The size under ONNX Runtime, and under OpenCV."""
    layer = helper.make_node(
        "ConvTranspose", ["map", "weights"], ["out"], strides=[2, 2], kernel_shape=[3, 3], output_shape=[size, size]
    )
    graph = helper.make_graph(
        [layer],
        "up",
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, list(MAP.shape))],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 1, size, size])],
        [numpy_helper.from_array(np.ones((1, 1, 3, 3), np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    net = cv2.dnn.readNetFromONNX(np.frombuffer(content, np.uint8))
    net.setInput(MAP)
    return session.run(None, {"map": MAP})[0].shape[2], net.forward().shape[2]


print("versions:", {name: version(name) for name in ("onnx", "onnxruntime", "opencv-python-headless")})
seen = {size: sizes(size) for size in (15, 16, 17)}
for size, (right, found) in seen.items():
    print(f"side declared as {size}, ONNX Runtime: {right}, OpenCV: {found}")
sys.exit(0 if all(right == size for size, (right, _) in seen.items()) and len({b for _, b in seen.values()}) == 1 else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
