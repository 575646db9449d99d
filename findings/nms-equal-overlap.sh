#!/usr/bin/env bash
# Expect:   one ONNX file with NonMaxSuppression keeps the same boxes in every runtime; a box whose IoU is exactly the
#           threshold is not above it, and stays.
# Happens:  OpenVINO suppresses at equality. Of two boxes with an IoU of exactly 0.5 and a threshold of 0.5, ONNX's
#           reference implementation and ONNX Runtime keep both, OpenVINO keeps one. With a threshold of 1, which keeps
#           everything elsewhere, OpenVINO removes exact duplicates.
# Versions: onnx 1.23.2, onnxruntime 1.32.0, openvino 2026.4.1
# Seen:     2026-11-29
set -euo pipefail
packages="onnx==1.23.2 onnxruntime==1.32.0 openvino==2026.4.1 numpy==2.4.6"
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
import onnx
import onnx.reference
import onnxruntime
import openvino
from onnx import TensorProto, helper


def model(threshold):
    node = helper.make_node("NonMaxSuppression", ["boxes", "scores", "keep", "iou"], ["kept"])
    graph = helper.make_graph(
        [node],
        "suppression",
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 2, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 1, 2]),
        ],
        [helper.make_tensor_value_info("kept", TensorProto.INT64, ["count", 3])],
        [
            helper.make_tensor("keep", TensorProto.INT64, [1], [10]),
            helper.make_tensor("iou", TensorProto.FLOAT, [1], [threshold]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
    onnx.checker.check_model(made, full_check=True)
    return made


def kept(boxes, threshold):
    made = model(threshold)
    feed = {"boxes": np.array([boxes], np.float32), "scores": np.array([[[0.9, 0.8]]], np.float32)}
    session = onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(made.SerializeToString()), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {
        "reference": len(onnx.reference.ReferenceEvaluator(made).run(None, feed)[0]),
        "onnxruntime": len(session.run(None, feed)[0]),
        "openvino": len(compiled(feed)[0]),
    }


WHOLE, HALF = [0, 0, 8, 8], [0, 0, 8, 4]  # the IoU is exactly 1/2
print("versions:", {each.__name__: each.__version__ for each in (onnx, onnxruntime, openvino)})
cases = {
    "IoU 0.5, threshold 0.5": kept([WHOLE, HALF], 0.5),
    "IoU 0.5, threshold 0.51": kept([WHOLE, HALF], 0.51),
    "IoU 1, threshold 1": kept([WHOLE, WHOLE], 1.0),
}
for name, counts in cases.items():
    print(f"boxes kept, {name}:", counts)
expected = [
    {"reference": 2, "onnxruntime": 2, "openvino": 1},
    {"reference": 2, "onnxruntime": 2, "openvino": 2},
    {"reference": 2, "onnxruntime": 2, "openvino": 1},
]
sys.exit(0 if list(cases.values()) == expected else 10)
PY
case $status in 0) exit 0 ;; 10) exit 1 ;; *) exit 2 ;; esac # an exception is no answer
